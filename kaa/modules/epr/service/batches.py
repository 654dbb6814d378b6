"""Batches: up to a thousand endpoints registered together, beside the one who asked for it.

The protocol is that of one registration (see `register.py`), with two differences. The batch itself is kept in the
transaction that reserves its ids, so after a crash it goes on: nobody else gives its reservations back. And the tokens
are made up here and kept with the batch until they have been read, so the same order can be given again, and CM's
answer is the same.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from kaa.core.applications import Applications
from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput, NotFound, Refusal, TimedOut, TooMany, Unavailable
from kaa.core.ids import Ids
from kaa.core.storage.outbox import Outbox
from kaa.protocols import x_credentials
from kaa.protocols.names import ENDPOINT_ID, ENDPOINT_TOKEN, ApplicationName, AppVersionName, EndpointId, checked

from ..events import Event, Events
from ..metadata import check
from ..models import Batch, BatchItem, Endpoint
from ..repository import BatchRepository
from .tokens import TokenOrders

log = structlog.get_logger(__name__)

MAX_ITEMS = 1_000
KEPT_MS = 24 * 3_600_000
_MAX_RUNNING = 1_000
_CHECKED_AT_ONCE = 100
_STEP = 250  # the events of one commit go out in one go, and nothing else meanwhile
_ATTEMPTS = 12
_AGAIN_MS = 5_000


@dataclass(frozen=True, slots=True)
class NewItem:
    """An endpoint that is asked for; what is None is made up."""

    endpoint_id: str | None
    token: str | None
    metadata: Mapping[str, Any]


class Batches:
    """Registers batches, one after the other."""

    def __init__(
        self,
        *,
        batches: BatchRepository,
        tokens: TokenOrders,
        events: Events,
        applications: Applications[Any],
        outbox: Outbox,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._batches, self._tokens, self._events, self._outbox = batches, tokens, events, outbox
        self._applications, self._clock, self._ids = applications, clock, ids
        self._waiting: deque[str] = deque()
        self._has_work = asyncio.Event()

    async def begin(self, app_version: str, items: Sequence[NewItem]) -> str:
        """Take a batch in and give its id; its endpoints are made by and by.

        Raises:
            InvalidInput: it is too long, or an id, a token or metadata is not one; the sentence names which.
            NotFound: there is no such application version.
            TooMany: too many are waiting.
        """
        if len(items) > MAX_ITEMS:
            raise InvalidInput(f"endpoints: more than {MAX_ITEMS}")
        version = self._applications.get_version(app_version)
        if len(self._waiting) >= _MAX_RUNNING:
            raise TooMany("too many batches are waiting; try again later")
        ids, tokens = list[EndpointId](), list[str]()
        for at, item in enumerate(items):
            if at % _CHECKED_AT_ONCE == 0:
                await asyncio.sleep(0)
            _check(item, at)
            ids.append(EndpointId(item.endpoint_id or self._ids.uuid()))
            tokens.append(item.token or self._ids.token())
        batch = Batch(
            id=self._ids.uuid(),
            application=ApplicationName(version.application),
            app_version=AppVersionName(version.name),
            begun_ms=self._clock.now_ms(),
            items=tuple(BatchItem(one, item.metadata) for one, item in zip(ids, items, strict=True)),
            failures=_repeated(ids),
            tokens=tuple(tokens),
        )
        await self._batches.add(batch)
        self._put([batch.id])
        return batch.id

    async def get(self, application: str, batch_id: str, *, may_have_tokens: bool) -> Batch:
        """Give a batch as it is now; NotFound if the application has none of that id.

        Tokens are given when it has ended, to one who may have them, and once.
        """
        batch = await self._batches.get(batch_id)
        if batch.application != application:
            raise NotFound(f"there is no batch {batch_id!r}")
        tokens: Sequence[str] = ()
        if may_have_tokens and batch.tokens and batch.ended_ms is not None:
            tokens = await self._batches.take_tokens(batch_id)
        return replace(batch, tokens=tokens)

    async def clean_up(self) -> None:
        """Forget batches that ended a day ago."""
        await self._batches.remove_ended(before_ms=self._clock.now_ms() - KEPT_MS)

    async def keep_working(self) -> None:
        """Work off what an earlier run has left and what comes in; for a task of its own."""
        self._put(await self._batches.find_running())
        while True:
            await self._has_work.wait()
            if not self._waiting:
                self._has_work.clear()
                continue
            try:
                await self._work(self._waiting[0])
            except Refusal as no:
                log.warning("batch_put_off", reason=no.reason)
                await self._clock.sleep_ms(_AGAIN_MS)
                continue
            # a bug with one batch must not end the server, and again at the next start, where it is tried again
            except Exception:
                log.exception("batch_failed")
            self._waiting.popleft()

    def _put(self, ids: Sequence[str]) -> None:
        self._waiting.extend(one for one in ids if one not in self._waiting)
        self._has_work.set()

    async def _work(self, batch_id: str) -> None:
        """Make the endpoints that are to be made, a few hundred in one step, from where an earlier run has come to."""
        batch = await self._batches.get(batch_id)
        if batch.ended_ms is not None:
            return
        left = [at for at in range(batch.progress, len(batch.items)) if at not in batch.failures]
        refused, is_clear = await self._refusals(batch, left)
        while batch.ended_ms is None:
            until = min(batch.progress + _STEP, len(batch.items))
            places = [at for at in left if batch.progress <= at < until]
            failed = {at: refused[at] for at in places if at in refused}
            batch = replace(
                batch,
                progress=until,
                failures={**batch.failures, **failed},
                ended_ms=self._clock.now_ms() if until == len(batch.items) else None,
            )
            told = await self._batches.advance(
                batch,
                [self._made(batch, at) for at in places if at not in failed],
                dict(self._undone(batch, at, is_clear=is_clear) for at in failed),
            )
            await self._outbox.settled([message.correlation_id for _, message in told])
        log.info("batch_ended", made=len(batch.items) - len(batch.failures), failed=len(batch.failures))

    async def _refusals(self, batch: Batch, places: Sequence[int]) -> tuple[Mapping[int, str], bool]:
        """Order the tokens; gives why some are not to be had, by place, and whether it is clear that they are not."""
        orders = [
            x_credentials.TokenOrder(endpoint_id=batch.items[at].endpoint_id, token=batch.tokens[at]) for at in places
        ]
        try:
            issued = await self._ordered(batch.application, orders)
        except Refusal as no:
            return dict.fromkeys(places, no.reason), False
        answers = zip(places, issued, strict=True)
        return {
            at: f"endpointToken: {one.reason_phrase or 'it was not issued'}"
            for at, one in answers
            if one.status_code >= 300
        }, True

    async def _ordered(
        self, application: ApplicationName, orders: Sequence[x_credentials.TokenOrder]
    ) -> Sequence[x_credentials.IssuedToken]:
        """Order until there is an answer, for a minute."""
        if not orders:
            return ()
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._tokens.place(application, orders)
            except (Unavailable, TimedOut) as no:
                log.warning("tokens_put_off", reason=no.reason)
                await self._clock.sleep_ms(_AGAIN_MS)
        return await self._tokens.place(application, orders)

    def _made(self, batch: Batch, at: int) -> tuple[Endpoint, Event]:
        item, now = batch.items[at], self._clock.now_ms()
        made = Endpoint(item.endpoint_id, batch.application, batch.app_version, now, now, item.metadata)
        return made, self._events.registered(made.id, made.app_version)

    def _undone(self, batch: Batch, at: int, *, is_clear: bool) -> tuple[EndpointId, Event | None]:
        endpoint_id = batch.items[at].endpoint_id
        return endpoint_id, None if is_clear else self._events.unregistered(endpoint_id, batch.app_version)


def _check(item: NewItem, at: int) -> None:
    place = f"endpoints[{at}]"
    if item.endpoint_id is not None:
        checked(ENDPOINT_ID, item.endpoint_id, what=f"{place}.endpointId")
    if item.token is not None:
        checked(ENDPOINT_TOKEN, item.token, what=f"{place}.endpointToken")
    try:
        check(item.metadata)
    except InvalidInput as no:
        raise InvalidInput(f"{place}.{no.reason}") from None


def _repeated(ids: Sequence[EndpointId]) -> dict[int, str]:
    """Find ids that stand there more than once; the first one holds."""
    first: dict[EndpointId, int] = {}
    failures = {}
    for at, one in enumerate(ids):
        if first.setdefault(one, at) != at:
            failures[at] = f"endpointId: endpoints[{first[one]}] has it already"
    return failures
