"""What the load process is told to do, and what it gives back."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from kaa.core.errors import KaaError


class BenchError(KaaError):
    """The measurement did not work; the sentence says what went wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """Send as fast as the acknowledgements come: `in_flight` messages of QoS 1 are always under way.

    Topics are dealt to the connections in turn. It ends after `seconds`, of which the first `warm_up` do not count,
    or after `messages` a connection. A message carries `samples` samples, as an array if there are several. With
    `is_answered` it is not over before each message has got its answer, too.
    """

    host: str
    port: int
    topics: tuple[str, ...]
    connections: int
    in_flight: int
    seconds: float = 3600.0
    warm_up: float = 0.0
    messages: int | None = None
    samples: int = 1
    is_answered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Send `rate` messages a second by the clock, whatever the server does; the first `warm_up` seconds do not count.

    The schedule has a grid of a millisecond, which is as fine as the loop's timers are. Each topic has a connection.
    """

    host: str
    port: int
    topics: tuple[str, ...]
    rate: int
    seconds: float
    warm_up: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Connect so many clients, and keep them connected until told to end."""

    host: str
    port: int
    connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attend:
    """Be devices that are there until told to end: they run commands, take configurations, and send telemetry.

    Tokens are dealt to the connections in turn. `Connected` is given once all have spoken; from then on `rate` messages
    a second are sent by the clock, and for each configuration `{"number": …}` that has come to `wanted` devices
    `Configured` is given.
    """

    host: str
    port: int
    version: str
    tokens: tuple[str, ...]
    connections: int
    rate: int
    wanted: int = 1


Job = Flood | Pace | Idle | Attend
_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in (Flood, Pace, Idle, Attend)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flooded:
    """What came of a flood: the messages acknowledged while it was measured, and in all.

    `answers` are the messages that came back; `refused` those of them that are errors.
    """

    messages: int
    seconds: float
    acknowledged: int
    answers: int
    refused: int
    refusal: str = ""

    @property
    def rate(self) -> float:
        """Messages a second, each acknowledged."""
        return self.messages / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Paced:
    """Milliseconds from the time by the schedule to the acknowledgement; `late` is how late it was sent, at p99."""

    sent: int
    acknowledged: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    late_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """So many are connected."""

    connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """As many devices as were wanted have the configuration of this number; the last since `at`.

    The time is that of perf_counter, which is one for all processes of a machine.
    """

    number: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Attended:
    """Every message of the telemetry: when it was due, and the seconds from then to its acknowledgement."""

    sent: int
    due: list[float]
    took_s: list[float]


def encode(job: Job) -> str:
    """Spell a job, on one line."""
    return json.dumps({"kind": type(job).__name__} | asdict(job))


def decode(line: str) -> Job:
    """Read a job."""
    fields = json.loads(line)
    kind = _KINDS[fields.pop("kind")]
    job: Job = kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})
    return job
