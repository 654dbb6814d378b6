"""What is kept of a change."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A change; `before` and `after` are JSON, and only its beginning where they are cut."""

    at_ms: int
    key_id: str | None
    key_name: str | None
    role: str | None
    method: str
    path: str
    operation: str
    application: str | None
    status: int
    correlation_id: str
    before: str | None
    is_before_cut: bool
    after: str | None
    is_after_cut: bool
    id: int = 0
    """Given by the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which entries are wanted: of the half-open span of time, and with all that is named."""

    from_ms: int | None = None
    to_ms: int | None = None
    key_id: str | None = None
    method: str | None = None
    path: str | None = None
    """How the path begins."""
    application: str | None = None
