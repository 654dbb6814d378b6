"""What the outcome of a message does at an MQTT door: the table of delivery, in one place."""

from kaa.protocols.mqtt.reasons import Reason

_REASONS = {
    400: Reason.PAYLOAD_FORMAT_INVALID,
    401: Reason.NOT_AUTHORIZED,
    403: Reason.NOT_AUTHORIZED,
    404: Reason.TOPIC_NAME_INVALID,
    413: Reason.QUOTA_EXCEEDED,
    429: Reason.QUOTA_EXCEEDED,
    507: Reason.QUOTA_EXCEEDED,
}


def is_final(status_code: int) -> bool:
    """Whether sending the message again would change nothing: it is acknowledged, and its sender told."""
    return status_code < 500 or status_code == 507


def receipt_reason(status_code: int) -> Reason:
    """Give the reason code of the PUBACK or PUBREC of MQTT 5 for a final outcome."""
    if status_code < 300:
        return Reason.SUCCESS
    return _REASONS.get(status_code, Reason.IMPLEMENTATION_SPECIFIC_ERROR)


def farewell_reason(status_code: int) -> Reason:
    """Give the reason code of the DISCONNECT of MQTT 5 for an outcome that is not final.

    No PUBACK leaves: one with 0x80 and above would be final, too [MQTT5-4.4.0-2].
    """
    return Reason.QUOTA_EXCEEDED if status_code == 503 else Reason.IMPLEMENTATION_SPECIFIC_ERROR
