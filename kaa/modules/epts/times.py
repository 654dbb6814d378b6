"""Which times a message may carry."""

from datetime import timedelta

from kaa.core.dates import iso
from kaa.core.errors import InvalidInput

_FUTURE_MS = 366 * 86_400_000
_MOST_PERIODS = 16


class Times:
    """Checks the times of one message: neither far ahead nor beyond the retention, nor in too many files at once.

    A file is made for each period that is written to, and all others wait while it is: a device whose clock is broken
    must not hold up everybody.
    """

    def __init__(self, now_ms: int, *, kept_ms: int, period_ms: int) -> None:
        self._first_ms, self._last_ms = now_ms - kept_ms, now_ms + _FUTURE_MS
        self._kept_ms, self._period_ms = kept_ms, period_ms
        self._periods: set[int] = set()

    def check(self, at_ms: int) -> None:
        """Raise InvalidInput for a time that cannot be kept."""
        if at_ms > self._last_ms:
            raise InvalidInput(f"the time {iso(at_ms)} is more than a year ahead; is the device's clock right?")
        if at_ms < self._first_ms:
            kept = timedelta(milliseconds=self._kept_ms)
            raise InvalidInput(f"the time {iso(at_ms)} is older than the application keeps points ({kept})")
        self._periods.add(at_ms // self._period_ms)
        if len(self._periods) > _MOST_PERIODS:
            raise InvalidInput(f"the times of one message lie in more than {_MOST_PERIODS} periods; send it in parts")
