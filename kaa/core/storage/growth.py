"""How fast the storage grows, and so how long there is room."""

import math
from collections import deque

_EVERY_MS = 600_000
_SPAN_MS = 86_400_000
_LEAST_MS = 3_600_000
_DAY_MS = 86_400_000


class Growth:
    """Remembers sizes of the last day, one every ten minutes."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque()

    def note(self, at_ms: int, size_bytes: int) -> None:
        """Take a size; `at_ms` is monotonic."""
        if self._seen and at_ms - self._seen[-1][0] < _EVERY_MS:
            return
        self._seen.append((at_ms, size_bytes))
        while len(self._seen) > 1 and at_ms - self._seen[1][0] >= _SPAN_MS:
            self._seen.popleft()

    def days_left(self, at_ms: int, size_bytes: int, left_bytes: int) -> float:
        """Give the days until what is left is used up; not a number in the first hour, infinite where nothing grows."""
        if left_bytes <= 0:
            return 0.0
        if not self._seen or at_ms - self._seen[0][0] < _LEAST_MS:
            return math.nan
        since_ms, before_bytes = self._seen[0]
        grown = size_bytes - before_bytes
        return left_bytes * (at_ms - since_ms) / grown / _DAY_MS if grown > 0 else math.inf
