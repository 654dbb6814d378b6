"""What a CONNECT leads to: who comes, whether he may, and with which session he goes on.

It may take a while, as CM and the disk are asked; the session holds back what the client sends meanwhile.
"""

from typing import TYPE_CHECKING

from kaa.core.errors import Forbidden, Refusal, Unauthenticated
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt.reasons import Reason
from kaa.protocols.mqtt.session import SessionState, requested_expiry

from ..clients import lacking
from ..models import Client, Offered

if TYPE_CHECKING:
    from .connection import Connection
    from .mqtt import MqttDoor


def admit(connection: "Connection", door: "MqttDoor", connect: p.Connect) -> None:
    """Answer a CONNECT: at once where nobody has to be asked, otherwise soon."""
    offered = Offered(connect.username, connect.password, connection.certificate)
    reason = lacking(connection.required, offered)
    if reason is not None:
        connection.end("not_authorized", Reason.NOT_AUTHORIZED, reason)
        return
    client = Client((), connect.client_id or f"kaa-{door.ids.short()}")
    if offered.is_nothing:
        expiry_s = requested_expiry(connect, door.config.session_expiry // 1000)
        if not expiry_s and not door.sessions.is_known(client):
            connection.accept(connect, client, SessionState())
            return
        door.in_background(_begin(connection, door, connect, client), "mqtt session")
        return
    if door.connecting >= door.config.max_connecting:
        connection.end("too_many_connecting", Reason.SERVER_BUSY, "too many clients are connecting; try again later")
        return
    door.connecting += 1  # not in the task: all those of one turn count
    door.in_background(_authenticate(connection, door, connect, client.client_id, offered), "mqtt connect")


async def _authenticate(
    connection: "Connection", door: "MqttDoor", connect: p.Connect, client_id: str, offered: Offered
) -> None:
    try:
        client = Client(await door.clients.authenticate(offered), client_id)
    except Unauthenticated as no:
        connection.end("bad_credentials", Reason.BAD_USER_NAME_OR_PASSWORD, no.reason)
        return
    except Forbidden as no:
        connection.end("not_authorized", Reason.NOT_AUTHORIZED, no.reason)
        return
    except Refusal as no:
        connection.end("not_authenticated", Reason.SERVER_UNAVAILABLE, no.reason)
        return
    finally:
        door.connecting -= 1
    if connection.is_over:
        return
    connection.client = client
    door.clients.enter(client, connection)
    await _begin(connection, door, connect, client)


async def _begin(connection: "Connection", door: "MqttDoor", connect: p.Connect, client: Client) -> None:
    expiry_s = requested_expiry(connect, door.config.session_expiry // 1000)
    try:
        is_present, session, is_kept = await door.sessions.begin(
            client, is_clean=connect.clean_start, expiry_s=expiry_s
        )
    except Refusal as no:
        connection.end("session_not_kept", Reason.SERVER_UNAVAILABLE, no.reason)
        return
    if connection.is_over:
        if is_kept:
            door.sessions.leave(client)
        return
    connection.accept(connect, client, session, is_present=is_present, is_kept=is_kept)
    connection.flush()
