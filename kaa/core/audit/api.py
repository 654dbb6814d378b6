"""The audit log over REST, for admins."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, StringConstraints
from pydantic_core import from_json

from kaa.core.auth import Role
from kaa.core.dates import Date
from kaa.core.errors import InvalidInput
from kaa.core.http import Call, Camel, Page, PageQuery, Route, Stream
from kaa.core.http.render import to_json

from .models import Entry, Wanted
from .store import AuditStore

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Text = Annotated[str, StringConstraints(max_length=2048)]


class EntriesQuery(PageQuery):
    """Which entries are wanted: from a date on and before another one; `path` is how the path begins."""

    from_date: AwareDatetime | None = Field(None, description="From this time on, in ISO 8601 with its offset")
    to_date: AwareDatetime | None = Field(None, description="Before this time")
    key_id: Text | None = Field(None, description="What this key has changed, by its id")
    method: Text | None = Field(None, description="What was changed by this method, like DELETE")
    path: Text | None = Field(None, description="What was changed below this path")
    application: Text | None = Field(None, description="What was changed of this application")


class WhoView(Camel):
    """Who made a change: a key, or the command line."""

    key_id: str | None
    name: str | None
    role: str | None


class EntryView(Camel):
    """A change; `before` and `after` are what was there, or text with the beginning of its JSON where they are cut."""

    id: int
    date: Date
    who: WhoView
    method: str
    path: str
    operation: str
    application: str | None
    status: int
    correlation_id: str
    before: Any
    before_is_cut: bool
    after: Any
    after_is_cut: bool


def routes(store: AuditStore) -> list[Route]:
    """Give all that can be asked for."""

    async def get_entries(call: Call) -> Stream:
        query: EntriesQuery = call.query
        wanted = Wanted(
            from_ms=_ms(query.from_date),
            to_ms=_ms(query.to_date),
            key_id=query.key_id,
            method=None if query.method is None else query.method.upper(),
            path=query.path,
            application=query.application,
        )
        return Stream(chunks=_page(store, wanted, query))

    return [
        Route(
            method="GET",
            path="/entries",
            handler=get_entries,
            summary="The changes made over REST, newest first",
            query=EntriesQuery,
            returns=Page[EntryView],
            errors=(InvalidInput,),
            needs=Role.ADMIN,
        )
    ]


async def _page(store: AuditStore, wanted: Wanted, page: PageQuery) -> AsyncIterator[bytes]:
    yield b'{"totalElements":%d,"content":[' % await store.count(wanted)
    gap = b""
    async for entries in store.find(wanted, offset=page.offset, limit=page.limit):
        yield gap + to_json([_view(entry) for entry in entries])[1:-1]
        gap = b","
    yield b"]}"


def _view(entry: Entry) -> EntryView:
    return EntryView(
        id=entry.id,
        date=entry.at_ms,
        who=WhoView(key_id=entry.key_id, name=entry.key_name, role=entry.role),
        method=entry.method,
        path=entry.path,
        operation=entry.operation,
        application=entry.application,
        status=entry.status,
        correlation_id=entry.correlation_id,
        before=_shown(entry.before, is_cut=entry.is_before_cut),
        before_is_cut=entry.is_before_cut,
        after=_shown(entry.after, is_cut=entry.is_after_cut),
        after_is_cut=entry.is_after_cut,
    )


def _shown(text: str | None, *, is_cut: bool) -> Any:
    return text if text is None or is_cut else from_json(text)


def _ms(at: datetime | None) -> int | None:
    return None if at is None else (at - _EPOCH) // timedelta(milliseconds=1)
