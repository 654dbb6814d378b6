"""All applications in one document, out and in; and those of the configuration file."""

from collections.abc import Iterator, Mapping, Sequence

import structlog

from kaa.core.applications import Declared
from kaa.core.clock import Clock
from kaa.core.errors import ConfigError, Conflict, InvalidInput
from kaa.protocols.names import APPLICATION_NAME, VERSION_SUFFIX

from ..models import Action, Change, Everything, Scope, Wanted
from ..repository import LoadingRepository
from .checking import Documents
from .telling import Telling

log = structlog.get_logger(__name__)

_MOST_PROBLEMS = 100


class Loading:
    """Takes over many applications at a time: all that is wrong is said at once, or everything is taken over."""

    def __init__(self, *, repository: LoadingRepository, documents: Documents, telling: Telling, clock: Clock) -> None:
        self._repository, self._documents, self._telling, self._clock = repository, documents, telling, clock

    async def find_all(self) -> Everything:
        """Give everything that there is."""
        return await self._repository.find_all()

    async def load(self, wanted: Wanted, *, may_add: bool = True, is_dry: bool = False) -> list[Change]:
        """Have everything as it is wanted, and say what that changes; `wanted.versions` are the applications.

        Nothing is deleted but settings that are wanted to be None. The versions of an application go by what follows
        its name. With `is_dry` nothing is done but saying what would change.

        Raises:
            InvalidInput: a sentence, with its place, for each thing that is wrong in the document.
            Conflict: a sentence for each thing that belongs to another application, or to the configuration file.
            NotFound: the same for each thing that is not there, if it may not be added.
        """
        named = _named(wanted)
        problems = [*_wrong_names(wanted), *await self._documents.mistakes(_documents(wanted))]
        if problems:
            more = len(problems) - _MOST_PROBLEMS
            raise InvalidInput("\n".join([*problems[:_MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]))
        event = self._telling.event(Scope())
        now = self._clock.now_ms()
        changes = await self._repository.load(named, event=event, at_ms=now, may_add=may_add, is_dry=is_dry)
        await self._telling.heard(event)
        return changes

    async def manage(self, declared: Sequence[Declared]) -> None:
        """Have the applications of the configuration file as it says; ConfigError if that cannot be."""
        wanted = _named(Wanted(versions={one.name: _declared(one) for one in declared}))
        event = self._telling.event(Scope())
        try:
            changes, released = await self._repository.manage(wanted, event=event, at_ms=self._clock.now_ms())
        except Conflict as no:
            raise ConfigError(no.reason) from no
        for change in changes:
            say = log.debug if change.action is Action.ADDED else log.info  # what was otherwise may be missed
            say("configured_by_file", action=str(change.action), **_fields(change.scope, change.instance))
        for scope in released:
            log.info("no_longer_managed_by_file", **_fields(scope))


def _declared(one: Declared) -> Wanted:
    return Wanted(
        fields={"display_name": one.display_name, "description": one.description},
        settings=dict(one.settings),
        versions={inner.name: _declared(inner) for inner in one.versions},
    )


def _named(wanted: Wanted) -> Wanted:
    """Give each version its whole name, which begins with that of its application."""
    return Wanted(
        settings=wanted.settings,
        versions={
            name: Wanted(
                fields=one.fields,
                settings=one.settings,
                versions={f"{name}-{_suffix(name, version)}": inner for version, inner in one.versions.items()},
            )
            for name, one in wanted.versions.items()
        },
    )


def _suffix(application: str, version: str) -> str:
    return version.removeprefix(f"{application}-")


def _wrong_names(wanted: Wanted) -> Iterator[str]:
    for name, one in wanted.versions.items():
        if APPLICATION_NAME.fullmatch(name) is None:
            yield f"applications.{name[:80]}: an application's name must match ^{APPLICATION_NAME.pattern}$"
        for version in one.versions:
            if version != _suffix(name, version) and _suffix(name, version) in one.versions:
                yield f"applications.{name[:80]}.versions.{version[:80]}: stands here twice, once without {name[:80]}-"
            if VERSION_SUFFIX.fullmatch(_suffix(name, version)) is None:
                yield (
                    f"applications.{name[:80]}.versions.{version[:80]}: what follows the application's name must match "
                    f"^{VERSION_SUFFIX.pattern}$"
                )


def _documents(wanted: Wanted) -> Iterator[tuple[str, str, str, bytes]]:
    def of(place: str, level: str, settings: Mapping[str, bytes | None]) -> Iterator[tuple[str, str, str, bytes]]:
        for instance, text in settings.items():
            if text is not None:
                yield f"{place}settings.{instance}", instance, level, text

    yield from of("", "tenant", wanted.settings)
    for name, one in wanted.versions.items():
        yield from of(f"applications.{name}.", "application", one.settings)
        for version, inner in one.versions.items():
            yield from of(f"applications.{name}.versions.{version}.", "version", inner.settings)


def _fields(scope: Scope, instance: str | None = None) -> dict[str, str]:
    found = {"application": scope.application, "version": scope.version, "instance": instance}
    return {key: value for key, value in found.items() if value is not None}
