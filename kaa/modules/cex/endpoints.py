"""Which endpoints there are, as the register says, and under which version each speaks.

An answer of the register is remembered for a minute, so that a command costs no question more. It stays right because
the register waits for this instance to have heard of a deletion before it answers the one who deletes. What makes it
exact is the order of things here: between the look at what is remembered and the moment when the command stands in the
storage's queue nothing else happens, so a deletion that comes after the look removes that command, too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from kaa.core.bus import Bus, expect
from kaa.core.clock import Clock
from kaa.core.errors import NotFound
from kaa.core.ids import Ids
from kaa.protocols import x_register
from kaa.protocols.names import ENDPOINT_ID, ApplicationName, AppVersionName, EndpointId

T = TypeVar("T")

_LIFETIME_MS = 60_000
_MOST_KNOWN = 50_000
_MOST_VERSIONS = 200_000
_MOST_REMOVALS = 10_000
_MOST_ASKED = 1_000
_TIMEOUT_MS = 5_000


@dataclass(frozen=True, slots=True)
class Known:
    """An endpoint, as the register has it."""

    application: ApplicationName
    version: AppVersionName
    until_ms: int


class Endpoints:
    """Knows endpoints."""

    def __init__(self, *, register: str, bus: Bus, clock: Clock, ids: Ids) -> None:
        self._subject = x_register.find_endpoints(register)
        self._bus, self._clock, self._ids = bus, clock, ids
        self._known: dict[str, Known] = {}
        self._spoken: dict[str, AppVersionName] = {}
        self._removals = 0
        self._removed: dict[str, int] = {}

    async def get(self, endpoint_id: str) -> Known:
        """Give an endpoint; NotFound if there is none of that id."""
        known = self._known.get(endpoint_id)
        if known is not None and known.until_ms > self._clock.now_ms():
            return known
        is_id = ENDPOINT_ID.fullmatch(endpoint_id) is not None
        known = (await self.find([endpoint_id])).get(endpoint_id) if is_id else None
        if known is None:
            raise NotFound(f"there is no endpoint {endpoint_id!r}")
        _remember(self._known, endpoint_id, known, most=_MOST_KNOWN)
        return known

    async def find(self, endpoint_ids: Sequence[str]) -> dict[str, Known]:
        """Ask the register for endpoints; those that are deleted meanwhile are asked for once more."""
        found: dict[str, Known] = {}
        wanted = list(dict.fromkeys(endpoint_ids))
        while wanted:
            part, wanted = wanted[:_MOST_ASKED], wanted[_MOST_ASKED:]
            asked_at = self._removals
            found |= await self._ask(part)
            again = [one for one in part if one in found and self._removed.get(one, 0) > asked_at]
            for one in again:
                del found[one]
            wanted += again
        return found

    def version_of(self, endpoint_id: str, known: AppVersionName) -> AppVersionName:
        """Give the version that the endpoint has last connected under, or the one that the register knows."""
        return self._spoken.get(endpoint_id, known)

    def connected(self, versions: Mapping[EndpointId, AppVersionName]) -> None:
        """Note under which versions endpoints speak: that is where they listen, whatever the register says."""
        for endpoint_id, version in versions.items():
            _remember(self._spoken, endpoint_id, version, most=_MOST_VERSIONS)

    def forget(self, endpoint_ids: Iterable[str]) -> None:
        """Forget endpoints that have been deleted."""
        for endpoint_id in endpoint_ids:
            self._known.pop(endpoint_id, None)
            self._spoken.pop(endpoint_id, None)
            self._removals += 1
            _remember(self._removed, endpoint_id, self._removals, most=_MOST_REMOVALS)

    async def _ask(self, endpoint_ids: Sequence[str]) -> dict[str, Known]:
        request = x_register.FindRequest(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            timeout_ms=_TIMEOUT_MS,
            endpoint_ids=tuple(endpoint_ids),
        )
        answer = expect(await self._bus.request(self._subject, request, timeout_ms=_TIMEOUT_MS))
        until_ms = self._clock.now_ms() + _LIFETIME_MS
        return {one.endpoint_id: Known(one.app_name, one.app_version_name, until_ms) for one in answer.endpoints}


def _remember(known: dict[str, T], key: str, value: T, *, most: int) -> None:
    known.pop(key, None)
    while len(known) >= most:
        del known[next(iter(known))]
    known[key] = value
