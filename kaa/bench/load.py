"""The load process: `python -m kaa.bench.load` reads a job on standard input and writes what came of it.

It ends early when its input does, so it never outlives the one who started it.
"""

import asyncio
import contextlib
import json
import resource
import sys
import threading
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

from kaa.bench.attending import attend
from kaa.bench.connecting import PATIENCE_S, TICK_S, answer, by_clock, connected
from kaa.bench.devices import Device, Flooder, Pacer
from kaa.bench.jobs import Attend, BenchError, Connected, Flood, Flooded, Idle, Pace, Paced, decode
from kaa.bench.times import quantile


def raise_file_limit() -> None:
    """Allow this process, and those it starts, as many sockets as the system lets it have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # where the system has no such number, what there is must do
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _flood(job: Flood, ended: asyncio.Event) -> Flooded:
    makers = [
        partial(
            Flooder,
            f"flood-{i}",
            job.topics[i :: job.connections],
            in_flight=job.in_flight,
            samples=job.samples,
            messages=job.messages,
            is_answered=job.is_answered,
        )
        for i in range(job.connections)
    ]
    async with connected(job.host, job.port, makers) as devices:
        begun, before = perf_counter(), 0
        for device in devices:
            device.send_more()
        if job.warm_up:
            await _over(devices, ended, within_s=job.warm_up)
            begun, before = perf_counter(), _acknowledged(devices)
        await _over(devices, ended, within_s=job.seconds - job.warm_up)
        took, counted = perf_counter() - begun, _acknowledged(devices) - before
        for device in devices:
            device.stop()
        if not await _over(devices, ended, within_s=PATIENCE_S):
            raise BenchError(f"some messages were not acknowledged or answered within {PATIENCE_S:.0f} s")
        return Flooded(
            messages=counted,
            seconds=took,
            acknowledged=_acknowledged(devices),
            answers=sum(device.answers for device in devices),
            refused=sum(device.refused for device in devices),
            refusal=next((device.refusal for device in devices if device.refusal), ""),
        )


async def _over(devices: list[Flooder], ended: asyncio.Event, *, within_s: float) -> bool:
    """Whether all is sent and acknowledged within the time; BenchError if that is not to be expected any more."""
    try:
        async with asyncio.timeout(within_s), asyncio.TaskGroup() as group:
            telling = group.create_task(_raise_when(ended))
            for device in devices:
                await asyncio.wait([device.done, device.lost], return_when=asyncio.FIRST_COMPLETED)
                if not device.done.done():
                    why = f": {device.refusal}" if device.refusal else ""
                    raise BenchError(f"the server closed a connection after {device.acknowledged} messages{why}")
            telling.cancel()
    except TimeoutError:
        return False
    return True


async def _raise_when(ended: asyncio.Event) -> None:
    await ended.wait()
    raise BenchError("told to end")


def _acknowledged(devices: list[Flooder]) -> int:
    return sum(device.acknowledged for device in devices)


async def _pace(job: Pace, ended: asyncio.Event) -> Paced:
    took: list[float] = []
    late: list[float] = []
    counts_from = float("inf")

    def note(due: float, spent: float) -> None:
        if due >= counts_from:
            took.append(spent)

    makers = [partial(Pacer, f"pace-{i}", topic, note) for i, topic in enumerate(job.topics)]
    async with connected(job.host, job.port, makers) as devices:

        def send(number: int, due: float) -> None:
            devices[number % len(devices)].send(due)
            if due >= counts_from:
                late.append(perf_counter() - due)

        counts_from = perf_counter() + job.warm_up
        until = counts_from + job.seconds
        await by_clock(job.rate, send, is_over=lambda now: now >= until or ended.is_set())
        counted, deadline = len(late), perf_counter() + PATIENCE_S
        while len(took) < counted and perf_counter() < deadline:
            if any(device.lost.done() for device in devices):
                break
            await asyncio.sleep(TICK_S)
        for device in devices:
            if device.refused:
                raise BenchError(f"{device.refused} messages of a device were refused: {device.refusal}")
        if not took:
            raise BenchError("no message was acknowledged")
        took.sort()
        late.sort()
        return Paced(
            sent=counted,
            acknowledged=len(took),
            p50_ms=quantile(took, 0.50) * 1000,
            p99_ms=quantile(took, 0.99) * 1000,
            max_ms=took[-1] * 1000,
            late_ms=quantile(late, 0.99) * 1000,
        )


async def _idle(job: Idle, ended: asyncio.Event) -> Connected:
    makers = [partial(Device, f"idle-{i}") for i in range(job.connections)]
    async with connected(job.host, job.port, makers) as devices:
        answer(Connected(connections=len(devices)))
        await ended.wait()
        return Connected(connections=sum(not device.lost.done() for device in devices))


async def _run(line: str) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def watch() -> None:
        sys.stdin.read()
        with contextlib.suppress(RuntimeError):  # the loop is over already
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=watch, daemon=True).start()
    match decode(line):
        case Flood() as job:
            answer(await _flood(job, ended))
        case Pace() as job:
            answer(await _pace(job, ended))
        case Idle() as job:
            answer(await _idle(job, ended))
        case Attend() as job:
            answer(await attend(job, ended))


def main() -> int:
    """Do the job that stands on the first line of standard input."""
    raise_file_limit()
    run: Callable[..., Any] = asyncio.run
    try:
        import uvloop  # noqa: PLC0415  absent on some systems
    except ImportError:
        pass
    else:
        run = uvloop.run
    try:
        run(_run(sys.stdin.readline()))
    except (OSError, BenchError, ExceptionGroup) as raised:
        error: Exception = raised
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        sys.stdout.write(json.dumps({"error": str(error) or "the server did not answer"}) + "\n")
        sys.stdout.flush()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
