"""What has just passed, so that it is not sent twice."""

from .models import Key

_LIFETIME_MS = 10_000
_MOST = 50_000


class Recent:
    """What passed last for each endpoint and name, and when; what is older than ten seconds is forgotten."""

    def __init__(self) -> None:
        self._passed: dict[Key, tuple[object, int]] = {}

    def note(self, key: Key, at_ms: int, what: object = None) -> None:
        """Note that something passed."""
        self._passed.pop(key, None)
        self._passed[key] = (what, at_ms)
        while self._passed:
            oldest = next(iter(self._passed))
            if self._passed[oldest][1] > at_ms - _LIFETIME_MS and len(self._passed) <= _MOST:
                return
            del self._passed[oldest]

    def is_since(self, key: Key, at_ms: int, what: object = None) -> bool:
        """Whether just that was the last to pass, at that time or later."""
        found = self._passed.get(key)
        return found is not None and found[0] == what and found[1] >= at_ms
