"""EPTS over HTTP; the layout of `last` and `data` is that of the specification, to the byte."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    TypeAdapter,
)

from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput, NotFound, StorageFull, Unavailable
from kaa.core.http import Answer, Call, Camel, Route, Stream
from kaa.protocols.names import AppVersionName

from .dates import parse_date
from .editing import Editing
from .models import Window
from .queries import Queries, Selection

_SPAN = re.compile(r"(\d{1,9})(ms|s|m|h|d|w)?")
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_ALL_US = 2**62
_LONGEST_SPAN_MS = 100 * 366 * 86_400_000
_FAR_MS = _ALL_US // 1000

Precision = Literal["ms", "us"]
Values = dict[str, StrictBool | StrictInt | StrictFloat | StrictStr | None]
Date = Annotated[str | int, Field(union_mode="left_to_right")]
_WRITTEN = "ISO 8601, milliseconds since 1970, or like now-7d"
_BEFORE = f"Only points before it: {_WRITTEN}"
_ENDPOINTS = "Only these endpoints"
_SERIES = "Only these series"


class PointOut(BaseModel):
    """A point: its time and its values."""

    timestamp: str
    values: Values


_LAYOUT = [{"kitchen-1": {"auto~temperature": [{"timestamp": "2026-11-22T09:00:00.000Z", "values": {"value": 21.5}}]}}]
Layout = list[dict[str, dict[str, list[PointOut]]]]


class SeriesOut(BaseModel):
    """A series and the names of its values."""

    name: str
    values: list[str] | None


class PointIn(BaseModel):
    """A point to be stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    timestamp: Date = Field(description=_WRITTEN)
    values: Values = Field(min_length=1, max_length=64, description="The values by their names")


class ConfigQuery(Camel):
    """Which applications; all, if none is named."""

    application_names: tuple[str, ...] = Field((), description="Only these applications")


class LastQuery(Camel):
    """Which series of which endpoints, and before when."""

    time_series_name: list[str] | None = Field(None, description=_SERIES)
    endpoint_id: list[str] | None = Field(None, description=_ENDPOINTS)
    before_date: Date | None = Field(None, description=_BEFORE)


class LastBody(Camel):
    """The same in a body."""

    time_series_names: list[str] | None = Field(None, description=_SERIES)
    endpoint_ids: list[str] | None = Field(
        None,
        validation_alias=AliasChoices("endpointIDs", "endpointIds"),
        serialization_alias="endpointIDs",
        description=_ENDPOINTS,
    )
    before_date: Date | None = Field(None, description=_BEFORE)
    offset: int = Field(0, ge=0, le=2**31, description="How many endpoints are skipped")
    limit: int | None = Field(None, ge=0, le=2**31, description="How many endpoints are given at most; all without it")


class _Window(Camel):
    from_date: Date = Field(description=f"Where the window begins: {_WRITTEN}")
    to_date: Date = Field(description=f"Where the window ends: {_WRITTEN}")
    include_time: Literal["from", "to", "both", "none"] = Field(
        "from", description="Which ends of the window are part of it"
    )
    sort: Literal["ASC", "DESC"] = Field("ASC", description="By time: DESC is newest first")
    limit: int | None = Field(
        None, ge=0, le=2**31, description="How many points of each series and endpoint at most; all without it"
    )
    precision: Precision = Field("ms", description="Whether times are given in milliseconds or, as us, in microseconds")
    period: str | None = Field(
        None, max_length=40, description="Give spans of this length instead of points: 5m, 1h, PT5M, or milliseconds"
    )
    aggregate: Literal["avg", "min", "max", "sum", "count", "first", "last"] = Field(
        "avg", description="With a period: what is told of each span"
    )


class DataQuery(_Window):
    """Which series, and from when to when."""

    time_series_name: list[str] = Field(min_length=1, description="The series")
    endpoint_id: list[str] | None = Field(None, description=_ENDPOINTS)


class DataBody(_Window):
    """The same in a body."""

    time_series_names: list[str] = Field(min_length=1, description="The series")
    endpoint_ids: list[str] | None = Field(
        None,
        validation_alias=AliasChoices("endpointIDs", "endpointIds"),
        serialization_alias="endpointIDs",
        description=_ENDPOINTS,
    )


class PutQuery(Camel):
    """How exactly the times are kept, and whether all is only checked."""

    precision: Precision = Field("ms", description="Whether times are read in milliseconds or, as us, in microseconds")
    dry_run: bool = Field(default=False, description="Only check what is sent, and store nothing")


class DeleteQuery(Camel):
    """Which points go: `timeSeriesName` must be said, the rest narrows it."""

    time_series_name: list[str] = Field(min_length=1, description="The series")
    endpoint_id: list[str] | None = Field(None, description=_ENDPOINTS)
    from_date: Date | None = Field(None, description=f"Where the window begins: {_WRITTEN}; the beginning without it")
    to_date: Date | None = Field(None, description=f"Where the window ends: {_WRITTEN}; the end of time without it")


def routes(queries: Queries, editing: Editing, clock: Clock) -> list[Route]:
    """List what EPTS answers."""
    resource = _Resource(queries, editing, clock)
    application, data = "/applications/{application}", "/applications/{application}/time-series/data"
    last = f"{application}/time-series/last"
    gone = (NotFound,)
    return [
        Route(
            method="GET",
            path="/time-series/config",
            handler=resource.get_config,
            summary="The series of applications",
            shows_own=True,
            query=ConfigQuery,
            returns=dict[str, list[SeriesOut]],
            shows={"smart-home": [{"name": "auto~temperature", "values": ["value"]}]},
        ),
        Route(
            method="GET",
            path=last,
            handler=resource.get_last,
            summary="The last point of each series of each endpoint",
            description="What is not there is left out of the answer; nothing at all is an empty list.",
            shows=_LAYOUT,
            query=LastQuery,
            returns=Layout,
            errors=gone,
        ),
        Route(
            method="POST",
            path=last,
            handler=resource.post_last,
            summary="The last point of each series of each endpoint",
            description="What is not there is left out of the answer; nothing at all is an empty list.",
            example={"timeSeriesNames": ["auto~temperature"], "endpointIDs": ["kitchen-1"]},
            shows=_LAYOUT,
            body=LastBody,
            body_optional=True,
            returns=Layout,
            errors=gone,
            writes=False,
        ),
        Route(
            method="GET",
            path=data,
            handler=resource.get_data,
            summary="The points of a window, or spans of them; as CSV with `Accept: text/csv`",
            description=(
                "Without a period each point as it was stored; with one the spans of that length, by an aggregate. "
                "The answer may be long: it is sent as it is read."
            ),
            shows=_LAYOUT,
            query=DataQuery,
            returns=Layout,
            gives=("application/json", "text/csv"),
            errors=gone,
        ),
        Route(
            method="POST",
            path=data,
            handler=resource.post_data,
            summary="The points of a window, or spans of them; as CSV with `Accept: text/csv`",
            description=(
                "Without a period each point as it was stored; with one the spans of that length, by an aggregate. "
                "The answer may be long: it is sent as it is read."
            ),
            example={
                "timeSeriesNames": ["auto~temperature"],
                "endpointIDs": ["kitchen-1"],
                "fromDate": "now-1h",
                "toDate": "now",
                "sort": "DESC",
            },
            shows=_LAYOUT,
            body=DataBody,
            returns=Layout,
            gives=("application/json", "text/csv"),
            errors=gone,
            writes=False,
        ),
        Route(
            method="PUT",
            path="/app-versions/{version}/time-series/data",
            handler=resource.put_data,
            summary="Store points",
            query=PutQuery,
            description=(
                "By endpoint and series. A point of a time that is there merges with it, and the later value wins."
            ),
            example={
                "kitchen-1": {"auto~temperature": [{"timestamp": "2026-11-22T09:00:00Z", "values": {"value": 21.5}}]}
            },
            means={
                404: "There is no such application version, or one of the endpoints is not there; nothing was stored",
                503: "The register of endpoints or the storage does not do its part; nothing was stored",
                507: "The storage has reached its reserve; nothing was stored",
            },
            body=dict[str, dict[str, list[PointIn]]],
            errors=(NotFound, StorageFull, Unavailable),
            audited=False,  # telemetry: as much as devices send
        ),
        Route(
            method="DELETE",
            path=data,
            handler=resource.delete_data,
            summary="Delete the points of a window",
            query=DeleteQuery,
            status=204,
            errors=(NotFound, Unavailable),
        ),
        Route(
            method="DELETE",
            path=f"{application}/time-series/{{series}}",
            handler=resource.delete_series,
            summary="Delete a series of all endpoints",
            description="With all of its points, of every endpoint. If devices go on sending it, it begins anew.",
            status=204,
            errors=(NotFound, Unavailable),
        ),
    ]


class _Resource:
    """The handlers."""

    def __init__(self, queries: Queries, editing: Editing, clock: Clock) -> None:
        self._queries, self._editing, self._clock = queries, editing, clock

    async def get_config(self, call: Call) -> dict[str, Any]:
        return await self._queries.config(call.query.application_names or call.caller.applications)

    async def get_last(self, call: Call) -> Answer:
        query: LastQuery = call.query
        selection = Selection(call.path["application"], query.time_series_name or None, query.endpoint_id or None)
        return _json(await self._queries.last(selection, before_us=self._before_us(query.before_date)))

    async def post_last(self, call: Call) -> Answer:
        body: LastBody = call.body or LastBody()
        selection = Selection(call.path["application"], body.time_series_names or None, body.endpoint_ids or None)
        before_us = self._before_us(body.before_date)
        return _json(await self._queries.last(selection, before_us=before_us, offset=body.offset, limit=body.limit))

    async def get_data(self, call: Call) -> Stream:
        query: DataQuery = call.query
        selection = Selection(call.path["application"], query.time_series_name, query.endpoint_id or None)
        return await self._data(call, selection, query)

    async def post_data(self, call: Call) -> Stream:
        body: DataBody = call.body
        selection = Selection(call.path["application"], body.time_series_names, body.endpoint_ids or None)
        return await self._data(call, selection, body)

    async def put_data(self, call: Call) -> None:
        written: dict[str, dict[str, list[PointIn]]] = call.body
        await self._editing.put(
            AppVersionName(call.path["version"]),
            {
                endpoint_id: {series: [(p.timestamp, p.values) for p in points] for series, points in listed.items()}
                for endpoint_id, listed in written.items()
            },
            is_precise=call.query.precision == "us",
            is_dry=call.query.dry_run,
        )

    async def delete_data(self, call: Call) -> None:
        query: DeleteQuery = call.query
        from_ms = self._date(query.from_date, "query.fromDate", 0)
        to_ms = self._date(query.to_date, "query.toDate", _FAR_MS)
        await self._editing.remove_points(
            call.path["application"], query.time_series_name, query.endpoint_id or None, _window(from_ms, to_ms, "from")
        )

    async def delete_series(self, call: Call) -> None:
        await self._editing.remove_series(call.path["application"], call.path["series"])

    async def _data(self, call: Call, selection: Selection, asked: _Window) -> Stream:
        window = _window(
            self._date(asked.from_date, "fromDate", 0), self._date(asked.to_date, "toDate", _FAR_MS), asked.include_time
        )
        is_descending = asked.sort == "DESC"
        is_csv = "text/csv" in call.headers.get("Accept", "")
        content_type = "text/csv; charset=utf-8" if is_csv else "application/json"
        if asked.period is not None:
            spans = await self._queries.spans(
                selection,
                window,
                span_ms=_span_ms(asked.period),
                aggregate=asked.aggregate,
                is_descending=is_descending,
                limit=asked.limit,
                is_csv=is_csv,
            )
            return Stream(chunks=spans, content_type=content_type)
        chunks = await self._queries.data(
            selection,
            window,
            is_descending=is_descending,
            limit=asked.limit,
            is_csv=is_csv,
            is_precise=asked.precision == "us",
        )
        return Stream(chunks=chunks, content_type=content_type)

    def _before_us(self, date: str | int | None) -> int:
        return self._date(date, "beforeDate", _FAR_MS) * 1000

    def _date(self, date: str | int | None, what: str, default_ms: int) -> int:
        return default_ms if date is None else parse_date(date, now_ms=self._clock.now_ms(), what=what)


def _json(body: bytes) -> Answer:
    return Answer(body=body, headers={"Content-Type": "application/json"})


def _window(from_ms: int, to_ms: int, include: str) -> Window:
    """Give the half-open window in microseconds; a point counts by the millisecond that REST shows of it."""
    if from_ms > to_ms:
        raise InvalidInput("fromDate is later than toDate")
    return Window(
        (from_ms if include in {"from", "both"} else from_ms + 1) * 1000,
        (to_ms + 1 if include in {"to", "both"} else to_ms) * 1000,
    )


def _span_ms(text: str) -> int:
    found = _SPAN.fullmatch(text)
    if found is not None:
        span_ms = int(found[1]) * _UNITS_MS[found[2] or "ms"]
    else:
        try:
            span_ms = TypeAdapter(timedelta).validate_python(text) // timedelta(milliseconds=1)
        except ValueError as error:
            raise InvalidInput(f"period: {text!r} is no span of time; write 5m, 1h, PT5M, or milliseconds") from error
    if not 1 <= span_ms <= _LONGEST_SPAN_MS:
        raise InvalidInput("period: it must be at least a millisecond, and at most a hundred years")
    return span_ms
