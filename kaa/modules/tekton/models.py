"""What Tekton keeps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from kaa.core.errors import Conflict
from kaa.protocols.names import ApplicationName, AppVersionName


class Managed(Protocol):
    """What may be the configuration file's: a model or a row."""

    @property
    def is_managed(self) -> bool:
        """Whether it is."""


@dataclass(frozen=True, slots=True)
class Version:
    """A capability set within an application; its name is unique among all applications."""

    name: AppVersionName
    application: ApplicationName
    display_name: str | None
    description: str | None
    created_ms: int
    updated_ms: int
    is_managed: bool = False
    """Whether the configuration file has it; then it is changed there and nowhere else."""


@dataclass(frozen=True, slots=True)
class Application:
    """A container for endpoints of one kind."""

    name: ApplicationName
    display_name: str | None
    description: str | None
    created_ms: int
    updated_ms: int
    is_managed: bool = False
    versions: tuple[Version, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """What settings are for: a version, an application, or with nothing named all applications."""

    application: str | None = None
    version: str | None = None

    @property
    def level(self) -> str:
        """The word of x-settings for it."""
        if self.application is None:
            return "tenant"
        return "application" if self.version is None else "version"


@dataclass(frozen=True, slots=True)
class InstanceSettings:
    """What one instance is told: JSON texts by application (under None) and version, and that for all applications."""

    revision: int
    documents: Mapping[ApplicationName, Mapping[AppVersionName | None, bytes | None]]
    common: bytes | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """How an application or a version is to be.

    `fields` are the columns that are said, `settings` the documents by instance, where None takes one away; `versions`
    (of an application) go by their names.
    """

    fields: Mapping[str, str | None] = field(default_factory=dict)
    settings: Mapping[str, bytes | None] = field(default_factory=dict)
    versions: Mapping[str, "Wanted"] = field(default_factory=dict)


class Action(StrEnum):
    """What became of something."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that a load changes: of an application, a version, or the settings of an instance in a scope."""

    action: Action
    scope: Scope
    instance: str | None = None


@dataclass(frozen=True, slots=True)
class Everything:
    """All that is kept: the settings for all applications, and the applications, each with its settings by instance.

    `settings` has those of an application under its name, and those of a version under the version's.
    """

    common: Mapping[str, bytes]
    applications: tuple[Application, ...]
    settings: Mapping[str, Mapping[str, bytes]]


def managed(scope: Scope) -> str:
    """Say that something is the configuration file's, and where it can be changed."""
    what = f"application {scope.application!r}" if scope.version is None else f"version {scope.version!r}"
    return (
        f"{what} is managed by the configuration file: change it there, below applications.{scope.application}, "
        "and start the server again"
    )


def require_ordinary(found: Managed, scope: Scope) -> None:
    """Raise Conflict if the configuration file has it."""
    if found.is_managed:
        raise Conflict(managed(scope))
