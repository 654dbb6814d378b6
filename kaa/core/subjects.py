"""Subjects: what they look like, which pattern takes which, and which message belongs to one.

The grammar is that of NATS: tokens between dots, `*` stands for one token, `>` for one or more and only at the end.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kaa.core.errors import ProtocolError

M = TypeVar("M")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Subject(Generic[M]):
    """A subject, or a pattern of subjects, and the message that it carries.

    `reply` is the type of the answers where there are any: a listener answers with it if a reply is asked for.
    """

    name: str
    message: type[M]
    reply: type[Any] | None = None

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class RequestSubject(Subject[M], Generic[M, R]):
    """A subject on which every message is a request.

    `reply_suffix` is the end of the reply subject (`ecap.ep-token-response`): 3/ISM has the last token of a reply's
    subject name the type of the reply.
    """

    reply: type[R]
    reply_suffix: str = ""


def tokens(name: str) -> list[str]:
    """Split a subject; ProtocolError if it is none."""
    found = name.split(".")
    if not all(found) or any(c.isspace() for c in name):
        raise ProtocolError(f"not a subject: {name!r}")
    if ">" in found[:-1] or any(len(token) > 1 and ("*" in token or ">" in token) for token in found):
        raise ProtocolError(f"a wildcard must be a token of its own, and > the last one: {name!r}")
    return found


def has_wildcard(name: str) -> bool:
    """Whether the subject is a pattern."""
    return any(token in {"*", ">"} for token in name.split("."))


def is_match(pattern: str, name: str) -> bool:
    """Whether a subject without wildcards is taken by the pattern."""
    wanted, got = pattern.split("."), name.split(".")
    for at, token in enumerate(wanted):
        if token == ">":  # noqa: S105  a token of a subject
            return len(got) > at
        if at >= len(got) or token not in {"*", got[at]}:
            return False
    return len(wanted) == len(got)


def is_overlap(one: str, other: str) -> bool:
    """Whether some subject is taken by both patterns."""
    left, right = one.split("."), other.split(".")
    for a, b in zip(left, right, strict=False):
        if a == ">" or b == ">":
            return True
        if a != b and "*" not in {a, b}:
            return False
    return len(left) == len(right)


def first_not_token(parts: Iterable[str]) -> str | None:
    """Find the first part that cannot be a token of a subject: empty, or with a dot, a wildcard or white space."""
    for part in parts:
        if not part or "." in part or "*" in part or ">" in part or any(c.isspace() for c in part):
            return part
    return None
