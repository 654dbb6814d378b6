"""The rules of CMX towards devices: what they ask is answered, what they say is kept and told."""

import asyncio
from collections.abc import Sequence

from kaa.core.bus import Bus
from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput, Refusal
from kaa.core.ids import Ids
from kaa.core.storage.outbox import Outbox
from kaa.protocols import cdtp, cmp
from kaa.protocols.cmp import AppliedReport, ConfigQuery
from kaa.protocols.esp import ClientData, ExtensionData
from kaa.protocols.names import AppVersionName

from .models import Current, Key, Said
from .provider import Provider
from .recent import Recent
from .repository import Event, StateRepository

_IMPLICITLY = "Implicitly applied"


class _Asked:
    """A request for a configuration, and what it came to."""

    __slots__ = ("current", "key", "message", "query")

    def __init__(self, message: ClientData, key: Key, query: ConfigQuery) -> None:
        self.message, self.key, self.query = message, key, query
        self.current: Current | None = None

    @property
    def wants_payload(self) -> bool:
        """Whether the answer is carried back.

        A request without an id has no answer of its own; but what it would be is also what a push says, and the two
        have one topic. So the device that asks this way to observe has what there is to observe.
        """
        if self.message.request_id is not None:
            return True
        return self.current is not None and self.current.is_pushable and self.query.observe is not False


class ConfigurationManagement:
    """Answers devices. What a device says is on the disk before it is answered."""

    def __init__(
        self,
        *,
        name: str,
        states: StateRepository,
        provider: Provider,
        pulls: Recent,
        is_implicit: bool,
        outbox: Outbox,
        bus: Bus,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._applied_at = cdtp.config_applied(name)
        self._states, self._provider, self._pulls, self._is_implicit = states, provider, pulls, is_implicit
        self._outbox, self._bus, self._clock, self._ids = outbox, bus, clock, ids

    async def on_client_data(self, messages: list[ClientData]) -> list[ExtensionData]:
        """Take what devices ask and say, all that came together in one step."""
        replies: dict[str, ExtensionData] = {}
        asked, said, events, reported = list[_Asked](), list[Said](), list[Event](), list[ClientData]()
        speakers = list[ClientData]()
        for message in messages:
            try:
                if message.endpoint_id is None:
                    raise InvalidInput("a configuration is an endpoint's; the communication service has named none")
                read = cmp.read(message.resource_path, message.payload)
            except Refusal as no:
                replies[message.correlation_id] = self._reply(message, no)
                continue
            name = read.name if read.name != cmp.DEFAULT or message.config_name is None else message.config_name
            key = (message.endpoint_id, name)
            if isinstance(read, AppliedReport):
                reported.append(message)
                speakers.append(message)
                events.append(self._told(message.app_version_name, key, read.config_id, read))
                if read.is_applied:
                    said.append(Said(key, applied_id=read.config_id))
                continue
            self._pulls.note(key, message.timestamp_ms)
            asked.append(_Asked(message, key, read))
            if read.observe is not None:
                speakers.append(message)
                said.append(Said(key, observe=read.observe))
        if speakers:
            # before anything is waited for, so that what is said later is kept later
            try:
                await self._states.note_said(said, events, at_ms=self._clock.now_ms())
            except Refusal as no:
                replies |= {message.correlation_id: self._reply(message, no) for message in speakers}
        asked = [one for one in asked if one.message.correlation_id not in replies]
        await self._answer(asked, replies)
        if events:
            await self._outbox.settled([event.correlation_id for _, event in events])
        for message in reported:
            replies.setdefault(message.correlation_id, self._reply(message))
        return [replies[message.correlation_id] for message in messages]

    async def _answer(self, asked: Sequence[_Asked], replies: dict[str, ExtensionData]) -> None:
        async with asyncio.TaskGroup() as group:
            for one in asked:
                group.create_task(self._ask(one, replies))
        answered = [(one, one.current) for one in asked if one.current is not None]
        current = [(one.key, now.config_id) for one, now in answered if now.content is None and now.config_id]
        sent = [(one.key, now.config_id) for one, now in answered if now.content is not None and one.wants_payload]
        versions = {one.key: one.message.app_version_name for one, _ in answered}

        def tell(key: Key, config_id: str) -> Event:
            return self._told(versions[key], key, config_id, None)

        if current or sent:
            tell_or_not = tell if self._is_implicit else None
            try:
                await self._states.note_answered(current, sent, tell=tell_or_not, at_ms=self._clock.now_ms())
            except Refusal as no:
                replies |= {one.message.correlation_id: self._reply(one.message, no) for one, _ in answered}
        for one, now in answered:
            if one.message.correlation_id not in replies:
                replies[one.message.correlation_id] = self._rendered(one, now)

    async def _ask(self, one: _Asked, replies: dict[str, ExtensionData]) -> None:
        try:
            one.current = await self._provider.get(one.key, one.message.app_version_name, one.query.config_id)
        except Refusal as no:
            replies[one.message.correlation_id] = self._reply(one.message, no)

    def _rendered(self, one: _Asked, now: Current) -> ExtensionData:
        if not one.wants_payload:
            return self._reply(one.message)
        if now.content is None:
            return self._reply(one.message, payload=cmp.UNCHANGED)
        try:
            return self._reply(one.message, payload=cmp.configuration(now.config_id, now.content))
        except Refusal as no:
            return self._reply(one.message, no)

    def _told(self, app_version: AppVersionName, key: Key, config_id: str, report: AppliedReport | None) -> Event:
        """Make the event that an endpoint has a configuration, or why it has not; without a report it only asked."""
        message = cdtp.ConfigApplied(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            app_version_name=app_version,
            endpoint_id=key[0],
            config_id=config_id,
            originator_replica_id=self._bus.replica,
            status_code=200 if report is None else report.status_code,
            reason_phrase=_IMPLICITLY if report is None else report.reason_phrase,
        )
        return self._applied_at, message

    def _reply(self, message: ClientData, no: Refusal | None = None, payload: bytes | None = None) -> ExtensionData:
        return ExtensionData(
            correlation_id=message.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            app_version_name=message.app_version_name,
            extension_instance_name=None,
            endpoint_id=message.endpoint_id,
            resource_path=message.resource_path,
            request_id=message.request_id,
            payload=payload,
            status_code=200 if no is None else no.status,
            reason_phrase=None if no is None else no.reason,
        )
