"""Documents of settings, shown to the instances that they belong to."""

from collections.abc import Iterable

from kaa.core.bus import Bus, expect
from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput
from kaa.core.ids import Ids
from kaa.protocols import x_settings
from kaa.protocols.names import INSTANCE_NAME, checked

_VALIDATION_MS = 5_000


class Documents:
    """Asks instances whether documents are settings of theirs."""

    def __init__(self, *, bus: Bus, clock: Clock, ids: Ids) -> None:
        self._bus, self._clock, self._ids = bus, clock, ids

    async def check(self, instance: str, level: str, document: bytes | None) -> None:
        """Raise InvalidInput unless it is one, or (None) unless there is such an instance."""
        checked(INSTANCE_NAME, instance, what="instance")
        if not self._bus.is_heard(x_settings.validate(instance)):
            raise InvalidInput(f"there is no instance {instance!r}")
        if document is not None and (reason := await self._mistake(instance, level, document)):
            raise InvalidInput(f"{instance}: {reason}")

    async def mistakes(self, documents: Iterable[tuple[str, str, str, bytes]]) -> list[str]:
        """Give a sentence for each that is none, out of `(place, instance, level, document)`, in that order.

        Each sentence begins with the place; the same document is asked about once.
        """
        known: dict[tuple[str, str, bytes], str | None] = {}
        found = []
        for place, instance, level, document in documents:
            key = (instance, level, document)
            if key not in known:
                is_there = INSTANCE_NAME.fullmatch(instance) and self._bus.is_heard(x_settings.validate(instance))
                known[key] = (
                    await self._mistake(instance, level, document)
                    if is_there
                    else f"there is no instance {instance[:80]!r}"
                )
            if reason := known[key]:
                found.append(_at(place, reason))
        return found

    async def _mistake(self, instance: str, level: str, document: bytes) -> str | None:
        request = x_settings.ValidationRequest(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            timeout_ms=_VALIDATION_MS,
            level=level,
            settings=document,
        )
        try:
            expect(await self._bus.request(x_settings.validate(instance), request, timeout_ms=_VALIDATION_MS))
        except InvalidInput as no:
            return no.reason
        return None


def _at(place: str, reason: str) -> str:
    """Put the place of a document before what is wrong in it, which may begin with a place within the document."""
    inner, colon, what = reason.partition(": ")
    if not colon:
        return f"{place}: {reason}"
    return f"{place}: {what}" if " " in inner else f"{place}.{inner}: {what}"
