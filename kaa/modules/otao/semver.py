"""Semantic versions (SemVer 2.0.0): what one looks like, and which is the greater.

Build metadata does not count (SemVer, section 10): versions that differ in nothing else are the same, so an endpoint
that reports `1.0.1+ci.7` runs `1.0.1`, and an application cannot have both.
"""

import re

from kaa.core.errors import InvalidInput

MAX_VERSION = 128

_NUMBER = r"(?:0|[1-9][0-9]*)"
_WORD = rf"(?:{_NUMBER}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_VERSION = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_WORD}(?:\.{_WORD})*))?(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?"
)

Precedence = tuple[int, int, int, bool, tuple[tuple[int, int, str], ...]]


def is_version(text: str) -> bool:
    """Whether it is a semantic version."""
    return len(text) <= MAX_VERSION and _VERSION.fullmatch(text) is not None


def check_version(text: str, *, what: str) -> str:
    """Give the version back, or refuse it by name."""
    if not is_version(text):
        raise InvalidInput(f"{what}: {text[:80]!r} is no semantic version; write one like 1.4.0 or 1.4.0-rc.1")
    return text


def key_of(version: str) -> str:
    """Give what a version is found by: itself without build metadata; what is no version stands for itself."""
    return version.partition("+")[0] if is_version(version) else version


def precedence(version: str) -> Precedence:
    """Give what sorts versions, the smaller first (SemVer, section 11)."""
    found = _VERSION.fullmatch(version)
    if found is None:
        raise ValueError(f"{version!r} is no semantic version")
    major, minor, patch, words = found.groups()
    compared = tuple((0, int(w), "") if w.isdigit() else (1, 0, w) for w in (words or "").split(".") if w)
    # numbers come before words, and a version without any words after all that have them
    return int(major), int(minor), int(patch), not compared, compared
