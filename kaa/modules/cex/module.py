"""How CEX is wired into the house."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from pydantic import Field

from kaa.core.config import Duration, Settings, Size
from kaa.core.lifecycle import Core, Instance, Module
from kaa.protocols import cip, elce, esp

from .api import routes
from .batches import Batches
from .devices import Devices
from .endpoints import Endpoints
from .invocation import CONCURRENCY, Invocation
from .models import Limits
from .pushing import Pushes
from .repository import CommandReader, CommandRepository, TaskRepository
from .service import Commands, Orders
from .sweeping import Deadlines, Sweeping
from .waiting import Waiting

_MAX_BATCH = 256


class CexConfig(Settings):
    """Settings of a CEX instance.

    `communication` names the instance that devices talk to, `register` the one that keeps the endpoints and filters.
    `command-ttl` is the time to live of commands that name none, `retention` how long they are kept when they are
    finished. The others are bounds: of a command's payload, and for what is outstanding for one endpoint, the number of
    commands and the bytes of their payloads.
    """

    communication: str = "kpc"
    register_: str = Field("epr", alias="register")
    command_ttl: Duration = Field(60_000, ge=1_000)
    retention: Duration = Field(30 * 86_400_000, ge=60_000)
    max_payload: Size = Field(64 * 1024, ge=1)
    max_outstanding: int = Field(1_000, ge=1)
    max_outstanding_payload: Size = Field(512 * 1024, ge=1)


@asynccontextmanager
async def run(core: Core, instance: Instance[None], config: CexConfig) -> AsyncIterator[None]:
    """Start, serve until the block is left, stop."""
    name, bus, clock, ids = instance.name, core.bus, core.clock, core.ids
    limits = Limits(config.max_outstanding, config.max_outstanding_payload)
    repository, reader = CommandRepository(core.storage, limits), CommandReader(core.storage)
    tasks = TaskRepository(core.storage, limits)
    endpoints = Endpoints(register=config.register_, bus=bus, clock=clock, ids=ids)
    waiting, deadlines = Waiting(clock), Deadlines(clock)
    pushes = Pushes(name=name, communication=config.communication, bus=bus, clock=clock, ids=ids)
    orders = Orders(clock=clock, default_ttl_ms=config.command_ttl, max_payload_bytes=config.max_payload)
    commands = Commands(
        orders=orders,
        commands=repository,
        reader=reader,
        endpoints=endpoints,
        waiting=waiting,
        pushes=pushes,
        deadlines=deadlines,
        clock=clock,
    )
    batches = Batches(
        register=config.register_,
        orders=orders,
        tasks=tasks,
        applications=instance.applications,
        endpoints=endpoints,
        pushes=pushes,
        deadlines=deadlines,
        bus=bus,
        clock=clock,
        ids=ids,
    )
    devices = Devices(
        name=name,
        commands=repository,
        endpoints=endpoints,
        waiting=waiting,
        pushes=pushes,
        clock=clock,
        metrics=core.metrics,
    )
    invocation = Invocation(
        orders=orders, service=commands, commands=repository, endpoints=endpoints, waiting=waiting, clock=clock
    )
    sweeping = Sweeping(
        commands=repository,
        tasks=tasks,
        endpoints=endpoints,
        waiting=waiting,
        pushes=pushes,
        deadlines=deadlines,
        retention_ms=config.retention,
        clock=clock,
        metrics=core.metrics,
    )
    core.metrics.gauge_from("kaa_cex_waiting", "Commands whose result somebody waits for", lambda: len(waiting))
    core.http.mount(
        name, routes(commands, batches, reader, tasks, instance.applications, max_payload_bytes=config.max_payload)
    )
    hear = bus.subscribe_batches
    async with AsyncExitStack() as stack:
        invoked = bus.subscribe(cip.invoke_command(name), invocation.on_invoke, queue=name, concurrency=CONCURRENCY)
        await stack.enter_async_context(invoked)
        await stack.enter_async_context(
            hear(esp.client_data(name), devices.on_client_data, queue=name, max_batch=_MAX_BATCH)
        )
        await stack.enter_async_context(hear(elce.connected(config.communication), devices.on_connected, queue=name))
        unregistered = elce.unregistered(config.register_)
        await stack.enter_async_context(hear(unregistered, devices.on_unregistered, queue=name, max_batch=500))
        await batches.resume()
        running = [
            core.tasks.spawn(sweeping.run(), name=f"{name} sweeping"),
            core.tasks.spawn(sweeping.keep_clean(), name=f"{name} clean-up"),
            core.tasks.spawn(batches.run(), name=f"{name} batches"),
        ]
        stack.push_async_callback(core.tasks.stop, *running)
        stack.callback(waiting.close)  # before the subscriptions end: they wait for those who wait
        yield


MODULE = Module(service="cex", config=CexConfig, run=run, migrations="kaa.modules.cex.migrations")
