"""Which filters come into question for an endpoint, so that not every query is put to every endpoint.

Most filters ask, alone or besides other things, whether one piece of metadata has a certain value; these are found by
that value. The others are always in question.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kaa.core.endpoint_query import Query
from kaa.core.endpoint_query.conditions import METADATA, Condition, Every, OneOf, Where, key_of
from kaa.protocols.names import FilterId

from ..models import Endpoint

Asked = tuple[FilterId, Query]


class Choice:
    """Some filters, of which those that match an endpoint are to be found."""

    def __init__(self, filters: Iterable[Asked]) -> None:
        self._always: list[Asked] = []
        self._by_value: dict[str, dict[Any, list[Asked]]] = defaultdict(lambda: defaultdict(list))
        for one in filters:
            wanted = _wanted(one[1].condition)
            if wanted is None:
                self._always.append(one)
                continue
            for value in wanted[1]:
                self._by_value[wanted[0]][value].append(one)

    def matching(self, endpoint: Endpoint) -> set[FilterId]:
        """Give the filters that an endpoint, which has its metadata, matches."""
        metadata = endpoint.metadata or {}
        return {
            filter_id
            for filter_id, query in self._in_question(metadata)
            if query.matches(endpoint.app_version, metadata)
        }

    def _in_question(self, metadata: Mapping[str, Any]) -> Iterator[Asked]:
        yield from self._always
        for name, by_value in self._by_value.items():
            if name not in metadata:
                continue
            value = metadata[name]
            if isinstance(value, list):  # any of its elements may be it
                for some in by_value.values():
                    yield from some
            elif not isinstance(value, dict):
                yield from by_value.get(key_of(value), ())


def _wanted(condition: Condition) -> tuple[str, set[Any]] | None:
    """Give a piece of metadata, and the scalars of which it must be one (or have one, as an array)."""
    if isinstance(condition, Every):
        return next((wanted for part in condition.parts if (wanted := _wanted(part)) is not None), None)
    if not isinstance(condition, Where) or not isinstance(condition.test, OneOf):
        return None
    path, operands = condition.path, condition.test.operands
    if len(path) != 2 or path[0] != METADATA or any(one is None or isinstance(one, dict | list) for one in operands):
        return None
    return path[1], {key_of(one) for one in operands}
