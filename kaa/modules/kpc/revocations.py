"""Revocations that come while somebody is asked: an answer that one of them has overtaken is worth nothing."""

_MOST = 10_000


class Revocations:
    """Remembers what was revoked since some question was asked; `count` is the moment of asking."""

    def __init__(self) -> None:
        self.count = 0
        self._at: dict[str, int] = {}
        self._forgotten_at = 0

    def note(self, *names: str, is_asking: bool) -> None:
        """Take a revocation; while nobody asks there is nothing that it could overtake."""
        self.count += 1
        if not is_asking:
            self._at.clear()
            return
        if len(self._at) >= _MOST:
            self._at.clear()
            self._forgotten_at = self.count
        self._at.update(dict.fromkeys(names, self.count))

    def have_overtaken(self, since: int, *names: str | None) -> bool:
        """Tell whether one of these was revoked after that moment."""
        return max(self._forgotten_at, *(self._at.get(name or "", 0) for name in names), 0) > since
