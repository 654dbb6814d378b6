"""The applications that there are, their versions, and what an instance is told about each."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from kaa.core.errors import NotFound

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Declared:
    """An application, or a version of one, as the configuration file has it; `settings` are JSON texts by instance."""

    name: str
    display_name: str | None = None
    description: str | None = None
    settings: Mapping[str, bytes] = field(default_factory=dict)
    versions: tuple["Declared", ...] = ()
    """Those of an application, by what follows its name in theirs."""


@dataclass(frozen=True, slots=True)
class Version(Generic[S]):
    """An application version; its settings are its own, or else the application's."""

    name: str
    application: str
    settings: S


@dataclass(frozen=True, slots=True)
class Application(Generic[S]):
    """An application, and its versions by name."""

    name: str
    settings: S
    versions: Mapping[str, Version[S]]
    is_valid: bool = True
    """Whether the settings are those that were written; if these could not be understood, they are the default's."""


class Applications(Generic[S]):
    """What one instance knows of the applications; kept up to date by whoever made it."""

    def __init__(self, default: S) -> None:
        self.default = default
        self.is_known = False
        """Whether all is known that is to be known: false until whoever keeps it up to date has said so once."""
        self._applications: dict[str, Application[S]] = {}
        self._versions: dict[str, Version[S]] = {}
        self._listeners: list[Callable[[], None]] = []

    def find(self, name: str) -> Application[S] | None:
        """Look an application up."""
        return self._applications.get(name)

    def get(self, name: str) -> Application[S]:
        """Give an application; NotFound if there is none of that name."""
        found = self._applications.get(name)
        if found is None:
            raise NotFound(f"there is no application {name!r}")
        return found

    def find_version(self, name: str) -> Version[S] | None:
        """Look an application version up; its name is unique among all applications."""
        return self._versions.get(name)

    def get_version(self, name: str) -> Version[S]:
        """Give an application version; NotFound if there is none of that name."""
        found = self._versions.get(name)
        if found is None:
            raise NotFound(f"there is no application version {name!r}")
        return found

    def all(self) -> list[Application[S]]:
        """Give every application, by name."""
        return [self._applications[name] for name in sorted(self._applications)]

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back after every change."""
        self._listeners.append(callback)

    def replace(self, applications: Iterable[Application[S]], *, only: str | None = None) -> None:
        """Take over what there is now: of all applications, or of the one named."""
        if only is None:
            self.is_known = True
            self._applications.clear()
        else:
            self._applications.pop(only, None)
        self._applications.update((a.name, a) for a in applications)
        self._versions = {v.name: v for a in self._applications.values() for v in a.versions.values()}
        for listener in self._listeners:
            listener()
