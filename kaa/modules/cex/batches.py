"""Tasks: one command for many endpoints, those of a filter or those named.

The task and its first thousand commands are one transaction; the others are made a thousand at a time, in the
background, and after a restart from where they were. Endpoints that are gone by then are left out.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import structlog

from kaa.core.applications import Applications
from kaa.core.bus import Bus, expect
from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput, NotFound, Refusal
from kaa.core.ids import Ids
from kaa.protocols import efmp
from kaa.protocols.names import ApplicationName, EndpointId, FilterId

from .endpoints import Endpoints, Known
from .models import Made, Order, Outstanding, Spreading, TaskId
from .pushing import Pushes
from .repository import TaskRepository
from .service import Orders
from .sweeping import Deadlines

log = structlog.get_logger(__name__)

_AT_A_TIME = 1_000
_FILTER_MS = 10_000
_RETRY_MS = 1_000


class Batches:
    """Makes commands for many endpoints at once."""

    def __init__(
        self,
        *,
        register: str,
        orders: Orders,
        tasks: TaskRepository,
        applications: Applications[None],
        endpoints: Endpoints,
        pushes: Pushes,
        deadlines: Deadlines,
        bus: Bus,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._filtered = efmp.endpoints_by_filter(register)
        self._orders, self._tasks, self._applications = orders, tasks, applications
        self._endpoints, self._pushes, self._deadlines = endpoints, pushes, deadlines
        self._bus, self._clock, self._ids = bus, clock, ids
        self._spreading: deque[Spreading] = deque()
        self._has_work = asyncio.Event()

    async def create_for_filter(
        self, filter_id: str, command_type: str, payload: bytes | None, *, ttl_ms: int | None, deliver_ms: int | None
    ) -> TaskId:
        """Make a command for every endpoint that matches a filter now.

        Raises:
            NotFound: there is no such filter.
            Conflict: the filter is pending.
        """
        order = self._orders.make(command_type, payload, ttl_ms=ttl_ms, deliver_ms=deliver_ms)
        request = efmp.EndpointListByFilterRequest(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            timeout_ms=_FILTER_MS,
            filter_id=FilterId(filter_id),
        )
        answer = expect(await self._bus.request(self._filtered, request, timeout_ms=_FILTER_MS))
        application = ""  # of a filter without endpoints nobody says where it belongs
        for version in answer.app_versions_to_endpoints:
            application = self._applications.get_version(version).application
        ids = [EndpointId(one) for of_version in answer.app_versions_to_endpoints.values() for one in of_version]
        return await self._create(replace(order, application=ApplicationName(application)), filter_id, ids)

    async def create_for_endpoints(
        self,
        endpoint_ids: Sequence[str],
        command_type: str,
        payload: bytes | None,
        *,
        ttl_ms: int | None,
        deliver_ms: int | None,
    ) -> TaskId:
        """Make a command for each of these endpoints.

        Raises:
            NotFound: one of them is not there.
            InvalidInput: they belong to several applications.
        """
        order = self._orders.make(command_type, payload, ttl_ms=ttl_ms, deliver_ms=deliver_ms)
        ids = [EndpointId(one) for one in dict.fromkeys(endpoint_ids)]
        known = await self._endpoints.find(ids)
        missing = next((one for one in ids if one not in known), None)
        if missing is not None:
            raise NotFound(f"there is no endpoint {missing!r}")
        applications = {one.application for one in known.values()}
        if len(applications) > 1:
            raise InvalidInput(f"endpointIds: they belong to several applications: {', '.join(sorted(applications))}")
        return await self._create(replace(order, application=applications.pop()), None, ids)

    async def resume(self) -> None:
        """Take up what an earlier run has left."""
        self._spreading.extend(await self._tasks.find_unfinished())
        if self._spreading:
            self._has_work.set()

    async def run(self) -> None:
        """Make the commands that are left, of one task after the other; for a task of its own."""
        while True:
            await self._has_work.wait()
            while self._spreading:
                try:
                    await self._spread(self._spreading[0])
                except Refusal as no:
                    log.warning("spreading_put_off", reason=no.reason)
                    await self._clock.sleep_ms(_RETRY_MS)
            self._has_work.clear()

    async def _create(self, order: Order, filter_id: str | None, ids: Sequence[EndpointId]) -> TaskId:
        task_id = TaskId(self._ids.uuid())
        order = replace(order, task_id=task_id)
        first, left = ids[:_AT_A_TIME], ids[_AT_A_TIME:]
        known = await self._endpoints.find(first)
        made = await self._tasks.add(order, filter_id, [one for one in first if one in known], left)
        self._set_off(order, made, known)
        if left:
            self._spreading.append(Spreading(order, left))
            self._has_work.set()
        return task_id

    async def _spread(self, spreading: Spreading) -> None:
        order, ids = spreading.order, spreading.endpoint_ids
        for at in range(0, len(ids), _AT_A_TIME):
            part = ids[at : at + _AT_A_TIME]
            left = ids[at + len(part) :]
            known = await self._endpoints.find(part)
            made = await self._tasks.spread(order, [one for one in part if one in known], left=len(left))
            self._set_off(order, made, known)
            self._spreading[0] = Spreading(order, left)
        self._spreading.popleft()

    def _set_off(self, order: Order, made: Sequence[Made], known: dict[str, Known]) -> None:
        self._deadlines.note(order)
        if order.deliver_ms > order.created_ms:
            return  # let go of when it is due
        wanted = [Outstanding(one.key, order.payload) for one in made if one.is_observed]
        self._pushes.push(wanted, lambda one: self._endpoints.version_of(one, known[one].version))
