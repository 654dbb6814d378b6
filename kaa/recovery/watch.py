"""Telling whoever waits how far it is."""


class Watch:
    """Is told what goes on, and does nothing about it; those who show it override it."""

    def begin(self, what: str, total_bytes: int | None = None) -> None:
        """Something begins; of how many bytes, if that is known."""

    def advance(self, size_bytes: int) -> None:
        """So many more of them are done."""
