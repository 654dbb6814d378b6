"""How the outcome of a message is spelled for an MQTT client."""

from typing import cast

from kaa.protocols import kp
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt.events import Received
from kaa.protocols.mqtt.properties import CORRELATION_DATA, RESPONSE_TOPIC
from kaa.protocols.mqtt.server import ServerSession


def encoded(session: ServerSession, message: Received, ending: str, payload: bytes) -> bytes | list[bytes]:
    """Encode the answer that goes behind the acknowledgement, at the QoS of the message, 1 at most."""
    qos = 1 if message.qos else 0
    answer = session.answer(message.topic + ending, payload, qos)
    if message.properties is None or (wanted := _wanted(message)) is None:
        return answer
    topic, properties = wanted
    return [answer, session.answer(topic, payload, qos, properties=properties)]


def publish(
    session: ServerSession, message: Received, status_code: int, reason: str | None, payload: bytes | None
) -> None:
    """Send the answer to a message that has been acknowledged before."""
    is_success = status_code < 300
    body = payload or b"" if is_success else kp.error_payload(status_code, reason or str(status_code))
    qos = 1 if message.qos else 0
    session.publish(message.topic + ("/status" if is_success else "/error"), body, qos)
    if (wanted := _wanted(message)) is not None:
        topic, properties = wanted
        session.publish(topic, body, qos, properties=properties)


def _wanted(message: Received) -> tuple[str, p.Properties | None] | None:
    """Give where the request wants its answer, besides (MQTT 5, 4.10), and what is to go with it."""
    properties = message.properties
    if properties is None or RESPONSE_TOPIC not in properties:
        return None
    echoed = {CORRELATION_DATA: properties[CORRELATION_DATA]} if CORRELATION_DATA in properties else None
    return cast("str", properties[RESPONSE_TOPIC]), echoed
