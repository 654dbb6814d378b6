"""The only door to randomness, and to names that must be unique."""

import hmac
import itertools
import os
import threading
import uuid
from base64 import urlsafe_b64encode
from typing import Protocol

_AT_ONCE = 4_096


class Ids(Protocol):
    """Makes identifiers."""

    def correlation_id(self) -> str:
        """Make an identifier of a message, unique on the bus."""

    def uuid(self) -> str:
        """UUID v4."""

    def token(self, bits: int = 128) -> str:
        """Make a random secret, URL-safe base64 without padding (22 characters for 128 bits)."""

    def short(self) -> str:
        """Make a random name part of 8 hexadecimal digits."""


class RandomIds:
    """Identifiers from the system's source of randomness.

    It is asked for some thousand bytes at a time: each call lets go of the interpreter, and where a thread is busy, a
    thousand of them in a row held up the loop for 20 ms.
    """

    def __init__(self) -> None:
        self._left, self._lock = bytearray(), threading.Lock()
        os.register_at_fork(after_in_child=self._left.clear)
        # A random prefix and a counter: unique across processes, and a tenth of the price of a random id a message.
        self._prefix = self._random(5).hex()
        self._counter = itertools.count(1)

    def correlation_id(self) -> str:
        """Make an identifier of a message, unique on the bus."""
        return f"{self._prefix}{next(self._counter):x}"

    def uuid(self) -> str:
        """UUID v4."""
        return str(uuid.UUID(bytes=self._random(16), version=4))

    def token(self, bits: int = 128) -> str:
        """Make a random secret, URL-safe base64 without padding."""
        return urlsafe_b64encode(self._random(bits // 8)).rstrip(b"=").decode()

    def short(self) -> str:
        """Make a random name part of 8 hexadecimal digits."""
        return self._random(4).hex()

    def _random(self, length: int) -> bytes:
        """Give bytes that nobody has been given, and keep none of them."""
        with self._lock:
            if len(self._left) < length:
                self._left += os.urandom(max(_AT_ONCE, length))
            taken = bytes(self._left[-length:])
            del self._left[-length:]
        return taken


def is_same_secret(one: str, other: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())
