"""The nouns of EPTS."""

from dataclasses import dataclass
from typing import NewType

from kaa.protocols.names import EndpointId, SeriesName

ChannelId = NewType("ChannelId", int)
Value = bool | int | float | str | None

AUTO = "auto~"
"""What the names of series that were extracted without configuration begin with."""


Owner = tuple[str, EndpointId]
"""An application and an endpoint of it: an id that was registered again elsewhere has series of its own there."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One value of one series of one endpoint: the sequence that is stored under one number."""

    id: ChannelId
    application: str
    endpoint_id: EndpointId
    series: SeriesName
    value_name: str


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open span of time, microseconds since 1970."""

    from_us: int
    to_us: int


@dataclass(slots=True)
class Point:
    """Values of one endpoint and series at one time, before it is stored.

    `at_ms` is None where the sample has no time of its own; `us` are microseconds beyond it.
    """

    endpoint_id: EndpointId
    series: SeriesName
    at_ms: int | None
    values: dict[str, Value]
    us: int = 0
