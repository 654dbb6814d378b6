"""Identifiers that can be foretold."""

import itertools


class CountedIds:
    """Counts where the real ones are random; every kind has a counter of its own."""

    def __init__(self) -> None:
        self._correlations, self._uuids = itertools.count(1), itertools.count(1)
        self._tokens, self._shorts = itertools.count(1), itertools.count(1)

    def correlation_id(self) -> str:
        return f"c{next(self._correlations)}"

    def uuid(self) -> str:
        return f"00000000-0000-4000-8000-{next(self._uuids):012x}"

    def token(self, bits: int = 128) -> str:
        return f"token-{next(self._tokens):0{-(-bits // 6) - 6}d}"

    def short(self) -> str:
        return f"{next(self._shorts):08x}"
