"""What OTAO keeps: software versions, and what endpoints run and are offered."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from .semver import key_of


class Strategy(StrEnum):
    """Who gets a version: nobody; those that match a filter whose date has come; everybody it can be installed on."""

    SUSPENDED = "suspended"
    TARGETED = "targeted"
    GENERAL = "general"


@dataclass(frozen=True, slots=True)
class Target:
    """A filter whose endpoints get a targeted version, from a date on or at once."""

    filter_id: str
    rollout_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Rollback:
    """A version is being taken back: to the version named, or to the one that each endpoint came from."""

    to: str | None
    since_ms: int


@dataclass(frozen=True, slots=True)
class Rules:
    """Who is offered a version; `compatible_with` is a query on application version and metadata."""

    strategy: Strategy
    upgradable_from: tuple[str, ...] = ()
    downgradable_to: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    compatible_with: Mapping[str, Any] | None = None
    rollback: Rollback | None = None


@dataclass(frozen=True, slots=True)
class Software:
    """A software version of an application; specification and metadata are JSON."""

    application: str
    version: str
    id: str
    specification: bytes | None
    metadata: bytes | None
    rules: Rules
    created_ms: int
    updated_ms: int

    @property
    def key(self) -> str:
        """What it is found by."""
        return key_of(self.version)

    def is_like(self, other: "Software") -> bool:
        """Whether nothing but dates differs."""
        return replace(self, created_ms=0, updated_ms=0) == replace(other, created_ms=0, updated_ms=0)


class Status(StrEnum):
    """Where an endpoint is: told of a version, running what it should as far as is known, or unable to install."""

    OFFERED = "OFFERED"
    APPLIED = "APPLIED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Report:
    """What an endpoint said of a version: it runs, or with a code of 300 and above it could not be installed.

    `id` is the identity of the message; `is_implicit` tells a request that named the version from a report of its own.
    """

    id: str
    version: str
    at_ms: int
    code: int = 200
    reason: str | None = None
    is_implicit: bool = False

    @property
    def is_success(self) -> bool:
        """Whether the version runs."""
        return 200 <= self.code < 300


@dataclass(frozen=True, slots=True)
class Installation:
    """What an endpoint runs, what it ran before, and what it is offered and since when.

    `told` is the revision of the catalogue under which it was last told the content of its offer. `last` is its last
    report, `result` the last one that tells of an installation: that the version which runs still does says nothing of
    one that could not be installed.
    """

    endpoint_id: str
    application: str
    app_version: str
    app_version_ms: int
    version: str | None = None
    version_ms: int | None = None
    previous: str | None = None
    offered: str | None = None
    offered_ms: int | None = None
    told: int = 0
    last: Report | None = None
    result: Report | None = None

    @property
    def status(self) -> Status:
        """A failure counts until another version is offered or installed."""
        failed = None if self.result is None or self.result.is_success else self.result
        if failed is not None and (self.offered is None or is_same(self.offered, failed.version)):
            return Status.FAILED
        return Status.APPLIED if self.offered is None else Status.OFFERED

    def moved(self, app_version: str | None, at_ms: int) -> "Installation":
        """Give it with the application version that it had at that time, unless a later one is known."""
        if app_version is None or at_ms < self.app_version_ms or app_version == self.app_version:
            return self
        return replace(self, app_version=app_version, app_version_ms=at_ms)

    def takes(self, report: Report) -> bool:
        """Whether the report is news: it is neither older than the last one nor that one again."""
        last = self.last
        return last is None or (report.at_ms >= last.at_ms and report.id != last.id)

    def reported(self, report: Report) -> "Installation":
        """Give it after a report that it takes."""
        if not report.is_success:
            return replace(self, last=report, result=report)
        if self.version is None or not is_same(self.version, report.version):
            new = replace(self, version=report.version, version_ms=report.at_ms, previous=self.version)
            return replace(new, last=report, result=report)
        if report.is_implicit:
            return self  # said with every request, and not worth a write
        has_failed = self.result is not None and not self.result.is_success
        return replace(self, version=report.version, last=report, result=self.result if has_failed else report)

    def offering(self, version: str | None, *, at_ms: int) -> "Installation":
        """Give it with the version that it is offered from then on, or none."""
        if version == self.offered:
            return self
        return replace(self, offered=version, offered_ms=None if version is None else at_ms, told=0)


@dataclass(frozen=True, slots=True)
class Rollout:
    """Something has changed for the endpoints that run one of these versions, and they are gone through by id.

    `changed` is the version whose content is new, and `revision` since when: those that were told of it before are told
    again. `after` is the endpoint up to which all is done.
    """

    id: int
    application: str
    keys: tuple[str, ...]
    changed: str | None
    revision: int
    after: str


def is_same(one: str, other: str) -> bool:
    """Whether two versions differ in build metadata at most."""
    return key_of(one) == key_of(other)
