"""One at a time for each endpoint."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager


class EndpointLocks:
    """Keeps two from working on one endpoint at once; whoever wants several takes them together."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def held(self, endpoint_ids: Collection[str]) -> AsyncIterator[None]:
        """Hold these while the block lasts."""
        if not self._taken.isdisjoint(endpoint_ids):
            async with self._freed:
                await self._freed.wait_for(lambda: self._taken.isdisjoint(endpoint_ids))
                self._taken.update(endpoint_ids)
        else:
            self._taken.update(endpoint_ids)
        try:
            yield
        finally:
            self._taken.difference_update(endpoint_ids)
            async with self._freed:
                self._freed.notify_all()
