"""The job of being there: many devices that listen, with telemetry going on."""

import asyncio
from functools import partial
from time import perf_counter

from kaa.bench.attendants import Attendant
from kaa.bench.connecting import PATIENCE_S, TICK_S, answer, by_clock, connected
from kaa.bench.jobs import Attend, Attended, BenchError, Configured, Connected

_GREET_AT_A_TIME = 100


class _Arrivals:
    """Which devices have which configuration, until enough have it."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._having: dict[int, set[bytes]] = {}

    def note(self, token: bytes, number: int) -> None:
        having = self._having.setdefault(number, set())
        if token in having:
            return
        having.add(token)
        if len(having) == self._wanted:
            answer(Configured(number=number, at=perf_counter()))


async def attend(job: Attend, ended: asyncio.Event) -> Attended:
    """Do the job."""
    due, took = list[float](), list[float]()

    def note(due_at: float, spent: float) -> None:
        due.append(due_at)
        took.append(spent)

    arrivals = _Arrivals(job.wanted)
    makers = [
        partial(Attendant, f"attend-{i}", job.version, job.tokens[i :: job.connections], note, arrivals.note)
        for i in range(job.connections)
    ]
    async with connected(job.host, job.port, makers) as devices:
        await _present(devices)
        answer(Connected(connections=len(devices)))
        sent = 0

        def send(number: int, due_at: float) -> None:
            nonlocal sent
            devices[number % len(devices)].send(due_at)
            sent += 1

        await by_clock(job.rate, send, is_over=lambda _: ended.is_set())
        await _acknowledged(devices, within_s=PATIENCE_S)
        return Attended(sent=sent, due=due, took_s=took)


async def _present(devices: list[Attendant]) -> None:
    """Have all devices speak, not too many at a time."""
    for at in range(0, len(devices), _GREET_AT_A_TIME):
        part = devices[at : at + _GREET_AT_A_TIME]
        for device in part:
            device.greet()
        await _acknowledged(part, within_s=PATIENCE_S)


async def _acknowledged(devices: list[Attendant], *, within_s: float) -> None:
    deadline = perf_counter() + within_s
    while waiting := [one for one in devices if one.acknowledged < one.sent]:
        refusal = next((one.refusal for one in devices if one.refused), "")
        if refusal:
            raise BenchError(f"a message of a device was refused: {refusal}")
        if any(one.lost.done() for one in waiting):
            raise BenchError("the server closed a connection")
        if perf_counter() > deadline:
            raise BenchError(f"some messages were not acknowledged within {within_s:.0f} s")
        await asyncio.sleep(TICK_S)
