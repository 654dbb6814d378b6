"""Commands as REST callers and callbacks see them; payloads go as the text that came in."""

from typing import Any

from pydantic_core import to_json

from kaa.core.dates import Date, iso
from kaa.core.http import Camel

from .models import CallbackStatus, Command, Status


class CommandView(Camel):
    """A command; what has not come yet is null."""

    model_config = Camel.like(
        {
            "commandId": 1073741830,
            "commandType": "switch",
            "endpointId": "c5e9a6c7-1634-4807-bb37-00a2d57b24ae",
            "status": "EXECUTED",
            "statusCode": 200,
            "reasonPhrase": "OK",
            "requestPayload": {"on": True},
            "responsePayload": {"on": True},
            "createdAt": "2026-11-22T09:00:00.000Z",
            "updatedAt": "2026-11-22T09:00:00.240Z",
            "expiresAt": "2026-11-22T10:00:00.000Z",
            "callbackStatus": None,
        }
    )

    command_id: int
    command_type: str
    endpoint_id: str
    status: Status
    status_code: int | None
    reason_phrase: str | None
    request_payload: Any
    response_payload: Any
    created_at: Date
    updated_at: Date
    expires_at: Date
    callback_status: CallbackStatus | None


def command_json(command: Command) -> bytes:
    """Write a command."""
    order, outcome = command.order, command.outcome
    fields = {
        "commandId": command.id,
        "commandType": order.command_type,
        "endpointId": order.endpoint_id,
        "status": outcome.status,
        "statusCode": outcome.status_code,
        "reasonPhrase": outcome.reason_phrase,
        "createdAt": iso(order.created_ms),
        "updatedAt": iso(command.updated_ms),
        "expiresAt": iso(order.expires_ms),
        "callbackStatus": command.callback_status,
    }
    payloads = b',"requestPayload":%b,"responsePayload":%b}' % (order.payload or b"null", outcome.payload or b"null")
    return to_json(fields)[:-1] + payloads
