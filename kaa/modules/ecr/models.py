"""What ECR keeps."""

from dataclasses import dataclass
from enum import StrEnum

from kaa.protocols.names import AppVersionName, EndpointId


class Scope(StrEnum):
    """Whom a configuration is for."""

    ENDPOINT = "endpoint"
    FILTER = "filter"
    VERSION = "version"


class State(StrEnum):
    """What became of a configuration at an endpoint."""

    PENDING = "PENDING"
    DISPATCHED = "DISPATCHED"
    APPLIED = "APPLIED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a configuration stands: at an endpoint for a version, at a filter, or at a version; by a name.

    `owner` is the id of the endpoint or filter, and empty for a version; `app_version` is empty for a filter.
    """

    scope: Scope
    owner: str
    app_version: str
    name: str


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration's content: JSON in the one spelling that its identifier is made of."""

    config_id: str
    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Configuration:
    """A document at its place."""

    config_id: str
    name: str
    content: bytes
    created_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint, and the version by which its configuration is found."""

    endpoint_id: EndpointId
    app_version: AppVersionName


@dataclass(frozen=True, slots=True)
class Asked:
    """What a consumer asks: the configuration of that name, unless the endpoint has it already."""

    target: Target
    name: str
    config_id: str | None


@dataclass(frozen=True, slots=True)
class Reported:
    """What an endpoint says of a configuration."""

    target: Target
    config_id: str
    code: int
    phrase: str | None
    at_ms: int


@dataclass(frozen=True, slots=True)
class Status:
    """What became of a configuration at an endpoint, and when."""

    endpoint_id: str
    app_version: str
    name: str
    config_id: str
    state: State
    content: bytes
    dispatched_ms: int | None
    confirmed_ms: int | None
    confirmation_code: int | None
    confirmation_phrase: str | None


@dataclass(frozen=True, slots=True)
class StatusesWanted:
    """Which statuses are wanted; what is None does not limit."""

    endpoint_id: str | None = None
    app_version: str | None = None
    config_id: str | None = None
    name: str | None = None
    state: State | None = None


SORTABLE = (
    "configId",
    "endpointId",
    "appVersionName",
    "name",
    "status",
    "lastDispatchedDate",
    "lastConfirmedDate",
    "confirmationStatusCode",
)
"""What statuses can be ordered by."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """Something has changed for all endpoints of a version, or with an empty one for all there are."""

    app_version: str
    name: str
    revision: int = 0


class Level(StrEnum):
    """Where a system configuration stands, as the event says it; the narrower ones come first."""

    ENDPOINT = "ENDPOINT"
    APP_VERSION = "APP_VERSION"
    APPLICATION = "APPLICATION"
    TENANT = "TENANT"


@dataclass(frozen=True, slots=True)
class SystemConfiguration:
    """What the platform, and never a device, is configured with."""

    id: str
    level: Level
    level_id: str
    name: str
    display_name: str | None
    content: bytes
    created_ms: int
    updated_ms: int
