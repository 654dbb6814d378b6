"""The only door to randomness, and to names that must be unique."""

import hmac
import itertools
import secrets
import uuid
from typing import Protocol


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
    """Identifiers from the system's source of randomness."""

    def __init__(self) -> None:
        # A random prefix and a counter: unique across processes, and a tenth of the price of a random id a message.
        self._prefix = secrets.token_hex(5)
        self._counter = itertools.count(1)

    def correlation_id(self) -> str:
        """Make an identifier of a message, unique on the bus."""
        return f"{self._prefix}{next(self._counter):x}"

    def uuid(self) -> str:
        """UUID v4."""
        return str(uuid.uuid4())

    def token(self, bits: int = 128) -> str:
        """Make a random secret, URL-safe base64 without padding."""
        return secrets.token_urlsafe(bits // 8)

    def short(self) -> str:
        """Make a random name part of 8 hexadecimal digits."""
        return secrets.token_hex(4)


def is_same_secret(one: str, other: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())
