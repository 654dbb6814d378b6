"""How EPL is wired into the house."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from kaa.core.lifecycle import Core, Instance, Module
from kaa.protocols import elce, tstp
from kaa.protocols.names import EndpointId

from .checking import Checking
from .config import EplConfig, EplSettings
from .courier import Courier
from .repository import StateRepository
from .service import Lifecycle
from .telling import Telling

_FLUSH_MS = 2_000


@asynccontextmanager
async def run(core: Core, instance: Instance[EplSettings], config: EplConfig) -> AsyncIterator[None]:
    """Start, serve until the block is left, stop."""
    name, bus, clock = instance.name, core.bus, core.clock
    states = StateRepository(core.storage)
    answered_at = tstp.time_series_processed(instance.replica)
    telling = Telling(
        name=name,
        register=config.register_,
        applications=instance.applications,
        states=states,
        bus=bus,
        clock=clock,
        ids=core.ids,
        answered_at=answered_at,
        points_kept_ms=config.points_kept,
    )
    metadata = Courier("metadata", telling.tell_metadata, clock=clock)
    points = Courier("points", telling.tell_points, clock=clock)

    def on_news() -> None:
        metadata.wake()
        points.wake()

    def on_doubt(endpoint_ids: Sequence[EndpointId]) -> None:
        checking.doubt(endpoint_ids)
        checks.wake()

    lifecycle = Lifecycle(
        name=name,
        applications=instance.applications,
        states=states,
        clock=clock,
        metrics=core.metrics,
        on_news=on_news,
        on_doubt=on_doubt,
    )
    checking = Checking(
        communication=config.communication,
        states=states,
        bus=bus,
        clock=clock,
        ids=core.ids,
        correct=lifecycle.correct,
    )
    checks = Courier("check", checking.check, clock=clock)

    async def check_all() -> None:
        while True:
            await clock.sleep_ms(config.check)
            checking.doubt_all()
            checks.wake()

    async with AsyncExitStack() as stack:
        works = {"states": lifecycle.run(), "metadata": metadata.run(), "points": points.run()}
        works |= {"check": checks.run(), "check all": check_all()}
        tasks = [core.tasks.spawn(work, name=f"{name} {what}") for what, work in works.items()]
        stack.push_async_callback(core.tasks.stop, *tasks)
        stack.push_async_callback(lifecycle.settled, timeout_ms=_FLUSH_MS)
        for block in (
            bus.subscribe_batches(answered_at, telling.on_processed, queue=instance.replica),
            bus.subscribe_batches(elce.connected(config.communication), lifecycle.on_connected, queue=name),
            bus.subscribe_batches(elce.disconnected(config.communication), lifecycle.on_disconnected, queue=name),
            bus.subscribe_batches(elce.unregistered(config.register_), lifecycle.on_unregistered, queue=name),
        ):
            await stack.enter_async_context(block)
        yield


MODULE = Module(service="epl", config=EplConfig, run=run, settings=EplSettings, migrations="kaa.modules.epl.migrations")
