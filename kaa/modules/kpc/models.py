"""The nouns of KPC."""

import hashlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from kaa.core.errors import Refusal
from kaa.core.subjects import Subject
from kaa.protocols.esp import ClientData
from kaa.protocols.names import (
    ApplicationName,
    AppVersionName,
    CredentialsId,
    EndpointId,
    EndpointToken,
    InstanceName,
    TokenId,
)


@dataclass(slots=True, eq=False)
class TokenEntry:
    """What CM has said of a token; good until `valid_until_ms`, or until CM says otherwise.

    What has passed under it since the last report of traffic is counted here, where the way of a message leads by.
    """

    application: ApplicationName
    token: EndpointToken
    valid_until_ms: int = 0
    endpoint_id: EndpointId | None = None
    token_id: TokenId | None = None
    refusal: Refusal | None = None
    received_bytes: int = 0
    received_count: int = 0
    sent_bytes: int = 0
    sent_count: int = 0


class Client(NamedTuple):
    """Who is behind a connection: a client id means something only together with the credentials it came with."""

    credentials: tuple[CredentialsId, ...]
    client_id: str


@dataclass(frozen=True, slots=True)
class Offered:
    """The credentials that a client has shown; the certificate is DER, and its chain has been verified."""

    username: str | None = None
    password: bytes | None = None
    certificate: bytes | None = None

    @property
    def has_basic(self) -> bool:
        """Whether a user name or a password is among them."""
        return self.username is not None or self.password is not None

    @property
    def is_nothing(self) -> bool:
        """Whether it has shown none."""
        return self.certificate is None and not self.has_basic


@dataclass(slots=True, eq=False)
class Route:
    """What a topic (without its request id) means; worked out once.

    `refusal` is the answer to all messages on it where there is nothing to be done for them.
    """

    version: AppVersionName
    extension: InstanceName
    subject: Subject[ClientData] | None
    resource_path: str
    token: EndpointToken | None
    application: ApplicationName
    has_receipts: bool = True
    entry: TokenEntry | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class KeptRefusal:
    """A "no" as it is kept for the operator.

    The topic has its token masked; `payload` is the head of what was sent, or all of it for a message that was given
    up after it had failed three times.
    """

    at_ms: int
    endpoint_id: str | None
    token_hash: str | None
    topic: str
    status_code: int
    reason: str
    payload: bytes
    payload_size: int
    id: int = 0


@dataclass(slots=True)
class Tally:
    """The unknown tokens that a connection has shown lately."""

    since_ms: int
    hashes: set[str] = field(default_factory=set)


class Inbound(Protocol):
    """A message as a door has it."""

    topic: str
    payload: bytes
    qos: int


class Connection(Protocol):
    """Somebody at a door."""

    endpoints: dict[EndpointId, AppVersionName]
    tally: Tally | None
    has_shown_token: bool

    @property
    def is_gone(self) -> bool:
        """Whether it has ended, so that no endpoint can be on it."""

    def finish(
        self,
        message: Any,
        status_code: int,
        reason: str | None = None,
        payload: bytes | None = None,
        *,
        has_answer: bool = True,
        is_given_up: bool = False,
    ) -> None:
        """Take the outcome of a message.

        `has_answer` is False where a success is silent; `is_given_up` makes a failure final that would not be.
        """

    def tell(self, message: Any, status_code: int, reason: str | None, payload: bytes | None) -> None:
        """Send the answer to a message whose outcome is settled."""

    def push(self, topic: str, payload: bytes, *, is_reliable: bool) -> None:
        """Send something that was not asked for; `is_reliable` if it is to be acknowledged."""

    def flush(self) -> None:
        """Write what has gathered, once a wake-up."""

    def close(self, status_code: int, reason: str) -> None:
        """End the connection."""


def token_hash(token: str) -> str:
    """Name a token without telling it: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]
