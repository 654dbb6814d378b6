"""The endpoints: how they come to be, change and go.

How a registration stays whole. An endpoint lives here, its token in CM, and no transaction spans both. So:

1. the id is reserved, in one transaction: from here on nobody else gets it, and nobody sees an endpoint yet;
2. CM is asked for the token;
3. the reservation becomes the endpoint and `registered` is told, in one transaction, and only now is the caller
   answered.

CM's "no" gives the id back. Where it is not known whether CM has issued the token (no answer, or a crash between 1
and 3), the id is given back together with an `unregistered` in the outbox: at once, or at the next start, or within
two minutes. CM then deletes whatever it has issued. The order matters: had the token been issued before the id was
reserved, two callers with one id would leave a token behind that belongs to the loser and works; had the endpoint been
made first, a crash would leave an endpoint whose token nobody has ever seen.

A caller that was cut off may thus repeat his request word by word. CM's answer to the same order is the same, and it
leaves alone what it has issued after the time of an `unregistered`, so one that comes late takes nothing away.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from kaa.core.applications import Applications
from kaa.core.clock import Clock
from kaa.core.errors import Conflict, InvalidInput, NotFound, Refusal, refusal
from kaa.core.ids import Ids
from kaa.core.storage.outbox import Outbox
from kaa.protocols import elce, x_credentials, x_register
from kaa.protocols.names import (
    ENDPOINT_ID,
    ENDPOINT_TOKEN,
    ApplicationName,
    AppVersionName,
    EndpointId,
    checked,
)

from ..events import Events
from ..metadata import check
from ..models import Endpoint, Included, Moved, Registered, Relation, Wanted
from ..repository import EndpointRepository, Event, RegistrationRepository, SearchRepository
from .relations import check as check_relations
from .tokens import TokenOrders

log = structlog.get_logger(__name__)

_MAX_FOUND = 1_000
_NOTHING_ELSE = Included()
_MAX_GONE = 1_000
_STEP = 250  # the events of one commit go out in one go, and nothing else meanwhile


def _unrelated(_: EndpointId) -> Sequence[Relation]:
    return ()


class Register:
    """Keeps the endpoints."""

    def __init__(
        self,
        *,
        endpoints: EndpointRepository,
        search: SearchRepository,
        registrations: RegistrationRepository,
        tokens: TokenOrders,
        events: Events,
        applications: Applications[Any],
        outbox: Outbox,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._endpoints, self._search = endpoints, search
        self._registrations, self._tokens = registrations, tokens
        self._events, self._applications, self._outbox = events, applications, outbox
        self._clock, self._ids = clock, ids

    async def register(
        self,
        app_version: str,
        *,
        endpoint_id: str | None = None,
        token: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        relations: Callable[[EndpointId], Sequence[Relation]] = _unrelated,
    ) -> Registered:
        """Make an endpoint and its token; what is not given is made up, and `relations` are given its id.

        Raises:
            InvalidInput: the id, the token or the metadata is not one; the sentence names which.
            NotFound: there is no such application version, or one that it is to be related to is not there.
            Conflict: the id or the token is taken.
        """
        chosen = EndpointId(
            self._ids.uuid() if endpoint_id is None else checked(ENDPOINT_ID, endpoint_id, what="endpointId")
        )
        if token is not None:
            checked(ENDPOINT_TOKEN, token, what="endpointToken")
        check(metadata or {})
        version = self._applications.get_version(app_version)
        application, version_name = ApplicationName(version.application), AppVersionName(version.name)
        related = relations(chosen)
        await self._check_relations(chosen, related)
        await self._registrations.add(chosen, version_name, at_ms=self._clock.now_ms())
        is_clear = False
        try:
            order = x_credentials.TokenOrder(endpoint_id=chosen, token=token)
            [issued] = await self._tokens.place(application, [order])
            is_clear = issued.status_code >= 300
            if is_clear:
                raise refusal(issued.status_code, f"endpointToken: {issued.reason_phrase or 'it was not issued'}")
            now = self._clock.now_ms()
            made = Endpoint(chosen, application, version_name, now, now, dict(metadata or {}))
            told = await self._registrations.complete(
                made,
                related,
                self._events.registered(made.id, made.app_version),
                tell_related=self._events.relations_updated,
            )
        except Refusal:
            await self._give_back([(chosen, version_name)], is_clear=is_clear)
            raise
        await self._heard(told)
        return Registered(made, issued.token or "", issued.status or "")

    async def clean_up(self, *, older_than_ms: int = 0) -> None:
        """Give back the ids of registrations that were not completed, with whatever CM has issued for them."""
        left = await self._registrations.find(before_ms=self._clock.now_ms() - older_than_ms)
        if left:
            await self._give_back(left, is_clear=False)
            log.info("registrations_undone", count=len(left))

    async def get(self, endpoint_id: str, included: Included = _NOTHING_ELSE) -> Endpoint:
        """Give one endpoint."""
        return await self._search.get(endpoint_id, included)

    async def find(
        self, wanted: Wanted, *, offset: int, limit: int, included: Included = _NOTHING_ELSE
    ) -> tuple[list[Endpoint], int]:
        """Give one page of the endpoints wanted, oldest first, and how many there are in all.

        Raises:
            NotFound: they are wanted by a filter, and there is none of that id.
            Conflict: it is not yet known who matches the filter.
        """
        return await self._search.find(wanted, offset=offset, limit=limit, included=included)

    async def unregister(self, endpoint_id: str) -> None:
        """Delete an endpoint; its tokens go with it."""
        if not await self._removed([endpoint_id]):
            raise NotFound(f"there is no endpoint {endpoint_id!r}")

    async def unregister_all(self, ids: Sequence[str]) -> tuple[int, list[str]]:
        """Delete endpoints; gives how many, and the ids that are not there."""
        wanted = list(dict.fromkeys(ids))
        if len(wanted) > _MAX_GONE:
            raise InvalidInput(f"endpointIds: more than {_MAX_GONE}")
        gone = set[str]()
        for at in range(0, len(wanted), _STEP):
            gone |= await self._removed(wanted[at : at + _STEP])
        return len(gone), [one for one in wanted if one not in gone]

    async def move(self, endpoint_id: str, app_version: str) -> Endpoint:
        """Move an endpoint to another version of its application, and give it as it now is.

        Raises:
            NotFound: there is no such endpoint, or no such version.
            Conflict: the version belongs to another application, or the endpoint has been moved meanwhile.
        """
        version = self._applications.get_version(app_version)
        endpoint = await self._search.get(endpoint_id, _NOTHING_ELSE)
        if version.application != endpoint.application:
            raise Conflict(f"name: endpoint {endpoint_id!r} belongs to application {endpoint.application!r}")
        if version.name == endpoint.app_version:
            return endpoint
        now = self._clock.now_ms()
        moved = Moved(endpoint.id, AppVersionName(version.name), endpoint.app_version, now)
        told = await self._endpoints.update_versions([moved], self._events.moved)
        if not told:
            raise Conflict(f"endpoint {endpoint_id!r} has been moved or deleted meanwhile; read it again and retry")
        await self._heard(told)
        return replace(endpoint, app_version=moved.app_version, version_since_ms=now)

    async def on_connected(self, events: list[elce.ConnectedEvent]) -> None:
        """Have endpoints follow to the version that their device speaks; the last one reported holds."""
        reported = {
            endpoint_id: (version, event.timestamp_ms)
            for event in events
            for endpoint_id, version in event.endpoints.items()
        }
        moved = []
        for endpoint in await self._endpoints.find_by_id(list(reported)):
            name, at_ms = reported[endpoint.id]
            version = self._applications.find_version(name)
            # a token belongs to one application, so a device cannot have come from another; whoever says so is wrong
            if version is None or version.application != endpoint.application or name == endpoint.app_version:
                continue
            moved.append(Moved(endpoint.id, AppVersionName(name), endpoint.app_version, at_ms))
        for at in range(0, len(moved), _STEP):
            await self._endpoints.update_versions(moved[at : at + _STEP], self._events.moved)

    async def on_count(self, request: x_register.CountRequest) -> x_register.CountResponse:
        """Count the endpoints of an application, or of one version."""
        count = await self._search.count(Wanted((), request.app_name, request.app_version_name))
        return x_register.CountResponse(
            correlation_id=request.correlation_id, timestamp_ms=self._clock.now_ms(), count=count, status_code=200
        )

    async def on_find(self, request: x_register.FindRequest) -> x_register.FindResponse:
        """Say which of some endpoints there are."""
        if len(request.endpoint_ids) > _MAX_FOUND:
            raise InvalidInput(f"endpointIds: more than {_MAX_FOUND}")
        found = await self._endpoints.find_by_id(request.endpoint_ids)
        return x_register.FindResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            endpoints=tuple(
                x_register.FoundEndpoint(endpoint_id=one.id, app_name=one.application, app_version_name=one.app_version)
                for one in found
            ),
            status_code=200,
        )

    async def _check_relations(self, endpoint_id: EndpointId, relations: Sequence[Relation]) -> None:
        check_relations(relations)
        others = {one for relation in relations for one in (relation.from_id, relation.to_id)} - {endpoint_id}
        if not others:
            return
        present = {one.id for one in await self._endpoints.find_by_id(list(others))}
        if missing := sorted(others - present):
            raise NotFound(f"relations: there is no endpoint {missing[0]!r}")

    async def _give_back(self, ids: Sequence[tuple[EndpointId, AppVersionName]], *, is_clear: bool) -> None:
        """Undo reservations; unless it is clear that no token was issued, have CM delete what it may have."""
        await self._registrations.remove({one[0]: None if is_clear else self._events.unregistered(*one) for one in ids})

    async def _removed(self, ids: Sequence[str]) -> set[str]:
        gone, told = await self._endpoints.remove(
            ids,
            lambda one: self._events.unregistered(one.id, one.app_version),
            self._events.relations_updated,
        )
        await self._heard(told)
        return {one.id for one in gone}

    async def _heard(self, events: Sequence[Event]) -> None:
        await self._outbox.settled([message.correlation_id for _, message in events])
