"""What EPR keeps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kaa.core.endpoint_query import Query
from kaa.protocols.names import ApplicationName, AppVersionName, EndpointId


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A device, or whatever else speaks, as the platform knows it.

    `metadata` and `filters` (the ids of those that it matches) are None where they were not asked for;
    `metadata_updated_ms` is None while metadata is as it was registered.
    """

    id: EndpointId
    application: ApplicationName
    app_version: AppVersionName
    version_since_ms: int
    created_ms: int
    metadata: Mapping[str, Any] | None = None
    metadata_updated_ms: int | None = None
    filters: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    """An endpoint with its token, which is seen this once."""

    endpoint: Endpoint
    token: str
    token_status: str


@dataclass(frozen=True, slots=True)
class Relation:
    """One endpoint contains another one; `contains` is the only type there is."""

    type: str
    from_id: EndpointId
    to_id: EndpointId


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which endpoints are wanted; what is empty or None does not limit.

    `id_pattern` is searched for in the id.
    """

    ids: tuple[str, ...] = ()
    application: str | None = None
    app_version: str | None = None
    filter_id: str | None = None
    query: Query | None = None
    id_pattern: Any = None


@dataclass(frozen=True, slots=True)
class Included:
    """What is wanted of endpoints beside themselves."""

    metadata: bool = False
    filters: bool = False


@dataclass(frozen=True, slots=True)
class Moved:
    """An endpoint that has changed to another version of its application."""

    id: EndpointId
    app_version: AppVersionName
    previous: AppVersionName
    since_ms: int


@dataclass(frozen=True, slots=True)
class Metadata:
    """An endpoint's metadata, with the tag of this state of it."""

    app_version: AppVersionName
    values: Mapping[str, Any]
    tag: str


Change = Callable[[Metadata], Mapping[str, Any]]
"""Gives what becomes of metadata, which stays as it is; may refuse. It runs within the transaction."""


@dataclass(frozen=True, slots=True)
class BatchItem:
    """An endpoint that a batch is to register."""

    endpoint_id: EndpointId
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """Endpoints that are registered together, beside the one who asked for it.

    `failures` tells why, by the item's place; of the others the first `progress` are endpoints by now, and the rest are
    reserved. `tokens` holds one for each item until they have been read, and is empty from there on.
    """

    id: str
    application: ApplicationName
    app_version: AppVersionName
    begun_ms: int
    items: Sequence[BatchItem]
    failures: Mapping[int, str]
    tokens: Sequence[str]
    progress: int = 0
    ended_ms: int | None = None
