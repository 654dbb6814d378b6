"""Who is asking: API keys and what their roles may."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import structlog

from .basic import basic_key
from .clock import Clock
from .errors import Forbidden, InvalidInput, Unauthenticated
from .files import write_whole
from .ids import Ids, is_same_secret

log = structlog.get_logger(__name__)

KEY_HEADER = "x-iamcore-api-key"
_LONGEST_KEY = 512
_CACHED_KEYS = 1024
_CACHE_MS = 5_000


class Role(StrEnum):
    """What a key is for; each role may do what the ones below it may."""

    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"


_RANKS = {None: 0, Role.VIEWER: 1, Role.OPERATOR: 2, Role.ADMIN: 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A key as it is kept: never the key itself. It is for these applications alone; for all, where there is none."""

    id: str
    hash: str
    role: Role
    created_ms: int
    name: str | None = None
    applications: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """The one who asks; without a role he has shown no key, and was not asked for one."""

    id: str
    role: Role | None
    name: str | None = None
    applications: tuple[str, ...] = ()

    @property
    def is_limited(self) -> bool:
        """Whether there are applications that are none of his business."""
        return bool(self.applications)

    def require(self, needed: Role) -> None:
        """Raise Forbidden unless the role is that one, or above it."""
        if _RANKS[self.role] < _RANKS[needed]:
            raise Forbidden(f"the role of this key is {self.role or 'none'}; {needed} is needed")

    def may_see(self, application: str) -> bool:
        """Whether the application is one that the key is for."""
        return not self.applications or application in self.applications


ANONYMOUS = Caller(id="", role=None)


class KeyStore(Protocol):
    """Where keys are kept."""

    async def find(self, hash: str) -> KeyRecord | None:  # noqa: A002 - the word of the table
        """Give the key with that hash."""

    async def count(self) -> int:
        """How many keys there are."""

    async def add(self, record: KeyRecord) -> None:
        """Keep a new key."""

    async def all(self) -> list[KeyRecord]:
        """Give every key, oldest first."""

    async def get(self, id: str) -> KeyRecord:  # noqa: A002 - as above
        """Give the key with that id; NotFound if there is none."""

    async def remove(self, id: str) -> None:  # noqa: A002 - as above
        """Remove a key; NotFound if there is none, Conflict if nobody would be left who may make another one."""


def key_hash(key: str) -> str:
    """SHA-256 in hexadecimal; a fast hash is enough for 256 random bits."""
    return hashlib.sha256(key.encode()).hexdigest()


class Keys:
    """Tells callers by their keys.

    A key that was found is believed for five seconds without another look into the store; one that is removed here is
    refused at once.
    """

    def __init__(self, *, store: KeyStore, ids: Ids, clock: Clock) -> None:
        self._store = store
        self._ids = ids
        self._clock = clock
        self._cache: dict[str, tuple[KeyRecord, int]] = {}
        self._removals = 0

    async def caller(self, headers: Mapping[str, str]) -> Caller:
        """Tell who sent these headers, or raise Unauthenticated; `x-iamcore-api-key` wins over `Authorization`.

        Raises Forbidden for a key of HTTP Basic that a browser sends for another site.
        """
        key = _presented(headers)
        if key is None:
            raise Unauthenticated(f"a key is needed: Authorization: Bearer <key>, or {KEY_HEADER}: <key>")
        record = await self._find(key) if len(key) <= _LONGEST_KEY else None
        if record is None:
            raise Unauthenticated("the key is not valid")
        return Caller(id=record.id, role=record.role, name=record.name, applications=record.applications)

    async def make(
        self, role: Role, *, name: str | None = None, applications: Sequence[str] = ()
    ) -> tuple[KeyRecord, str]:
        """Make and keep a key; this is the only time that the key itself is seen.

        Raises:
            InvalidInput: it is an admin's and limited to applications; an admin could make himself another one.
        """
        if role is Role.ADMIN and applications:
            raise InvalidInput("an admin key cannot be limited to applications: it could make itself one that is not")
        record, key = self._new(role, name=name, applications=tuple(dict.fromkeys(applications)))
        await self._store.add(record)
        return record, key

    async def all(self) -> list[KeyRecord]:
        """Give every key, oldest first."""
        return await self._store.all()

    async def get(self, id: str) -> KeyRecord:  # noqa: A002 - the word of the table
        """Give the key with that id; NotFound if there is none."""
        return await self._store.get(id)

    async def remove(self, id: str) -> None:  # noqa: A002 - as above
        """Remove a key; NotFound if there is none, Conflict if it is the last of an admin."""
        try:
            await self._store.remove(id)
        finally:  # a removal whose end nobody waited for may have been made all the same
            self.forget()

    def forget(self) -> None:
        """Look every key up again."""
        self._cache.clear()
        self._removals += 1

    async def ensure_admin_key(self, path: Path) -> Path | None:
        """Make an admin key if there is no key at all, and say where it lies."""
        if await self._store.count():
            return None
        record, key = self._new(Role.ADMIN)
        # The file first: a crash between the two leaves a file that the next start replaces, never a key nobody knows.
        await asyncio.to_thread(_keep, path, key)
        await self._store.add(record)
        log.info("admin_key_made", path=str(path))
        return path

    def _new(self, role: Role, *, name: str | None = None, applications: tuple[str, ...] = ()) -> tuple[KeyRecord, str]:
        key = self._ids.token(256)
        record = KeyRecord(
            id=self._ids.uuid(),
            hash=key_hash(key),
            role=role,
            created_ms=self._clock.now_ms(),
            name=name,
            applications=applications,
        )
        return record, key

    async def _find(self, key: str) -> KeyRecord | None:
        hashed = key_hash(key)
        now = self._clock.monotonic_ms()
        cached = self._cache.get(hashed)
        if cached is not None and now < cached[1]:
            return cached[0]
        removals = self._removals
        record = await self._store.find(hashed)
        if record is None or not is_same_secret(record.hash, hashed):
            self._cache.pop(hashed, None)
            return None
        if removals != self._removals:  # it may have been this one, after it was read
            return record
        # Only keys that exist are cached, so that guessing neither fills the cache nor hides a key made a moment ago.
        if len(self._cache) >= _CACHED_KEYS:
            del self._cache[next(iter(self._cache))]
        self._cache[hashed] = (record, now + _CACHE_MS)
        return record


def _presented(headers: Mapping[str, str]) -> str | None:
    key = headers.get(KEY_HEADER)
    if key is not None and key.strip():
        return _clean(key)
    scheme, _, rest = headers.get("Authorization", "").strip().partition(" ")
    given = rest if scheme.lower() == "bearer" else basic_key(headers)
    return _clean(given) if given is not None and given.strip() else None


def _clean(key: str) -> str:
    # aiohttp hands bytes that are no UTF-8 on as lone surrogates, which no key holds and no hash takes.
    return key.strip().encode(errors="replace").decode()


def _keep(path: Path, key: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, f"{key}\n", mode=0o600)
