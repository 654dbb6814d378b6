"""What CM keeps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from kaa.protocols.names import ApplicationName, CredentialsId, EndpointId, TokenId


class Status(StrEnum):
    """Where a token, or what a client connects with, is in its life."""

    INACTIVE = "Inactive"
    ACTIVE = "Active"
    SUSPENDED = "Suspended"
    REVOKED = "Revoked"


VALID = frozenset({Status.INACTIVE, Status.ACTIVE})
"""With these it is good; its first use makes an inactive one active."""

GONE = frozenset({Status.SUSPENDED, Status.REVOKED})
"""Becoming one of these is told to everybody at once."""

BY_HAND: Mapping[Status, frozenset[Status]] = MappingProxyType(
    {
        Status.INACTIVE: frozenset({Status.ACTIVE}),
        Status.ACTIVE: frozenset({Status.SUSPENDED, Status.REVOKED}),
        Status.SUSPENDED: frozenset({Status.ACTIVE, Status.REVOKED}),
        Status.REVOKED: frozenset(),
    }
)
"""What somebody may make of it."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept: never its value."""

    id: TokenId
    hash: bytes
    application: ApplicationName
    endpoint_id: EndpointId
    status: Status
    created_ms: int
    updated_ms: int


class Kind(StrEnum):
    """What a client connects with, in the words of 22/CAP."""

    BASIC = "basic"
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True)
class User:
    """A user name, with the hash of its password."""

    username: str
    password_hash: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate: what it is known by, and until when it holds."""

    common_name: str | None
    issuer: str
    serial: str
    not_after_ms: int


@dataclass(frozen=True, slots=True)
class Client:
    """What a client connects with; `last_use_ms` is None before the first time."""

    id: CredentialsId
    known_by: User | Certificate
    status: Status
    created_ms: int
    updated_ms: int
    last_use_ms: int | None = None

    @property
    def kind(self) -> Kind:
        """Which of the two it is."""
        return Kind.BASIC if isinstance(self.known_by, User) else Kind.CERTIFICATE
