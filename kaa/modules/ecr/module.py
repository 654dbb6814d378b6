"""How ECR is wired into the house."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from kaa.core.clock import Clock
from kaa.core.errors import Refusal
from kaa.core.lifecycle import Core, Instance, Module
from kaa.core.storage.outbox import Outbox
from kaa.protocols import cdtp, efe, elce, system_scmp, x_configurations
from kaa.protocols.x_outbox import event_processed

from .api import routes
from .config import EcrConfig, EcrSettings
from .presence import Presence
from .repository import (
    ConfigurationRepository,
    DeliveryRepository,
    FilterRepository,
    StatusRepository,
    SystemRepository,
)
from .schemas import Schemas
from .service import Configurations, Delivery, Filters, Register, Rollouts, SystemConfigurations

log = structlog.get_logger(__name__)

# What endpoints ask waits for the disk; it is noted what they were answered.
_REQUESTS = 4
_MAX_BATCH = 200


@asynccontextmanager
async def run(core: Core, instance: Instance[EcrSettings], config: EcrConfig) -> AsyncIterator[None]:
    """Start, serve until the block is left, stop."""
    name, bus, clock, ids = instance.name, core.bus, core.clock, core.ids
    outbox = Outbox(
        name,
        [cdtp.config_updated(name), system_scmp.system_config_updated(name)],
        reply_to=event_processed(instance.replica),
        bus=bus,
        storage=core.storage,
        clock=clock,
        tasks=core.tasks,
    )
    schemas = Schemas(instance.applications)
    register = Register(config.register_, bus=bus, clock=clock, ids=ids)
    presence = Presence(communication=config.communication, bus=bus, clock=clock, ids=ids)
    delivery_repository = DeliveryRepository(core.storage, outbox, accepts=schemas.accepts, history=config.history)
    statuses, system_repository = StatusRepository(core.storage), SystemRepository(core.storage, outbox)
    rollouts = Rollouts(
        name=name,
        delivery=delivery_repository,
        presence=presence,
        outbox=outbox,
        bus=bus,
        clock=clock,
        ids=ids,
    )
    configurations = Configurations(
        configurations=ConfigurationRepository(core.storage, outbox, accepts=schemas.accepts, history=config.history),
        statuses=statuses,
        schemas=schemas,
        register=register,
        presence=presence,
        rollouts=rollouts,
        clock=clock,
        most_bytes=config.max_config,
    )
    filters = Filters(
        name=name,
        configurations=configurations,
        filters=FilterRepository(core.storage),
        register=register,
        rollouts=rollouts,
        clock=clock,
    )
    system = SystemConfigurations(
        name=name,
        system=system_repository,
        applications=instance.applications,
        register=register,
        outbox=outbox,
        bus=bus,
        clock=clock,
        ids=ids,
        most_bytes=config.max_config,
    )
    delivery = Delivery(
        name=name,
        delivery=delivery_repository,
        system=system_repository,
        applications=instance.applications,
        presence=presence,
        clock=clock,
    )
    core.http.mount(name, routes(configurations, filters, system, most_bytes=config.max_config))
    hear, hear_all = bus.subscribe, bus.subscribe_batches
    register_ = config.register_
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(outbox.opened())
        for listening in (
            hear(elce.connected(config.communication), presence.on_connected, queue=name),
            hear(elce.disconnected(config.communication), presence.on_disconnected, queue=name),
            hear_all(elce.registered(register_), delivery.on_registered, queue=name, max_batch=_MAX_BATCH),
            hear_all(elce.unregistered(register_), delivery.on_unregistered, queue=name, max_batch=_MAX_BATCH),
            hear(elce.app_version_updated(register_), delivery.on_moved, queue=name),
            hear_all(efe.endpoint_matched(originator=register_), filters.on_matched, queue=name, max_batch=_MAX_BATCH),
            hear_all(
                efe.endpoint_unmatched(originator=register_), filters.on_unmatched, queue=name, max_batch=_MAX_BATCH
            ),
            hear(efe.filter_activated(originator=register_), filters.on_activated, queue=name),
            hear(efe.filter_deleted(originator=register_), filters.on_deleted, queue=name),
            *(
                hear_all(cdtp.config_applied(consumer), delivery.on_applied, queue=name, max_batch=_MAX_BATCH)
                for consumer in config.consumers
            ),
            hear_all(
                cdtp.configuration(name),
                delivery.on_requests,
                queue=name,
                concurrency=_REQUESTS,
                max_batch=_MAX_BATCH,
            ),
            hear(x_configurations.effective_configurations(name), delivery.on_effective, queue=name, concurrency=4),
            hear(x_configurations.configuration_names(name), delivery.on_names, queue=name, concurrency=4),
        ):
            await stack.enter_async_context(listening)
        core.add_outbox(outbox)
        tasks = [
            core.tasks.spawn(presence.load(), name=f"{name} presence"),
            core.tasks.spawn(rollouts.run(), name=f"{name} rollouts"),
            core.tasks.spawn(_keep_clean(statuses, clock, every_ms=config.sweep), name=f"{name} sweep"),
        ]
        stack.push_async_callback(core.tasks.stop, *tasks)
        yield


async def _keep_clean(statuses: StatusRepository, clock: Clock, *, every_ms: int) -> None:
    while True:
        await clock.sleep_ms(every_ms)
        try:
            while await statuses.sweep():
                pass
        except Refusal as no:
            log.warning("sweep_put_off", reason=no.reason)


MODULE = Module(service="ecr", config=EcrConfig, run=run, settings=EcrSettings, migrations="kaa.modules.ecr.migrations")
