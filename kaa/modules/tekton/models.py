"""What Tekton keeps."""

from collections.abc import Mapping
from dataclasses import dataclass

from kaa.protocols.names import ApplicationName, AppVersionName


@dataclass(frozen=True, slots=True)
class Version:
    """A capability set within an application; its name is unique among all applications."""

    name: AppVersionName
    application: ApplicationName
    display_name: str | None
    description: str | None
    created_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class Application:
    """A container for endpoints of one kind."""

    name: ApplicationName
    display_name: str | None
    description: str | None
    created_ms: int
    updated_ms: int
    versions: tuple[Version, ...] = ()


@dataclass(frozen=True, slots=True)
class InstanceSettings:
    """What one instance is told: JSON texts by application (under None) and version."""

    revision: int
    documents: Mapping[ApplicationName, Mapping[AppVersionName | None, bytes | None]]
