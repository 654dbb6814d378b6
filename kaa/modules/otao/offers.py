"""What an endpoint is to have: the one place where it is worked out, kept and told.

Everything that may change an offer (a report, a request, a filter, metadata, a version, a date) ends in `check`. For
each endpoint that is one at a time: what is known of it is read, the register is asked where filters or metadata have
a say, and state, offer and event are stored in one step. The step is only taken under the revision of the catalogue
that the offer was worked out from; where that has changed meanwhile all is done over. So a change of versions and a
report that come together end as if one had come after the other, and no offer is missed between them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kaa.core.clock import Clock
from kaa.core.errors import Refusal, Unavailable
from kaa.core.ids import Ids
from kaa.protocols import cdtp
from kaa.protocols.names import AppVersionName, EndpointId

from .catalogue import Catalogue, Release
from .catalogues import Catalogues
from .locks import EndpointLocks
from .models import Installation, Report, Rollout, Status, is_same
from .register import Register
from .repository import Change, EndpointRepository, Event, SoftwareRepository

_ATTEMPTS = 5
_AT_ONCE = 32
_WITHOUT_PAUSE = 100
NOTHING = b"{}"
"""The content of a version that has no specification: null would mean that there is no version."""


@dataclass(frozen=True, slots=True)
class Check:
    """An endpoint to be looked at, and why.

    Args:
        endpoint_id: which.
        at_ms: when the reason for it came about.
        application: where it belongs, if the reason says so.
        app_version: the version it had then, if the reason says so.
        report: what it said.
        is_asked: it asks for its offer and gets it as the answer, so there is nothing to push.
        changed: the version whose content is new, and is pushed again to those that were told of it before.
        changed_at: the revision of the catalogue since which it is.
    """

    endpoint_id: str
    at_ms: int
    application: str | None = None
    app_version: str | None = None
    report: Report | None = None
    is_asked: bool = False
    changed: str | None = None
    changed_at: int = 0


@dataclass(frozen=True, slots=True)
class Offer:
    """A version for an endpoint, and its content."""

    version: str
    content: bytes


@dataclass(frozen=True, slots=True)
class _Step:
    """What is to become of one endpoint; `due` is what it is to have."""

    check: Check
    before: Installation | None
    after: Installation | None
    due: Release | None = None
    is_pushed: bool = False


class Offers:
    """Works out what endpoints are to have, and tells those that hand it on."""

    def __init__(
        self,
        *,
        name: str,
        replica: str,
        catalogues: Catalogues,
        software: SoftwareRepository,
        endpoints: EndpointRepository,
        register: Register,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._name, self._replica = name, replica
        self._catalogues, self._software, self._endpoints = catalogues, software, endpoints
        self._register, self._clock, self._ids = register, clock, ids
        self._locks = EndpointLocks()

    async def check(self, checks: Sequence[Check]) -> list[Offer | Refusal | None]:
        """Look at endpoints, and push what is due to those that do not ask; gives what each is to have, in order.

        A Refusal stands for an endpoint that cannot be decided now; nothing of it has been kept.
        """
        answers: list[Offer | Refusal | None] = [None] * len(checks)
        rest = list(enumerate(checks))
        while rest:
            taken: dict[str, int] = {}
            later = []
            for at, check in rest:
                if check.endpoint_id in taken:
                    later.append((at, check))
                else:
                    taken[check.endpoint_id] = at
            async with self._locks.held(taken):
                given, _ = await self._settle([checks[at] for at in taken.values()])
            for at, answer in zip(taken.values(), given, strict=True):
                answers[at] = answer
            rest = later
        return answers

    async def advance(self, rollout: Rollout, endpoint_ids: Sequence[str]) -> list[str]:
        """Look at the next endpoints of a roll-out, and note that it has come so far; gives the events' identities.

        Raises:
            Refusal: one of them cannot be decided now; nothing has been kept.
        """
        now = self._clock.now_ms()
        checks = [
            Check(endpoint_id, now, changed=rollout.changed, changed_at=rollout.revision)
            for endpoint_id in endpoint_ids
        ]
        async with self._locks.held(endpoint_ids):
            answers, events = await self._settle(checks, rollout=replace(rollout, after=endpoint_ids[-1]))
        for answer in answers:
            if isinstance(answer, Refusal):
                raise answer
        return [message.correlation_id for _, message in events]

    async def forget(self, gone: Mapping[str, int]) -> None:
        """Forget endpoints that were deleted, each at its time."""
        async with self._locks.held(gone):
            await self._endpoints.remove(gone, now_ms=self._clock.now_ms())

    async def preview(self, asked: Sequence[tuple[str, str, str, str | None]]) -> list[Release | None]:
        """Give what endpoints are to have, and keep nothing.

        Args:
            asked: application, application version, endpoint and the version that it runs, if it says so.
        """
        known = await self._endpoints.find([endpoint_id for _, _, endpoint_id, _ in asked])
        wanted = []
        for application, app_version, endpoint_id, running in asked:
            one = known.get(endpoint_id)
            if one is None or one.application != application:
                one = Installation(endpoint_id, application, app_version, 0)
            if running and (one.version is None or not is_same(one.version, running)):
                one = replace(one, version=running, previous=one.version)
            wanted.append((self._catalogues.of(application), replace(one, app_version=app_version)))
        found = []
        for release in await self._select_all(wanted):
            if isinstance(release, Refusal):
                raise release
            found.append(release)
        return found

    async def next_of(self, one: Installation) -> Release | None:
        """Give what an endpoint would have next if that was what it runs, and keep nothing."""
        return await self._select(self._catalogues.of(one.application), one, now_ms=self._clock.now_ms())

    async def _settle(
        self, checks: Sequence[Check], *, rollout: Rollout | None = None
    ) -> tuple[list[Offer | Refusal | None], list[Event]]:
        for _ in range(_ATTEMPTS):
            found = await self._endpoints.find([check.endpoint_id for check in checks])
            steps = [_begun(check, found.get(check.endpoint_id)) for check in checks]
            names = {step.after.application for step in steps if step.after is not None}
            catalogues = {name: self._catalogues.of(name) for name in names}
            wanted = [(catalogues[s.after.application], s.after) for s in steps if s.after is not None]
            selected = iter(await self._select_all(wanted))
            now = self._clock.now_ms()
            decided = [
                step
                if step.after is None
                else _decided(step, next(selected), at_ms=now, revision=catalogues[step.after.application].revision)
                for step in steps
            ]
            if rollout is not None and any(isinstance(one, Refusal) for one in decided):
                return [one if isinstance(one, Refusal) else None for one in decided], []
            contents = await self._contents([one for one in decided if isinstance(one, _Step)])
            changes = self._changes([one for one in decided if isinstance(one, _Step)], contents)
            revisions = {name: catalogue.revision for name, catalogue in catalogues.items()}
            is_nothing = not changes and rollout is None
            if is_nothing or await self._endpoints.save(changes, revisions=revisions, rollout=rollout):
                events = [change.event for change in changes if change.event is not None]
                return [one if isinstance(one, Refusal) else _offer(one, contents) for one in decided], events
            for name in names:
                await self._catalogues.refresh(name)
        raise Unavailable("the software versions are being changed; try again")

    async def _select_all(self, wanted: Sequence[tuple[Catalogue, Installation]]) -> list[Release | Refusal | None]:
        """Give what each is to have; the register is asked for some at a time, and only where it has a say."""
        found: list[Release | Refusal | None] = [None] * len(wanted)
        open_: list[int] = []
        now = self._clock.now_ms()
        for at, (catalogue, one) in enumerate(wanted):
            if at % _WITHOUT_PAUSE == _WITHOUT_PAUSE - 1:
                await asyncio.sleep(0)
            if one.version is None:
                continue
            candidates = catalogue.candidates(one.version, one.previous, now_ms=now)
            if candidates and candidates[0].is_conditional:
                open_.append(at)
            elif candidates:
                found[at] = candidates[0].release

        async def ask(at: int) -> None:
            catalogue, one = wanted[at]
            try:
                found[at] = await self._select(catalogue, one, now_ms=now)
            except Refusal as no:
                found[at] = no

        for start in range(0, len(open_), _AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for at in open_[start : start + _AT_ONCE]:
                    group.create_task(ask(at))
        return found

    async def _select(self, catalogue: Catalogue, one: Installation, *, now_ms: int) -> Release | None:
        metadata: Mapping[str, object] | None = None
        is_asked = False
        for candidate in catalogue.candidates(one.version or "", one.previous, now_ms=now_ms):
            filter_ids, query = candidate.filter_ids, candidate.release.query
            if filter_ids is not None and not await self._register.is_member(one.endpoint_id, filter_ids):
                continue
            if query is not None:
                if not is_asked:
                    metadata, is_asked = await self._register.metadata_of(one.endpoint_id), True
                if metadata is None or not query.matches(one.app_version, metadata):
                    continue
            return candidate.release
        return None

    async def _contents(self, steps: Sequence[_Step]) -> dict[tuple[str, str], Offer]:
        """Read the content of what is told, by application and key."""
        wanted: dict[str, set[str]] = {}
        for step in steps:
            if step.due is not None and step.after is not None and (step.is_pushed or step.check.is_asked):
                wanted.setdefault(step.after.application, set()).add(step.due.key)
        contents = {}
        for application, keys in wanted.items():
            for key, software in (await self._software.find(application, keys)).items():
                contents[application, key] = Offer(software.version, software.specification or NOTHING)
        return contents

    def _changes(self, steps: Sequence[_Step], contents: Mapping[tuple[str, str], Offer]) -> list[Change]:
        changes = []
        for step in steps:
            event = None
            if step.is_pushed and (offer := _offer(step, contents)) is not None and step.after is not None:
                event = self._updated(step.after, offer)
            if step.after is not None and (event is not None or step.after != step.before):
                changes.append(Change(step.after, step.before is None, event))
        return changes

    def _updated(self, one: Installation, offer: Offer) -> Event:
        message = cdtp.ConfigUpdated(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            app_version_name=AppVersionName(one.app_version),
            endpoint_id=EndpointId(one.endpoint_id),
            config_id=offer.version,
            content=offer.content,
            originator_replica_id=self._replica,
        )
        return cdtp.config_updated(self._name), message


def _begun(check: Check, before: Installation | None) -> _Step:
    """Take in what the endpoint said; of one that nobody knows and that says nothing there is nothing to keep."""
    if before is not None and check.application is not None and before.application != check.application:
        before = None  # the id has been registered anew, elsewhere
    after = before
    if before is None:
        if check.report is None or check.application is None or check.app_version is None:
            return _Step(check, before, None)
        after = Installation(check.endpoint_id, check.application, check.app_version, check.at_ms)
    assert after is not None
    after = after.moved(check.app_version, check.at_ms)
    if check.report is not None and after.takes(check.report):
        after = after.reported(check.report)
    return _Step(check, before, after)


def _decided(step: _Step, due: Release | Refusal | None, *, at_ms: int, revision: int) -> _Step | Refusal:
    if isinstance(due, Refusal):
        return due
    assert step.after is not None
    before, check = step.before, step.check
    version = None if due is None else due.version
    after = step.after.offering(version, at_ms=at_ms)
    is_new = version is not None and version != (None if before is None else before.offered)
    is_repeated = due is not None and due.key == check.changed and after.told < check.changed_at
    is_pushed = not check.is_asked and (is_new or is_repeated or (due is not None and _is_waiting(step, after)))
    if due is not None and (is_pushed or check.is_asked):
        after = replace(after, told=revision)
    return replace(step, after=after, due=due, is_pushed=is_pushed)


def _is_waiting(step: _Step, after: Installation) -> bool:
    """Whether an endpoint has just said what it runs, and waits for what comes next, told before or not.

    One that could not install it would try again at once, and again; it may ask, and is told when it connects.
    """
    report = step.check.report
    return report is not None and after.last is report and report.is_success and after.status is not Status.FAILED


def _offer(step: _Step, contents: Mapping[tuple[str, str], Offer]) -> Offer | None:
    if step.due is None or step.after is None:
        return None
    return contents.get((step.after.application, step.due.key))
