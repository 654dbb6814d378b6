"""What all jobs of the load process have in common: devices that are connected, the clock, and the answer."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from time import perf_counter
from typing import Any, TypeVar

from kaa.bench.devices import Device

D = TypeVar("D", bound=Device)

PATIENCE_S = 15.0
TICK_S = 0.001
_AT_A_TIME = 100


@asynccontextmanager
async def connected(host: str, port: int, makers: Sequence[Callable[[], D]]) -> AsyncIterator[list[D]]:
    """Give devices that are connected while the block lasts."""
    loop, devices = asyncio.get_running_loop(), []
    try:
        for at in range(0, len(makers), _AT_A_TIME):
            part = makers[at : at + _AT_A_TIME]
            async with asyncio.TaskGroup() as group:
                opening = [group.create_task(loop.create_connection(maker, host, port)) for maker in part]
            made = [task.result()[1] for task in opening]
            devices += made
            async with asyncio.timeout(PATIENCE_S):
                for device in made:
                    await device.connected
        yield devices
    finally:
        for device in devices:
            device.transport.close()


async def by_clock(rate: int, send: Callable[[int, float], None], *, is_over: Callable[[float], bool]) -> None:
    """Call `send` so many times a second, with a number and the time at which it was due, until it is over.

    The schedule has a grid of a millisecond, and nothing slows it down.
    """
    begun, number = perf_counter(), 0
    while not is_over(now := perf_counter()):
        while (due := begun + number * 1000 // rate / 1000) <= now:
            send(number, due)
            number += 1
        await asyncio.sleep(TICK_S)


def answer(value: Any) -> None:
    """Write what came of the job, or a part of it, on one line."""
    sys.stdout.write(json.dumps(asdict(value)) + "\n")
    sys.stdout.flush()
