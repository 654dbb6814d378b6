"""Statements with many values, in parts."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

_MOST = 500


def parts(values: Sequence[T], most: int = _MOST) -> Iterator[Sequence[T]]:
    """Split what is too much for one statement; `most` are in each part."""
    return (values[at : at + most] for at in range(0, len(values), most))
