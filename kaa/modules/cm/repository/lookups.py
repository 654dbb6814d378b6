"""Look-ups that are made together: a thousand clients that reconnect are a few reads, not a thousand."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

from kaa.core.errors import Unavailable

K = TypeVar("K")
V = TypeVar("V")


class Lookups(Generic[K, V]):
    """Finds values by their keys; whoever asks in the same turn of the loop shares one read.

    `read` gets the keys and gives those values that there are.
    """

    def __init__(self, read: Callable[[Collection[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._read = read
        self._wanted: set[K] = set()
        self._found: asyncio.Future[Mapping[K, V]] | None = None

    async def find(self, key: K) -> V | None:
        """Give the value of a key, or None."""
        self._wanted.add(key)
        if self._found is not None:
            return (await asyncio.shield(self._found)).get(key)
        found = self._found = asyncio.get_running_loop().create_future()
        try:
            try:
                await asyncio.sleep(0)
            finally:
                wanted, self._wanted, self._found = self._wanted, set(), None
            values = await self._read(wanted)
        except BaseException as error:
            is_given_up = not isinstance(error, Exception)  # by this one, and not by those who wait with it
            found.set_exception(Unavailable("the look-up was given up; try again") if is_given_up else error)
            found.exception()  # perhaps nobody else has asked
            raise
        found.set_result(values)
        return values.get(key)
