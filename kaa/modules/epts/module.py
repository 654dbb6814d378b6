"""How EPTS is wired into the house."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from pydantic import Field

from kaa.core.config import Duration, Settings
from kaa.core.health import Problem
from kaa.core.lifecycle import Core, Instance, Module
from kaa.protocols import dstp, tstp

from .api import routes
from .channels import Channels
from .editing import Editing
from .ingest import Ingest
from .queries import Queries
from .repository import SCHEMA, ChannelRepository, PointReader, PointRepository
from .retention import Retention
from .settings import EptsSettings

_MAX_BATCH = 512
_CONCURRENCY = 2  # one batch is taken apart while the one before it is being committed
_TRANSMITTERS_CONCURRENCY = 64  # points of other transmitters come one by one, and share a commit


class EptsConfig(Settings):
    """Settings of an EPTS instance.

    `transmitters` are the instances whose data samples are stored, `time-series-transmitters` those whose points are;
    `register` is the endpoint register that is asked whether an endpoint exists.
    """

    transmitters: tuple[str, ...] = ("dcx",)
    time_series_transmitters: tuple[str, ...] = ("epl",)
    register_instance: str = Field("epr", alias="register")
    max_values_per_endpoint: int = Field(1_000, ge=1)
    max_endpoints_remembered: int = Field(50_000, ge=1_000)
    retention_sweep: Duration = Field(3_600_000, ge=1_000)


@asynccontextmanager
async def run(core: Core, instance: Instance[EptsSettings], config: EptsConfig) -> AsyncIterator[None]:
    """Start, serve until the block is left, stop."""
    async with AsyncExitStack() as stack:
        files = await stack.enter_async_context(core.period_files(instance.name, SCHEMA).opened())
        core.health.add(f"{instance.name} points", lambda: Problem(files.last_error) if files.last_error else None)
        channels, points = ChannelRepository(core.storage), PointRepository(files)
        remembered = Channels(
            channels, max_per_endpoint=config.max_values_per_endpoint, max_endpoints=config.max_endpoints_remembered
        )
        ingest = Ingest(
            name=instance.name,
            applications=instance.applications,
            channels=remembered,
            points=points,
            bus=core.bus,
            budget=core.budget,
            clock=core.clock,
            ids=core.ids,
            metrics=core.metrics,
        )
        await ingest.start()
        retention = Retention(
            applications=instance.applications,
            files=files,
            channels=channels,
            points=points,
            clock=core.clock,
            every_ms=config.retention_sweep,
        )
        core.budget.on_reserve(retention.make_room)
        queries = Queries(applications=instance.applications, channels=channels, points=PointReader(files), files=files)
        editing = Editing(
            applications=instance.applications,
            ingest=ingest,
            channels=channels,
            remembered=remembered,
            points=points,
            bus=core.bus,
            register=config.register_instance,
            clock=core.clock,
            ids=core.ids,
        )
        core.http.mount(instance.name, routes(queries, editing, core.clock))
        for transmitter in config.transmitters:
            heard = dstp.data_samples_received(transmitter)
            block = core.bus.subscribe_batches(
                heard, ingest.on_data_samples, queue=instance.name, max_batch=_MAX_BATCH, concurrency=_CONCURRENCY
            )
            await stack.enter_async_context(block)
        for transmitter in config.time_series_transmitters:
            await stack.enter_async_context(
                core.bus.subscribe(
                    tstp.data_points_received(transmitter),
                    ingest.on_time_series,
                    queue=instance.name,
                    concurrency=_TRANSMITTERS_CONCURRENCY,
                )
            )
        sweeping = core.tasks.spawn(retention.run(), name=f"{instance.name} retention")
        stack.push_async_callback(core.tasks.stop, sweeping)
        yield


MODULE = Module(
    service="epts", config=EptsConfig, run=run, settings=EptsSettings, migrations="kaa.modules.epts.migrations"
)
