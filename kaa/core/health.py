"""Whether this process does what it is there for."""

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something does not work, in a sentence for whoever reads `/health`; no secrets."""

    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """All checks with what they found."""

    problems: dict[str, str] = field(default_factory=dict)
    fine: tuple[str, ...] = ()

    @property
    def is_ok(self) -> bool:
        """Whether nothing was found."""
        return not self.problems

    def as_json(self) -> dict[str, object]:
        """Give the body of `/health`."""
        checks = dict.fromkeys(self.fine, "ok") | self.problems
        return {"status": "ok" if self.is_ok else "failing", "checks": dict(sorted(checks.items()))}


class Health:
    """Knows whom to ask; a check is cheap and answers at once."""

    def __init__(self) -> None:
        self._checks: dict[str, Callable[[], Problem | None]] = {}

    def add(self, name: str, check: Callable[[], Problem | None]) -> None:
        """Ask this one, too; a name that is there already is replaced."""
        self._checks[name] = check

    def remove(self, name: str) -> None:
        """Ask this one no more."""
        self._checks.pop(name, None)

    def report(self) -> Report:
        """Ask all."""
        problems, fine = {}, []
        for name, check in self._checks.items():
            try:
                problem = check()
            except Exception:  # a check that breaks is a finding, and must not hide the others
                log.exception("check_failed", check=name)
                problem = Problem("the check itself failed; see the log")
            if problem is None:
                fine.append(name)
            else:
                problems[name] = problem.reason
        return Report(problems=problems, fine=tuple(fine))
