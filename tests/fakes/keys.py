"""Keys in a list."""

from kaa.core.auth import KeyRecord
from kaa.core.errors import NotFound


class MemoryKeys:
    """A key store without a database; counts how often it is asked."""

    def __init__(self) -> None:
        self.records: list[KeyRecord] = []
        self.finds = 0

    async def find(self, hash: str) -> KeyRecord | None:  # noqa: A002 - the word of the table
        """Give the key with that hash."""
        self.finds += 1
        return next((record for record in self.records if record.hash == hash), None)

    async def count(self) -> int:
        """How many keys there are."""
        return len(self.records)

    async def add(self, record: KeyRecord) -> None:
        """Keep a new key."""
        self.records.append(record)

    async def all(self) -> list[KeyRecord]:
        """Give every key, oldest first."""
        return list(self.records)

    async def get(self, id: str) -> KeyRecord:  # noqa: A002 - as above
        """Give the key with that id."""
        for record in self.records:
            if record.id == id:
                return record
        raise NotFound(f"there is no key {id!r}")

    async def remove(self, id: str) -> None:  # noqa: A002 - as above
        """Remove a key; admins are not counted here."""
        self.records.remove(await self.get(id))
