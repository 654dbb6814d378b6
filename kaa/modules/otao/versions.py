"""The rules of software versions: how they come to be, change and go, and are taken back."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import from_json

from kaa.core.applications import Applications
from kaa.core.clock import Clock
from kaa.core.endpoint_query import parse
from kaa.core.errors import Conflict, InvalidInput, NotFound
from kaa.core.ids import Ids

from .catalogue import Release
from .catalogues import Catalogues
from .models import Rollback, Rules, Software, Strategy, is_same
from .repository import EndpointRepository, SoftwareRepository
from .semver import check_version, key_of

MAX_SPECIFICATION_BYTES = 128 * 1024
MAX_METADATA_BYTES = 32 * 1024
_DEEPEST = 32
_MAX_LEFT = 10_000
_PAGE = 5

Check = Callable[[Software], None]


@dataclass(frozen=True, slots=True)
class Draft:
    """A version as somebody wrote it; specification and metadata are JSON."""

    specification: bytes | None
    metadata: bytes | None
    rules: Rules


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A roll-back: how many of the endpoints that run the version are offered another, and which are left alone."""

    version: str
    rollback: Rollback
    offered: int
    left: int
    left_endpoints: list[tuple[str, str | None]]


class Versions:
    """Keeps the software versions of each application; what a change makes due is told by and by."""

    def __init__(
        self,
        *,
        applications: Applications[None],
        catalogues: Catalogues,
        software: SoftwareRepository,
        endpoints: EndpointRepository,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._applications, self._catalogues = applications, catalogues
        self._software, self._endpoints = software, endpoints
        self._clock, self._ids = clock, ids

    async def add(self, application: str, version: str, draft: Draft) -> Software:
        """Make a version.

        Raises:
            InvalidInput: something in it is not as it must be; the sentence names what.
            NotFound: there is no such application.
            Conflict: it has that version, or the graph would lead back to where it began.
        """
        self._applications.get(application)
        check_version(version, what="version")
        draft = _checked(draft)
        now = self._clock.now_ms()
        made = Software(
            application=application,
            version=version,
            id=self._ids.uuid(),
            specification=draft.specification,
            metadata=draft.metadata,
            rules=draft.rules,
            created_ms=now,
            updated_ms=now,
        )
        self._catalogues.put(application, await self._software.add(made, at_ms=now))
        return made

    async def put(self, application: str, version: str, named: str | None, draft: Draft, *, check: Check) -> Software:
        """Replace all but the version itself; `check` looks at what is there before.

        Args:
            application: whose version it is.
            version: which.
            named: the version that the new state gives, if it does.
            draft: the new state.
            check: raises what stands against it.
        """
        self._applications.get(application)
        if named is not None and not is_same(version, named):
            raise InvalidInput(f"version: {named[:80]!r} is another one than that of the path, {version[:80]!r}")
        draft = _checked(draft)

        def edit(present: Software) -> Software:
            rollback = present.rules.rollback
            if rollback is not None and draft.rules.strategy is not Strategy.SUSPENDED:
                raise Conflict(f"rolloutStrategy: {present.version} is being taken back; delete its roll-back first")
            rules = replace(draft.rules, rollback=rollback)
            return replace(present, specification=draft.specification, metadata=draft.metadata, rules=rules)

        return await self._update(application, version, edit, check=check)

    async def get(self, application: str, version: str) -> Software:
        """Give one version."""
        self._applications.get(application)
        return await self._software.get(application, version)

    async def find(self, application: str) -> AsyncIterator[list[Software]]:
        """Give all versions of an application, the smallest first, some at a time: together they may be large."""
        self._applications.get(application)
        keys = list(self._catalogues.of(application).releases)
        for at in range(0, len(keys), _PAGE):
            part = keys[at : at + _PAGE]
            found = await self._software.find(application, part)
            yield [found[key] for key in part if key in found]

    async def remove(self, application: str, version: str, *, check: Check) -> None:
        """Delete a version; endpoints that run it go on doing so."""
        self._applications.get(application)

        def run(present: Software) -> None:
            check(present)
            if present.rules.rollback is not None:
                raise Conflict(f"{present.version} is being taken back; delete its roll-back first")

        new = await self._software.remove(application, version, check=run, at_ms=self._clock.now_ms())
        self._catalogues.put(application, new)

    async def take_back(self, application: str, version: str, to: str | None) -> TakenBack:
        """Suspend a version, and offer those that run it the one that they came from, or the one named.

        Raises:
            InvalidInput: `to` is no version, or the one that is taken back.
            NotFound: one of the two is not there.
        """
        self._applications.get(application)
        now = self._clock.now_ms()
        if to is not None:
            check_version(to, what="to")
            if is_same(version, to):
                raise InvalidInput(f"to: {to} cannot be taken back to itself")
            if self._catalogues.of(application).find(to) is None:
                raise NotFound(f"to: application {application!r} has no software version {to!r}")

        def edit(present: Software) -> Software:
            begun = present.rules.rollback
            rollback = Rollback(to, now if begun is None else begun.since_ms)
            return replace(present, rules=replace(present.rules, strategy=Strategy.SUSPENDED, rollback=rollback))

        await self._update(application, version, edit)
        return await self.get_taken_back(application, version)

    async def get_taken_back(self, application: str, version: str) -> TakenBack:
        """Say how far a roll-back has come."""
        software = await self.get(application, version)
        rollback = software.rules.rollback
        if rollback is None:
            raise NotFound(f"{software.version} is not being taken back")
        back = self._catalogues.of(application).back_from(Release(software.version, software.rules))
        offered, left, left_endpoints = await self._endpoints.split_by_previous(
            application,
            software.key,
            lambda previous: key_of(rollback.to or previous or "") in back,
            limit=_MAX_LEFT,
        )
        return TakenBack(software.version, rollback, offered, left, left_endpoints)

    async def leave_taken_back(self, application: str, version: str) -> None:
        """End a roll-back; the version stays suspended until somebody rolls it out again."""
        self._applications.get(application)

        def edit(present: Software) -> Software:
            if present.rules.rollback is None:
                raise NotFound(f"{present.version} is not being taken back")
            return replace(present, rules=replace(present.rules, rollback=None))

        await self._update(application, version, edit)

    async def _update(
        self, application: str, version: str, edit: Callable[[Software], Software], *, check: Check | None = None
    ) -> Software:
        now = self._clock.now_ms()
        updated, new = await self._software.update(application, version, edit, check=check, at_ms=now)
        if new is not None:
            self._catalogues.put(application, new)
        return updated


def _checked(draft: Draft) -> Draft:
    """Give a draft with its query as an object, or refuse what cannot be."""
    for what, text, most in (
        ("specification", draft.specification, MAX_SPECIFICATION_BYTES),
        ("metadata", draft.metadata, MAX_METADATA_BYTES),
    ):
        if text is not None:
            if len(text) > most:
                raise InvalidInput(f"{what}: more than {most} bytes of JSON")
            _check_depth(from_json(text), what)
    rules = draft.rules
    for what, versions in (("upgradableFrom", rules.upgradable_from), ("downgradableTo", rules.downgradable_to)):
        for at, version in enumerate(versions):
            check_version(version, what=f"{what}[{at}]")
    ids = [target.filter_id for target in rules.targets]
    if len(set(ids)) < len(ids):
        raise InvalidInput("filters: one of them is named twice")
    if rules.compatible_with is not None:
        try:
            parse(rules.compatible_with)
        except InvalidInput as no:
            raise InvalidInput(f"compatibleWith: {no.reason}") from no
    return draft


def _check_depth(value: Any, what: str) -> None:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise InvalidInput(f"{what}: nested deeper than {_DEEPEST} levels")
