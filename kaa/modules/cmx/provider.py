"""What CMX asks the instance that keeps the configurations."""

from collections.abc import Iterable, Sequence

import structlog

from kaa.core.bus import Bus, expect, unreachable
from kaa.core.clock import Clock
from kaa.core.errors import Unavailable
from kaa.core.ids import Ids
from kaa.protocols import cdtp, x_configurations
from kaa.protocols.cmp import DEFAULT
from kaa.protocols.names import AppVersionName, EndpointId

from .models import Current, Key

log = structlog.get_logger(__name__)

NOTHING = Current("", b"null")
_NAMES_KEPT = 10_000
_MOST_NAMES = 1_000


class _Waiting:
    """A question that has not been answered, and what has been told meanwhile."""

    __slots__ = ("told",)

    def __init__(self) -> None:
        self.told: Current | None = None


class Provider:
    """Asks the provider, over 6/CDTP and x-configurations.

    An answer and an event may overtake each other on the bus. What the provider tells while a question about the same
    configuration is open is as new as the answer, or newer, and so it is what counts.
    """

    def __init__(self, name: str, *, timeout_ms: int, bus: Bus, clock: Clock, ids: Ids) -> None:
        self._name, self._timeout_ms = name, timeout_ms
        self._configuration = cdtp.configuration(name)
        self._effective = x_configurations.effective_configurations(name)
        self._names_of = x_configurations.configuration_names(name)
        self._bus, self._clock, self._ids = bus, clock, ids
        self._waiting: dict[Key, list[_Waiting]] = {}
        self._names: dict[str, str] = {}

    async def get(self, key: Key, app_version: AppVersionName, known_id: str | None) -> Current:
        """Ask what an endpoint is to have, unless it is what it has; the provider's refusal if it cannot be said."""
        endpoint_id, name = key
        waiting = _Waiting()
        self._waiting.setdefault(key, []).append(waiting)
        request = cdtp.ConfigRequest(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            timeout_ms=self._timeout_ms,
            app_version_name=app_version,
            endpoint_id=endpoint_id,
            config_id=known_id,
            config_name=None if name == DEFAULT else name,
        )
        try:
            answer = expect(await self._bus.request(self._configuration, request, timeout_ms=self._timeout_ms))
        finally:
            others = self._waiting[key]
            others.remove(waiting)
            if not others:
                del self._waiting[key]
        if waiting.told is not None:
            return Current(known_id, None) if known_id and known_id == waiting.told.config_id else waiting.told
        if answer.content is None:
            return NOTHING if known_id is None else Current(known_id, None)
        return Current(answer.config_id or "", answer.content)

    def is_told(self, key: Key, told: Current) -> None:
        """Note what the provider has told of, for those that wait for its answer."""
        for waiting in self._waiting.get(key, ()):
            waiting.told = told

    async def effective(
        self, endpoints: Sequence[tuple[EndpointId, AppVersionName, str | None]]
    ) -> list[tuple[Key, str | None]]:
        """Ask what endpoints (at most 1000) are to have, by name and identifier.

        A provider that does not say is asked for each one's default configuration; its identifier is None here.

        Raises:
            Unavailable: the provider is not there.
            TimedOut: it has not answered.
        """
        request = x_configurations.EffectiveRequest(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            timeout_ms=self._timeout_ms,
            endpoints=tuple(
                x_configurations.EndpointVersion(endpoint_id=one, app_version_name=version, config_id=config_id)
                for one, version, config_id in endpoints
            ),
        )
        try:
            answer = expect(await self._bus.request(self._effective, request, timeout_ms=self._timeout_ms))
        except Unavailable:
            if not self._bus.is_heard(self._configuration):
                raise Unavailable(unreachable(self._configuration)) from None
            return [((endpoint_id, DEFAULT), None) for endpoint_id, _, _ in endpoints]
        return [((one.endpoint_id, one.config_name), one.config_id) for one in answer.configurations]

    async def names(self, config_ids: Iterable[str]) -> dict[str, str]:
        """Ask what configurations are called; what the provider does not know is the default one."""
        wanted = dict.fromkeys(config_ids)
        unknown = [one for one in wanted if one not in self._names]
        for at in range(0, len(unknown), _MOST_NAMES):
            await self._load_names(unknown[at : at + _MOST_NAMES])
        return {one: self._names.get(one, DEFAULT) for one in wanted}

    async def _load_names(self, config_ids: Sequence[str]) -> None:
        request = x_configurations.NamesRequest(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            timeout_ms=self._timeout_ms,
            config_ids=tuple(config_ids),
        )
        try:
            answer = expect(await self._bus.request(self._names_of, request, timeout_ms=self._timeout_ms))
        except Unavailable:
            return  # it has no names at all
        if len(self._names) + len(answer.names) > _NAMES_KEPT:
            self._names = {}
        self._names.update(answer.names)
