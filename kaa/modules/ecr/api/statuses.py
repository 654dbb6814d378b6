"""What became of configurations, page by page, in the layout that clients of this resource know."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from kaa.core.dates import Date
from kaa.core.errors import InvalidInput
from kaa.core.http import Call, Camel, Route

from ..models import State, Status, StatusesWanted
from ..service import Configurations


def _is_none(value: object) -> bool:
    return value is None


class StatusesQuery(Camel):
    """Which statuses, and which page of them; `sort` is a field, and perhaps asc or desc behind it."""

    endpoint_id: str | None = Field(default=None, description="Only those of this endpoint")
    app_version_name: str | None = Field(default=None, description="Only those of endpoints of this version")
    config_id: str | None = Field(default=None, description="Only those of this configuration")
    name: str | None = Field(default=None, description="Only those of configurations with this name")
    status: State | None = Field(default=None, description="Only those that have come this far")
    page: int = Field(default=0, ge=0, le=2**31, description="Which page; the first is 0")
    size: int = Field(default=20, ge=1, le=1000, description="How many are on a page")
    sort: tuple[str, ...] = Field(default=(), max_length=16, description="By what field; asc or desc behind it")


class StatusView(Camel):
    """What became of a configuration at an endpoint."""

    model_config = Camel.like(
        {
            "configId": "6f1c1a4b0c7de3f5a8e29b64d0735c18e4b9f2a6d31c08577e4fa90b82cd6e13",
            "name": "default",
            "endpointId": "c5e9a6c7-1634-4807-bb37-00a2d57b24ae",
            "appVersionName": "smart-home-v1",
            "status": "APPLIED",
            "config": '{"interval":60}',
            "lastDispatchedDate": "2026-11-22T09:00:00.000Z",
            "lastConfirmedDate": "2026-11-22T09:00:00.240Z",
            "confirmationStatusCode": 200,
            "confirmationReasonPhrase": "OK",
        }
    )

    config_id: str
    name: str
    endpoint_id: str
    app_version_name: str
    status: State
    config: str
    last_dispatched_date: Annotated[Date | None, Field(exclude_if=_is_none)] = None
    last_confirmed_date: Annotated[Date | None, Field(exclude_if=_is_none)] = None
    confirmation_status_code: Annotated[int | None, Field(exclude_if=_is_none)] = None
    confirmation_reason_phrase: Annotated[str | None, Field(exclude_if=_is_none)] = None


class SortView(Camel):
    """Whether the list is ordered as the caller said."""

    empty: bool
    sorted: bool
    unsorted: bool


class PageableView(Camel):
    """Which page this is."""

    sort: SortView
    offset: int
    page_number: int
    page_size: int
    paged: Literal[True] = True
    unpaged: Literal[False] = False


class StatusesView(Camel):
    """One page of statuses."""

    content: list[StatusView]
    pageable: PageableView
    sort: SortView
    total_elements: int
    total_pages: int
    number: int
    size: int
    number_of_elements: int
    first: bool
    last: bool
    empty: bool


def status_routes(configurations: Configurations) -> list[Route]:
    """Give the route."""

    async def get_statuses(call: Call) -> StatusesView:
        query: StatusesQuery = call.query
        order = _order(query.sort)
        wanted = StatusesWanted(query.endpoint_id, query.app_version_name, query.config_id, query.name, query.status)
        found, total = await configurations.find_statuses(wanted, order=order, page=query.page, size=query.size)
        return _page(found, total, query, is_sorted=bool(order))

    return [
        Route(
            method="GET",
            path="/statuses",
            handler=get_statuses,
            summary="What became of configurations, the newest first",
            description="DISPATCHED: the endpoint was sent it; APPLIED or FAILED: it has said so itself.",
            query=StatusesQuery,
            returns=StatusesView,
            errors=(InvalidInput,),
        )
    ]


def _order(words: Sequence[str]) -> list[tuple[str, bool]]:
    order: list[tuple[str, bool]] = []
    for word in words:
        if word.lower() not in {"asc", "desc"}:
            order.append((word, False))
        elif order:
            order[-1] = (order[-1][0], word.lower() == "desc")
        else:
            raise InvalidInput(f"query.sort: {word!r} has no field before it")
    return order


def _page(found: Sequence[Status], total: int, query: StatusesQuery, *, is_sorted: bool) -> StatusesView:
    sort = SortView(empty=not is_sorted, sorted=is_sorted, unsorted=not is_sorted)
    pages = -(-total // query.size)
    return StatusesView(
        content=[_view(one) for one in found],
        pageable=PageableView(sort=sort, offset=query.page * query.size, page_number=query.page, page_size=query.size),
        sort=sort,
        total_elements=total,
        total_pages=pages,
        number=query.page,
        size=query.size,
        number_of_elements=len(found),
        first=query.page == 0,
        last=query.page >= pages - 1,
        empty=not found,
    )


def _view(one: Status) -> StatusView:
    return StatusView(
        config_id=one.config_id,
        name=one.name,
        endpoint_id=one.endpoint_id,
        app_version_name=one.app_version,
        status=one.state,
        config=one.content.decode(),
        last_dispatched_date=one.dispatched_ms,
        last_confirmed_date=one.confirmed_ms,
        confirmation_status_code=one.confirmation_code,
        confirmation_reason_phrase=one.confirmation_phrase,
    )
