"""Which number stands for which value of an endpoint's series; remembered, so that a point costs a look-up."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from kaa.core.errors import InvalidInput, Unavailable

from .models import AUTO, Channel, ChannelId, Owner
from .repository import ChannelRepository

Key = str | tuple[str, str]
"""The field of an auto-extracted series, or the series and the value's name."""

Missing = dict[Owner, dict[Key, None]]
"""What has no channel yet: by owner, the keys in their order."""

_NONE: Mapping[Key, ChannelId] = {}


class Channels:
    """The channels of the endpoints that were heard lately."""

    def __init__(self, repository: ChannelRepository, *, max_per_endpoint: int, max_endpoints: int) -> None:
        self._repository = repository
        self._max_per_endpoint, self._max_endpoints = max_per_endpoint, max_endpoints
        self._known: dict[Owner, dict[Key, ChannelId]] = {}
        self._holders = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let nobody go while the block lasts: what was learned for a batch is looked up in it."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                while len(self._known) > self._max_endpoints:
                    del self._known[next(iter(self._known))]

    def of(self, owner: Owner) -> Mapping[Key, ChannelId]:
        """Give what is known of an endpoint."""
        return self._known.get(owner, _NONE)

    def note(self, missing: Missing | None, owner: Owner, key: Key) -> None:
        """Remember that a channel is missing.

        Raises:
            InvalidInput: it could not be made (`missing` is None), for the endpoint has as many as it may.
            Unavailable: it was made, and has been removed since.
        """
        if missing is not None:
            missing.setdefault(owner, {})[key] = None
        elif len(self.of(owner)) >= self._max_per_endpoint:
            raise InvalidInput(
                f"endpoint {owner[1]} has {self._max_per_endpoint} values already, and may have no more; "
                "look for names that change from message to message"
            )
        else:
            raise Unavailable(f"a series of endpoint {owner[1]} is being deleted; try again")

    async def learn(self, missing: Missing) -> None:
        """Find or make what is missing, as far as each endpoint may have it; for use while `held`."""
        unknown = [owner for owner in missing if owner not in self._known]
        if unknown:
            for owner in unknown:
                self._known[owner] = {}
            self._fill(await self._repository.of_endpoints({endpoint_id for _, endpoint_id in unknown}))
        wanted = []
        for owner, keys in missing.items():
            known = self._known.setdefault(owner, {})
            new = [key for key in keys if key not in known]
            room = max(0, self._max_per_endpoint - len(known))
            wanted += [(*owner, *_name(key)) for key in new[:room]]
        if wanted:
            self._fill(await self._repository.ensure(wanted))

    def forget(self) -> None:
        """Look everything up again: channels have been removed."""
        self._known.clear()

    def _fill(self, channels: list[Channel]) -> None:
        for channel in channels:
            known = self._known.get((channel.application, channel.endpoint_id))
            if known is not None:
                known[_key(channel.series, channel.value_name)] = channel.id


def _name(key: Key) -> tuple[str, str]:
    return (AUTO + key, "value") if isinstance(key, str) else key


def _key(series: str, value_name: str) -> Key:
    return series[len(AUTO) :] if series.startswith(AUTO) and value_name == "value" else (series, value_name)
