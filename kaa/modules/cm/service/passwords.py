"""Passwords: hashed slowly, off the loop, a few at a time.

scrypt with 32 MiB and a tenth of a second a password: whoever steals the table pays that for each guess. So do we for
each check, therefore what a check gave is remembered, by a keyed hash whose key lives as long as the process and never
leaves it: a thousand clients that reconnect cost a thousand look-ups, and one that tries a wrong password for ever
keeps nobody else out.
"""

import asyncio
import hmac
from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import blake2b, scrypt, sha256
from typing import ParamSpec, TypeVar

from kaa.core.errors import Unavailable
from kaa.core.ids import Ids
from kaa.core.storage.readers import step_back

_BLOCK_SIZE, _PARALLELISM = 8, 1
_HASH_BYTES = 32
_MOST_RIGHT, _MOST_WRONG = 100_000, 10_000

P = ParamSpec("P")
R = TypeVar("R")


class Passwords:
    """Makes hashes, and checks against them.

    `cost` is scrypt's, as a power of two; it stands in every hash, so that it may be changed for new ones. At most
    `queue` wait for a thread.
    """

    def __init__(self, *, cost: int, threads: int, queue: int, ids: Ids) -> None:
        self._cost, self._ids = cost, ids
        self._threads = ThreadPoolExecutor(threads, "passwords", initializer=step_back)
        self._most, self._pending = threads + queue, 0
        self._secret = ids.token(256).encode()
        # what the passwords of unknown users are held against: nothing gives this hash
        self._nobodys = _spelled(cost, self._salt(), ids.token(256).encode()[:_HASH_BYTES])
        self._running: dict[bytes, asyncio.Future[bool]] = {}
        self._right: OrderedDict[str, bytes] = OrderedDict()
        self._wrong: OrderedDict[bytes, None] = OrderedDict()

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def hashed(self, password: str) -> str:
        """Hash a new password, with a salt of its own.

        Raises:
            Unavailable: too many wait already.
        """
        return await self._apart(_hashed, password, self._salt(), self._cost)

    def remembered(self, username: str, password: str, password_hash: str | None) -> bool | None:
        """Say what an earlier check of the same gave; None if it is not remembered."""
        against = password_hash or self._nobodys
        key = self._keyed(username, password, against)
        if hmac.compare_digest(self._right.get(against, b""), key):
            self._right.move_to_end(against)
            return True
        if key in self._wrong:
            self._wrong.move_to_end(key)
            return False
        return None

    async def check(self, username: str, password: str, password_hash: str | None) -> bool:
        """Whether the password is the one that was hashed; with None (nobody has the name), which takes as long, never.

        Raises:
            Unavailable: too many wait already.
        """
        against = password_hash or self._nobodys
        key = self._keyed(username, password, against)
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = self._apart(_is_hash_of, password, against)
            running.add_done_callback(partial(self._remember, key, against))
        # several who ask the same wait for one check, and the one who gives up takes it from nobody
        return await asyncio.shield(running)

    def forget(self, password_hash: str) -> None:
        """Drop what is remembered of a hash."""
        self._right.pop(password_hash, None)

    def _apart(self, work: Callable[P, R], *args: P.args, **_: P.kwargs) -> "asyncio.Future[R]":
        if self._pending >= self._most:
            raise Unavailable("too many passwords are being checked; try again later")
        self._pending += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        future.add_done_callback(self._on_done)
        return future

    def _on_done(self, _: object) -> None:
        self._pending -= 1

    def _remember(self, key: bytes, against: str, done: "asyncio.Future[bool]") -> None:
        del self._running[key]
        if done.cancelled() or done.exception() is not None:
            return
        if done.result():
            self._right[against] = key
            if len(self._right) > _MOST_RIGHT:
                self._right.popitem(last=False)
        else:
            self._wrong[key] = None
            if len(self._wrong) > _MOST_WRONG:
                self._wrong.popitem(last=False)

    def _salt(self) -> bytes:
        return self._ids.token(128).encode()

    def _keyed(self, username: str, password: str, against: str) -> bytes:
        # the name too: else a password tried for one unknown user would be answered sooner for the next, and not for
        # one who is there
        said = "\0".join((against, str(len(username)), username, password))
        return blake2b(_bytes(said), key=self._secret[:64], digest_size=32).digest()


def _hashed(password: str, salt: bytes, cost: int) -> str:
    return _spelled(cost, salt, _scrypt(password, salt, cost))


def _is_hash_of(password: str, password_hash: str) -> bool:
    _, cost, salt, found = password_hash.split("$")
    return hmac.compare_digest(_scrypt(password, b64decode(salt), int(cost)), b64decode(found))


def _scrypt(password: str, salt: bytes, cost: int) -> bytes:
    size = 1 << cost
    needed = 128 * _BLOCK_SIZE * (size + _PARALLELISM + 2)
    # scrypt begins with an HMAC, to which "a" and "a" with a zero behind it are one key; their digests are two
    key = sha256(_bytes(password)).digest()
    return scrypt(key, salt=salt, n=size, r=_BLOCK_SIZE, p=_PARALLELISM, maxmem=needed, dklen=_HASH_BYTES)


def _spelled(cost: int, salt: bytes, found: bytes) -> str:
    return f"scrypt${cost}${b64encode(salt).decode()}${b64encode(found).decode()}"


def _bytes(text: str) -> bytes:
    # what came as bytes that are no UTF-8 is another password, not an error
    return text.encode(errors="surrogatepass")
