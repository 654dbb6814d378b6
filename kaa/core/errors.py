"""The errors of the house.

    KaaError                 never raised itself
      ConfigError            the configuration is wrong; the server does not start
      StartupError           a module did not start; the cause is chained
      ProtocolError          a peer broke a contract
      Refusal                a "no" that the caller may hear: status and reason
        InvalidInput 400  Unauthenticated 401  Forbidden 403  NotFound 404  Conflict 409  PreconditionFailed 412
        TooLarge 413  TooMany 429  Unavailable 503  TimedOut 504  StorageFull 507

A refusal's sentence is read by the one who asked: it names what was wrong, and where. Anything that would not make
sense to him is not a refusal but a bug, and becomes 500 with a correlation id.
"""

from typing import ClassVar


class KaaError(Exception):
    """The root; catch it at an edge, raise one of its children."""


class ConfigError(KaaError):
    """The configuration is wrong; the sentence names file, line and key."""


class StartupError(KaaError):
    """A module did not start."""


class ProtocolError(KaaError):
    """A peer broke a contract: drop what it sent, count it, perhaps disconnect it.

    `reason_code` is the MQTT 5 reason code that fits (0x81, malformed packet, unless given).
    """

    def __init__(self, message: str, *, reason_code: int = 0x81) -> None:
        super().__init__(message)
        self.reason_code = reason_code


class Refusal(KaaError):
    """A "no" that the caller may hear."""

    status: ClassVar[int] = 500

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class InvalidInput(Refusal):
    """What was sent cannot be understood or breaks a rule."""

    status = 400


class Unauthenticated(Refusal):
    """No valid credential came with the request."""

    status = 401


class Forbidden(Refusal):
    """The credential is valid and does not allow this."""

    status = 403


class NotFound(Refusal):
    """What was named does not exist."""

    status = 404


class Conflict(Refusal):
    """The state of things does not allow it."""

    status = 409


class PreconditionFailed(Refusal):
    """`If-Match` names another state than the current one."""

    status = 412


class TooLarge(Refusal):
    """More was sent than is taken."""

    status = 413


class TooMany(Refusal):
    """Asked too often."""

    status = 429


class Unavailable(Refusal):
    """Cannot be done now; asking again may help."""

    status = 503


class TimedOut(Refusal):
    """Nobody answered in time."""

    status = 504


class StorageFull(Refusal):
    """The storage has reached its reserve (RFC 4918, section 11.5)."""

    status = 507


def refusal(status: int, reason: str) -> Refusal:
    """Give the refusal for a status that came over the bus; one that no class stands for becomes Unavailable."""
    for kind in Refusal.__subclasses__():
        if kind.status == status:
            return kind(reason)
    return Unavailable(reason)
