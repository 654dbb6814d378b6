"""3/ISM, inter-service messaging: how subjects are spelled.

- to an instance: `kaa.v1.service.{instance}.{protocol}.{message type}`; replicas share it in a queue group
- to one replica: `kaa.v1.replica.{replica id}.{protocol}.{message type}`
- to all: `kaa.v1.events.{originator instance}.{entity}.{group}.{type}`

Every targeted message carries `correlationId`, `timestamp` (ms since 1970) and `timeout` (ms, 0 = never expires);
broadcasts add `originatorReplicaId`.
"""

from functools import cache
from typing import Any, TypeVar

from kaa.core.errors import InvalidInput
from kaa.core.subjects import RequestSubject, Subject, first_not_token

M = TypeVar("M")
R = TypeVar("R")


def _spelled(*parts: str) -> str:
    wrong = first_not_token(part for part in parts if part != "*")
    if wrong is not None:
        raise InvalidInput(f"{wrong!r} cannot stand in a subject: it must be a word without dots, wildcards and spaces")
    return "kaa.v1." + ".".join(parts)


@cache
def to_service(
    kind: type[M], instance: str, protocol: str, type_: str, *, reply: type[Any] | None = None
) -> Subject[M]:
    """Spell the subject of messages to an instance; `type_` may be several words with dots between."""
    return Subject(_spelled("service", instance, protocol, *type_.split(".")), kind, reply)


@cache
def request(
    kind: type[M], reply: type[R], instance: str, protocol: str, type_: str, reply_type: str
) -> RequestSubject[M, R]:
    """Spell the subject of requests to an instance; the reply's subject ends with `{protocol}.{reply_type}`."""
    return RequestSubject(_spelled("service", instance, protocol, type_), kind, reply, f"{protocol}.{reply_type}")


@cache
def to_replica(kind: type[M], replica: str, protocol: str, type_: str) -> Subject[M]:
    """Spell the subject of messages to one replica: where replies go."""
    return Subject(_spelled("replica", replica, protocol, type_), kind)


def broadcast(kind: type[M], originator: str, *rest: str, reply: type[Any] | None = None) -> Subject[M]:
    """Spell the subject of events; `reply` is what a listener answers with when asked to."""
    return Subject(_spelled("events", originator, *rest), kind, reply)
