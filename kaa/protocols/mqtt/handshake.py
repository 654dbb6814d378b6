"""The rules of CONNECT, CONNACK and SUBACK that need no connection."""

from typing import Final

from kaa.core.errors import ProtocolError
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt import properties as prop
from kaa.protocols.mqtt.packets import Connect, Properties, Subscribe
from kaa.protocols.mqtt.reasons import Reason
from kaa.protocols.mqtt.session import SessionState
from kaa.protocols.mqtt.topics import is_shared, is_topic_filter

MAX_CLIENT_ID_BYTES: Final = 256


def check_connect(connect: Connect, max_topic_bytes: int) -> None:
    """Raise ProtocolError for a well-formed CONNECT that no server of our kind accepts."""
    if not connect.client_id:
        if connect.version == p.V31:
            raise ProtocolError("MQTT 3.1 wants a client id", reason_code=Reason.CLIENT_IDENTIFIER_NOT_VALID)
        if connect.version == p.V311 and not connect.clean_start:  # [MQTT-3.1.3-7], [MQTT-3.1.3-8]
            raise ProtocolError(
                "a session that is to be kept wants a client id", reason_code=Reason.CLIENT_IDENTIFIER_NOT_VALID
            )
    elif len(connect.client_id.encode()) > MAX_CLIENT_ID_BYTES:
        raise ProtocolError(
            f"the client id has more than {MAX_CLIENT_ID_BYTES} bytes", reason_code=Reason.CLIENT_IDENTIFIER_NOT_VALID
        )
    if connect.properties is not None and prop.AUTHENTICATION_METHOD in connect.properties:
        raise ProtocolError("there is no extended authentication", reason_code=Reason.BAD_AUTHENTICATION_METHOD)
    will = connect.will
    if will is not None:
        if will.retain and connect.version == p.V5:  # [MQTT5-3.2.2-13]
            raise ProtocolError("the will is to be retained", reason_code=Reason.RETAIN_NOT_SUPPORTED)
        if len(will.topic.encode()) > max_topic_bytes:
            raise ProtocolError(
                f"the will's topic has more than {max_topic_bytes} bytes", reason_code=Reason.TOPIC_NAME_INVALID
            )


def connack_properties(*, in_flight: int, max_packet_bytes: int, max_topic_aliases: int) -> Properties:
    """Say to a client of MQTT 5 what it may do."""
    properties: Properties = {
        prop.RETAIN_AVAILABLE: 0,
        prop.MAXIMUM_PACKET_SIZE: max_packet_bytes,
        prop.SUBSCRIPTION_IDENTIFIER_AVAILABLE: 0,
        prop.SHARED_SUBSCRIPTION_AVAILABLE: 0,
    }
    if in_flight < 0xFFFF:
        properties[prop.RECEIVE_MAXIMUM] = in_flight
    if max_topic_aliases:
        properties[prop.TOPIC_ALIAS_MAXIMUM] = max_topic_aliases
    return properties


def grant(
    state: SessionState,
    subscribe: Subscribe,
    *,
    version: int,
    max_topic_bytes: int,
    max_subscriptions: int,
    max_bytes: int,
) -> tuple[int, ...]:
    """Write the valid filters down and give one granted QoS or reason for each; the requested QoS is granted."""
    codes: list[int] = []
    held_bytes = sum(len(spelling.encode()) for spelling in state.subscriptions)
    has_identifier = subscribe.properties is not None and prop.SUBSCRIPTION_IDENTIFIER in subscribe.properties
    for item in subscribe.subscriptions:
        code: int
        size = len(item.filter.encode())
        if not is_topic_filter(item.filter) or size > max_topic_bytes:
            code = Reason.TOPIC_FILTER_INVALID
        elif is_shared(item.filter):
            code = Reason.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
        elif has_identifier:
            code = Reason.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED
        elif item.filter in state.subscriptions:
            state.subscriptions[item.filter] = code = item.qos
        elif len(state.subscriptions) >= max_subscriptions or held_bytes + size > max_bytes:
            code = Reason.QUOTA_EXCEEDED
        else:
            held_bytes += size
            state.subscriptions[item.filter] = code = item.qos
        codes.append(code if code < 0x80 or version == p.V5 else 0x80)
    return tuple(codes)


def release(state: SessionState, filters: tuple[str, ...]) -> tuple[int, ...]:
    """Strike filters out and give one reason for each."""
    return tuple(
        Reason.NO_SUBSCRIPTION_EXISTED if state.subscriptions.pop(spelling, None) is None else Reason.SUCCESS
        for spelling in filters
    )
