"""The catalogues of all applications, held in memory."""

from collections.abc import Callable

from .catalogue import Catalogue
from .repository import SoftwareRepository

_EMPTY = Catalogue()


class Catalogues:
    """Knows the newest catalogue of each application that this process has seen."""

    def __init__(self, software: SoftwareRepository) -> None:
        self._software = software
        self._known: dict[str, Catalogue] = {}
        self._listeners: list[Callable[[], None]] = []

    async def load(self) -> None:
        """Read all of them; to be done once, before anybody asks."""
        self._known = await self._software.load_all()

    def of(self, application: str) -> Catalogue:
        """Give the catalogue of an application; an empty one if it has no software."""
        return self._known.get(application, _EMPTY)

    def all(self) -> dict[str, Catalogue]:
        """Give those of all applications that have one."""
        return dict(self._known)

    def put(self, application: str, catalogue: Catalogue) -> None:
        """Take over a catalogue, unless a newer one is known."""
        if catalogue.revision > self.of(application).revision:
            self._known[application] = catalogue
            for listener in self._listeners:
                listener()

    async def refresh(self, application: str) -> None:
        """Read one of them again."""
        self.put(application, await self._software.load(application))

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call back after every change."""
        self._listeners.append(listener)
