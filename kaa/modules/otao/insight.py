"""What can be seen: where endpoints are, which way leads on from a version, and what runs on which kind of device."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import from_json, to_json

from kaa.core.applications import Applications
from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput, NotFound, Refusal
from kaa.protocols.names import METADATA_KEY, checked

from .catalogue import Release
from .catalogues import Catalogues
from .models import Installation, Status
from .offers import Offers
from .register import Register
from .repository import EndpointRepository
from .semver import check_version, key_of

_AT_ONCE = 32
_MAX_ENDPOINT_IDS = 1_000
_MAX_VALUES = 1_000


@dataclass(frozen=True, slots=True)
class Hop:
    """A step on the way; conditional, if filters or metadata decide who takes it."""

    release: Release
    is_conditional: bool


@dataclass(frozen=True, slots=True)
class Matrix:
    """How many endpoints run each version, by the value that they have for a key of metadata."""

    versions: list[str]
    rows: list[tuple[Any, dict[str, int]]]


class Insight:
    """Answers questions, and changes nothing."""

    def __init__(
        self,
        *,
        applications: Applications[None],
        catalogues: Catalogues,
        endpoints: EndpointRepository,
        offers: Offers,
        register: Register,
        clock: Clock,
    ) -> None:
        self._applications, self._catalogues = applications, catalogues
        self._endpoints, self._offers, self._register, self._clock = endpoints, offers, register, clock
        self._one_at_a_time = asyncio.Lock()

    async def find(
        self,
        application: str,
        *,
        endpoint_ids: Collection[str],
        versions: Collection[str],
        statuses: Collection[Status],
        offset: int,
        limit: int,
    ) -> tuple[list[Installation], int]:
        """Give one page of the endpoints that have reported anything, and how many there are in all."""
        self._applications.get(application)
        for what, given in (("endpointId", endpoint_ids), ("version", versions)):
            if len(given) > _MAX_ENDPOINT_IDS:
                raise InvalidInput(f"query.{what}: more than {_MAX_ENDPOINT_IDS}")
        return await self._endpoints.find_page(
            application, endpoint_ids=endpoint_ids, versions=versions, statuses=statuses, offset=offset, limit=limit
        )

    async def plan(self, application: str, start: str | None, endpoint_id: str | None) -> tuple[str, list[Hop]]:
        """Give the way that an endpoint would go from a version on, one report at a time, and where it begins.

        Without an endpoint whatever filters and metadata decide is taken to be decided for it, and said to be
        conditional; with one it is decided as it stands, and its own version is the start where none is given.
        """
        self._applications.get(application)
        one = None if endpoint_id is None else await self._get(application, endpoint_id)
        start = start or (None if one is None else one.version)
        if start is None:
            raise InvalidInput("from: it is not said, and the endpoint has not reported any")
        check_version(start, what="from")
        hops: list[Hop] = []
        seen, previous, at = {key_of(start)}, None if one is None else one.previous, start
        while (hop := await self._hop(application, one, at, previous)) is not None and hop.release.key not in seen:
            seen.add(hop.release.key)
            hops.append(hop)
            previous, at = at, hop.release.version
        return start, hops

    async def matrix(self, application: str, key: str) -> Matrix:
        """Count the endpoints that run each version, by their value for a key of metadata; null where there is none.

        Raises:
            InvalidInput: it is no key, or one with so many values that nobody could read the answer.
        """
        self._applications.get(application)
        checked(METADATA_KEY, key, what="query.key")
        async with self._one_at_a_time:  # it asks the register about every endpoint
            cells: dict[bytes, dict[str, int]] = {}
            running = await self._endpoints.find_versions(application)
            for at in range(0, len(running), _AT_ONCE):
                part = running[at : at + _AT_ONCE]
                for (_, version), value in zip(part, await self._values(part, key), strict=True):
                    if value is not None:
                        row = cells.setdefault(value, {})
                        row[version] = row.get(version, 0) + 1
                if len(cells) > _MAX_VALUES:
                    raise InvalidInput(f"query.key: {key} has more than {_MAX_VALUES} different values")
        releases = self._catalogues.of(application).releases
        other = sorted({version for row in cells.values() for version in row} - set(releases))
        names = {version: releases[version].version for version in releases} | {version: version for version in other}
        rows = [
            (from_json(value), {names[version]: row.get(version, 0) for version in names})
            for value, row in sorted(cells.items())
        ]
        return Matrix(list(names.values()), rows)

    async def _values(self, part: list[tuple[str, str]], key: str) -> list[bytes | None]:
        """Give the values of a key as JSON; None for endpoints that are no more."""

        async def ask(endpoint_id: str) -> bytes | Refusal | None:
            try:
                metadata = await self._register.metadata_of(endpoint_id, key)
            except Refusal as no:
                return no
            return None if metadata is None else to_json(metadata.get(key))

        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(ask(endpoint_id)) for endpoint_id, _ in part]
        values = []
        for task in asked:
            value = task.result()
            if isinstance(value, Refusal):
                raise value
            values.append(value)
        return values

    async def _hop(self, application: str, one: Installation | None, at: str, previous: str | None) -> Hop | None:
        if one is not None:
            release = await self._offers.next_of(replace(one, version=at, previous=previous))
            return None if release is None else Hop(release, is_conditional=False)
        candidates = self._catalogues.of(application).candidates(at, previous, now_ms=self._clock.now_ms())
        return Hop(candidates[0].release, candidates[0].is_conditional) if candidates else None

    async def _get(self, application: str, endpoint_id: str) -> Installation:
        one = (await self._endpoints.find([endpoint_id])).get(endpoint_id)
        if one is None or one.application != application:
            raise NotFound(f"endpointId: {endpoint_id!r} has reported nothing in application {application!r}")
        return one
