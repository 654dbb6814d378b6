"""What EPL keeps."""

from dataclasses import dataclass

from kaa.protocols.names import AppVersionName, EndpointId


@dataclass(frozen=True, slots=True)
class State:
    """An endpoint that is connected, or not, since a time, and the version that it speaks or spoke.

    `heard_ms` is the time of the newest event about it; one that is older says nothing any more.
    """

    endpoint_id: EndpointId
    app_version: AppVersionName
    is_connected: bool
    at_ms: int
    heard_ms: int


@dataclass(frozen=True, slots=True)
class Point:
    """A transition that is still to be told as a point of a series."""

    id: int
    endpoint_id: EndpointId
    app_version: AppVersionName
    is_connected: bool
    at_ms: int


def heard(endpoint_id: EndpointId, app_version: AppVersionName, at_ms: int, *, is_connected: bool) -> State:
    """Give the state that an event of that time tells of."""
    return State(endpoint_id, app_version, is_connected, at_ms, at_ms)
