"""A simulation that runs: all connections, for a while or until somebody has seen enough."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from kaa.core.clock import Clock
from kaa.core.ids import Ids

from .connection import Connection, Device
from .description import Simulation
from .registering import SimulationError, device_ids
from .signals import sources
from .tally import Tally

_LAST_ANSWERS_S = 5.0
_LOOK_MS = 20


@asynccontextmanager
async def running(
    simulation: Simulation,
    version: str,
    tokens: Mapping[str, str],
    address: tuple[str, int],
    *,
    clock: Clock,
    ids: Ids,
) -> AsyncIterator[list[Tally]]:
    """Run every fleet while the block lasts; gives what each does. SimulationError if a device cannot connect."""
    run, tallies, connections = ids.short(), list[Tally](), list[Connection]()
    for name, endpoint_ids in device_ids(simulation).items():
        fleet = simulation.fleets[name]
        starts = range(0, fleet.count, fleet.per_connection)
        tally = Tally(name, fleet.count, len(starts))
        tallies.append(tally)
        for number, at in enumerate(starts):
            own = endpoint_ids[at : at + fleet.per_connection]
            devices = [Device(tokens[one], sources(fleet.values, one)) for one in own]
            connections.append(
                Connection(f"sim-{run}-{name}-{number}", version, fleet, devices, tally=tally, clock=clock)
            )
    begun_ms = clock.monotonic_ms()
    async with AsyncExitStack() as stack:

        async def live(number: int, connection: Connection) -> None:
            await clock.sleep_ms(simulation.ramp * number / len(connections))
            try:
                await connection.open(*address)
            except Exception as error:  # gmqtt has errors of its own for each refusal
                host, port = address
                raise SimulationError(f"MQTT at {host}:{port} takes no connection: {error}") from error
            stack.push_async_callback(connection.close)
            await connection.run(begun_ms)

        try:
            async with asyncio.TaskGroup() as group:
                alive = [group.create_task(live(*one)) for one in enumerate(connections)]
                yield tallies
                for task in alive:
                    task.cancel()
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
        await _last_answers(connections, clock)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Give one of what went wrong: where no device can connect, one says it for all."""
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


async def _last_answers(connections: list[Connection], clock: Clock) -> None:
    until_ms = clock.monotonic_ms() + _LAST_ANSWERS_S * 1000
    while clock.monotonic_ms() < until_ms and not all(one.is_answered for one in connections):
        await clock.sleep_ms(_LOOK_MS)
