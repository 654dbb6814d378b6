"""The versions of an application as a graph: which leads where, and what may come next.

All of it is held in memory; specifications and metadata are not part of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kaa.core.endpoint_query import Query

from .models import Rules, Strategy, Target
from .semver import key_of, precedence


@dataclass(frozen=True, slots=True)
class Release:
    """A version without its content; `query` is what `compatibleWith` says."""

    version: str
    rules: Rules
    query: Query | None = None

    @property
    def key(self) -> str:
        """What it is found by."""
        return key_of(self.version)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version that an endpoint may be offered if it matches one of the filters (None: no filter is asked for)."""

    release: Release
    filter_ids: frozenset[str] | None

    @property
    def is_conditional(self) -> bool:
        """Whether it depends on more than the version that runs."""
        return self.filter_ids is not None or self.release.query is not None


class Catalogue:
    """The versions of an application at a revision.

    `dates_until_ms` is the time up to which roll-out dates that came have been acted upon; `has_queries` tells whether
    metadata has a say in anything.
    """

    def __init__(self, releases: Iterable[Release] = (), *, revision: int = 0, dates_until_ms: int = 0) -> None:
        self.revision, self.dates_until_ms = revision, dates_until_ms
        self.releases = {r.key: r for r in sorted(releases, key=lambda r: precedence(r.version))}
        self._after: dict[str, list[Release]] = {}
        self._targeting: dict[str, list[Release]] = {}
        for release in reversed(self.releases.values()):
            if release.rules.strategy is Strategy.SUSPENDED:
                continue
            for key in {key_of(version) for version in release.rules.upgradable_from}:
                self._after.setdefault(key, []).append(release)
            for target in _targets(release.rules):
                self._targeting.setdefault(target.filter_id, []).append(release)
        self.has_queries = any(release.query is not None for release in self.releases.values())

    def find(self, version: str) -> Release | None:
        """Look a version up."""
        return self.releases.get(key_of(version))

    def candidates(self, version: str, previous: str | None, *, now_ms: int) -> list[Candidate]:
        """Give what may follow a version, the best first: where it is taken back to, then the greatest.

        `previous` is the version that the endpoint came from.
        """
        found = [Candidate(target, None)] if (target := self._back_from(version, previous)) is not None else []
        for release in self._after.get(key_of(version), ()):
            if release.rules.strategy is Strategy.GENERAL:
                found.append(Candidate(release, None))
            elif open_ids := _open_filters(release.rules, now_ms):
                found.append(Candidate(release, open_ids))
        return found

    def back_from(self, release: Release) -> frozenset[str]:
        """Give the keys of the versions to which a release can be taken back: allowed, known and not suspended."""
        allowed = {key_of(version) for version in release.rules.downgradable_to} - {release.key}
        return frozenset(key for key in allowed if key in self.releases and not _is_suspended(self.releases[key]))

    def targeting(self, filter_id: str) -> list[Release]:
        """Give the versions that a filter has a say in."""
        return self._targeting.get(filter_id, [])

    def opened(self, *, now_ms: int) -> list[Release]:
        """Give the versions of which a date has come since dates were last acted upon."""
        return [
            r
            for r in self._live()
            if any(self.dates_until_ms < (t.rollout_ms or 0) <= now_ms for t in _targets(r.rules))
        ]

    def next_date_ms(self, *, now_ms: int) -> int | None:
        """Give the next date on which something opens."""
        dates = (t.rollout_ms for r in self._live() for t in _targets(r.rules) if t.rollout_ms is not None)
        return min((date for date in dates if date > now_ms), default=None)

    def _live(self) -> list[Release]:
        return [release for release in self.releases.values() if not _is_suspended(release)]

    def _back_from(self, version: str, previous: str | None) -> Release | None:
        release = self.find(version)
        if release is None or release.rules.rollback is None:
            return None
        target = release.rules.rollback.to or previous
        if target is None or key_of(target) not in self.back_from(release):
            return None
        return self.find(target)


def keys_from(releases: Iterable[Release]) -> frozenset[str]:
    """Give the keys of the versions that any of these may be installed over."""
    return frozenset(key_of(version) for release in releases for version in release.rules.upgradable_from)


def find_circle(start: str, sources: Mapping[str, frozenset[str]]) -> list[str] | None:
    """Give a way from a version back to itself through those that it may be installed over, oldest step first.

    Args:
        start: the key where a circle would begin.
        sources: the keys that each key may be installed over.
    """
    came: dict[str, str] = {}
    rest = [start]
    while rest:
        at = rest.pop()
        for source in sorted(sources.get(at, ())):
            if source == start:
                way = [start, at]
                while way[-1] != start:
                    way.append(came[way[-1]])
                return way
            if source not in came:
                came[source] = at
                rest.append(source)
    return None


def _open_filters(rules: Rules, now_ms: int) -> frozenset[str]:
    return frozenset(t.filter_id for t in _targets(rules) if t.rollout_ms is None or t.rollout_ms <= now_ms)


def _targets(rules: Rules) -> tuple[Target, ...]:
    return rules.targets if rules.strategy is Strategy.TARGETED else ()


def _is_suspended(release: Release) -> bool:
    return release.rules.strategy is Strategy.SUSPENDED
