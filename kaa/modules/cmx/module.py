"""How CMX is wired into the house."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from pydantic import Field

from kaa.core.config import Duration, Settings
from kaa.core.lifecycle import Core, Instance, Module
from kaa.core.storage.outbox import Outbox
from kaa.protocols import cdtp, elce, esp
from kaa.protocols.x_outbox import event_processed

from .provider import Provider
from .pushing import Pushing
from .recent import Recent
from .repository import StateRepository
from .service import ConfigurationManagement

_CONCURRENCY = 16
_MAX_BATCH = 256


class CmxConfig(Settings):
    """Settings of a CMX instance.

    `provider` names the instance that keeps the configurations, `communication` the one that devices talk to, and
    `register` the one that keeps endpoints. With `implicitly_applied` a device that asks with the identifier of the
    current configuration counts as one that has applied it.
    """

    provider: str = "ecr"
    communication: str = "kpc"
    register_: str = Field("epr", alias="register")
    provider_timeout: Duration = Field(8_000, ge=100, le=9_000)
    implicitly_applied: bool = True


@asynccontextmanager
async def run(core: Core, instance: Instance[Any], config: CmxConfig) -> AsyncIterator[None]:
    """Start, serve until the block is left, stop."""
    name, bus, clock, ids = instance.name, core.bus, core.clock, core.ids
    outbox = Outbox(
        name,
        [cdtp.config_applied(name)],
        reply_to=event_processed(instance.replica),
        bus=bus,
        storage=core.storage,
        clock=clock,
        tasks=core.tasks,
    )
    states = StateRepository(core.storage, outbox, instance=name)
    provider = Provider(config.provider, timeout_ms=config.provider_timeout, bus=bus, clock=clock, ids=ids)
    pulls = Recent()
    management = ConfigurationManagement(
        name=name,
        states=states,
        provider=provider,
        pulls=pulls,
        is_implicit=config.implicitly_applied,
        outbox=outbox,
        bus=bus,
        clock=clock,
        ids=ids,
    )
    pushing = Pushing(
        name=name,
        communication=config.communication,
        states=states,
        provider=provider,
        pulls=pulls,
        bus=bus,
        clock=clock,
        ids=ids,
    )
    hear = bus.subscribe_batches
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(outbox.opened())
        for listening in (
            hear(cdtp.config_updated(config.provider), pushing.on_updated, queue=name),
            hear(elce.connected(config.communication), pushing.on_connected, queue=name),
            hear(elce.app_version_updated(config.register_), pushing.on_moved, queue=name),
            hear(elce.unregistered(config.register_), pushing.on_unregistered, queue=name),
            hear(
                esp.client_data(name),
                management.on_client_data,
                queue=name,
                concurrency=_CONCURRENCY,
                max_batch=_MAX_BATCH,
            ),
        ):
            await stack.enter_async_context(listening)
        core.add_outbox(outbox)
        task = core.tasks.spawn(pushing.run(), name=f"{name} arrivals put off")
        stack.push_async_callback(core.tasks.stop, task)
        yield


MODULE = Module(service="cmx", config=CmxConfig, run=run, migrations="kaa.modules.cmx.migrations")
