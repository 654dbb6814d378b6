"""The nouns of endpoint filters."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic_core import to_json

from kaa.protocols.names import ApplicationName, FilterId


class Status(StrEnum):
    """How far a filter is.

    One that is deleted is seen by nobody any more; it stays until its matches have been cleared away.
    """

    PENDING = "pending"
    ACTIVE = "active"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Filter:
    """A query under a name, and how many endpoints match it.

    `matched` counts once the filter is active. `revision` grows with every change that somebody asks for; what the
    server does by itself is no revision.
    """

    id: FilterId
    application: ApplicationName
    name: str | None
    description: str | None
    query: Mapping[str, Any]
    status: Status
    matched: int
    revision: int
    created_ms: int
    updated_ms: int


def is_same_query(one: Filter, other: Filter) -> bool:
    """Whether two say the same in the same words; for Python 1 and true would be the same."""
    return to_json(one.query) == to_json(other.query)
