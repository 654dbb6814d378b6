"""What CMX keeps, and what passes between its parts."""

from dataclasses import dataclass

from kaa.protocols.names import AppVersionName, EndpointId

Key = tuple[EndpointId, str]
"""An endpoint, and the name of a configuration."""


@dataclass(frozen=True, slots=True)
class State:
    """What an endpoint has said of the configuration of a name."""

    applied_id: str | None = None
    sent_id: str | None = None
    observe: bool | None = None

    @property
    def known_id(self) -> str | None:
        """What the endpoint has for certain: what it said it has, unless it has been sent others since."""
        return self.applied_id if self.sent_id is None else None

    @property
    def is_deaf(self) -> bool:
        """Whether the endpoint wants nothing that it has not asked for."""
        return self.observe is False


@dataclass(frozen=True, slots=True)
class Current:
    """The configuration that an endpoint is to have; without content it is the one that it says it has."""

    config_id: str
    content: bytes | None

    @property
    def is_pushable(self) -> bool:
        """Whether there is something in it that could be pushed."""
        return bool(self.config_id) and self.content not in {None, b"", b"null"}


@dataclass(frozen=True, slots=True)
class Said:
    """What an endpoint says on its own account: what it wants, or what became of a configuration.

    `applied_id` and `observe` are None where it says nothing of them.
    """

    key: Key
    applied_id: str | None = None
    observe: bool | None = None


@dataclass(frozen=True, slots=True)
class Push:
    """A configuration on its way to an endpoint."""

    endpoint_id: EndpointId
    app_version: AppVersionName
    name: str
    config_id: str
    content: bytes

    @property
    def key(self) -> Key:
        """Whose it is."""
        return self.endpoint_id, self.name
