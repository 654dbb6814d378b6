"""Changes by hand: points that a REST caller writes, and deletions."""

from collections.abc import Mapping, Sequence

from kaa.core.applications import Applications
from kaa.core.bus import Bus, expect
from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput, NotFound
from kaa.core.ids import Ids
from kaa.protocols import x_register
from kaa.protocols.names import SERIES_NAME, AppVersionName, EndpointId, SeriesName, checked

from .channels import Channels
from .dates import parse_date_us
from .extraction import stored
from .ingest import Ingest
from .models import Point, Value, Window
from .repository import ChannelRepository, PointRepository
from .settings import EptsSettings, check_value_name

_MOST_ASKED = 1000

Written = Mapping[str, Mapping[str, Sequence[tuple[str | int, Mapping[str, Value]]]]]
"""By endpoint and series: the time of each point as it was written, and its values."""


class Editing:
    """Writes and deletes points by hand."""

    def __init__(
        self,
        *,
        applications: Applications[EptsSettings],
        ingest: Ingest,
        channels: ChannelRepository,
        remembered: Channels,
        points: PointRepository,
        bus: Bus,
        register: str,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._applications, self._ingest = applications, ingest
        self._channels, self._remembered, self._points = channels, remembered, points
        self._bus, self._register, self._clock, self._ids = bus, register, clock, ids

    async def put(
        self, version_name: AppVersionName, written: Written, *, is_precise: bool = False, is_dry: bool = False
    ) -> None:
        """Store points; all is checked before anything is.

        Args:
            version_name: a version of the application that the endpoints are of.
            written: the points.
            is_precise: keep microseconds of their times, and not milliseconds.
            is_dry: check only.
        """
        version = self._applications.get_version(version_name)
        points = []
        for endpoint_id, of_series in written.items():
            for series, listed in of_series.items():
                checked(SERIES_NAME, series, what=f"{endpoint_id}.{series}")
                for at, values in listed:
                    points.append(self._point(endpoint_id, series, at, values, is_precise=is_precise))
        await self._check_endpoints(list(written), version.application)
        if is_dry:
            self._ingest.check(version_name, points)
        else:
            await self._ingest.add(version_name, points)

    async def remove_points(
        self, application: str, series: Sequence[str] | None, endpoint_ids: Sequence[str] | None, window: Window
    ) -> None:
        """Delete the points of a window."""
        self._applications.get(application)
        found = await self._channels.find(application, series=series, endpoint_ids=endpoint_ids)
        await self._points.remove([channel.id for channel in found], window)

    async def remove_series(self, application: str, series: str) -> None:
        """Delete a series of all endpoints, points and name."""
        self._applications.get(application)
        found = await self._channels.find(application, series=[series])
        if not found:
            raise NotFound(f"application {application!r} has no series {series!r}")
        ids = [channel.id for channel in found]
        # the names go first: a point that arrives meanwhile gets a new channel, and is kept
        await self._channels.remove(ids)
        self._remembered.forget()
        await self._points.remove(ids, Window(0, 2**63 - 1))

    def _point(
        self, endpoint_id: str, series: str, at: str | int, values: Mapping[str, Value], *, is_precise: bool
    ) -> Point:
        place = f"{endpoint_id}.{series}"
        if not values:
            raise InvalidInput(f"{place}: a point without values cannot be kept")
        for name in values:
            try:
                check_value_name(name)
            except ValueError as error:
                raise InvalidInput(f"{place}: {error}") from error
        at_ms, us = divmod(parse_date_us(at, now_ms=self._clock.now_ms(), what=f"{place}.timestamp"), 1000)
        kept = {name: stored(value) for name, value in values.items()}
        return Point(EndpointId(endpoint_id), SeriesName(series), at_ms, kept, us if is_precise else 0)

    async def _check_endpoints(self, endpoint_ids: list[str], application: str) -> None:
        for at in range(0, len(endpoint_ids), _MOST_ASKED):
            part = endpoint_ids[at : at + _MOST_ASKED]
            request = x_register.FindRequest(
                correlation_id=self._ids.correlation_id(),
                timestamp_ms=self._clock.now_ms(),
                endpoint_ids=tuple(part),
            )
            answer = expect(await self._bus.request(x_register.find_endpoints(self._register), request))
            there = {found.endpoint_id: found.app_name for found in answer.endpoints}
            for endpoint_id in part:
                if there.get(endpoint_id) != application:
                    raise NotFound(f"application {application!r} has no endpoint {endpoint_id!r}")
