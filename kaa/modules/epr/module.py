"""How EPR is wired into the house."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from pydantic import Field

from kaa.core.config import Settings
from kaa.core.lifecycle import Core, Instance, Module
from kaa.core.storage.outbox import Outbox
from kaa.protocols import elce, eme, epmmp, eprmp, x_register
from kaa.protocols.x_outbox import event_processed

from .api import routes
from .events import Events
from .filters import Matching, opened
from .filters import events as filter_events
from .repository import (
    BatchRepository,
    Consequences,
    EndpointRepository,
    MetadataRepository,
    RegistrationRepository,
    RelationRepository,
    SearchRepository,
)
from .service import Batches, MetadataRegister, Register, Relations, TokenOrders
from .service.cleaning import keep_clean

# Changes wait for the disk; all that wait at a time are one commit.
_CHANGES = 64


class EprConfig(Settings):
    """Settings of an EPR instance.

    `credentials` names the instance that issues tokens, `communication` the one whose endpoints' versions are followed;
    `max_filters` is how many filters an application may have.
    """

    credentials: str = "cm"
    communication: str = "kpc"
    max_filters: int = Field(1_000, ge=0)


@asynccontextmanager
async def run(core: Core, instance: Instance[Any], config: EprConfig) -> AsyncIterator[None]:
    """Start, serve until the block is left, stop."""
    name, hear = instance.name, core.bus.subscribe
    outbox = Outbox(
        name,
        [
            elce.registered(name),
            elce.unregistered(name),
            elce.app_version_updated(name),
            eme.metadata_updated(name),
            eprmp.relations_updated(name),
            *filter_events(name),
        ],
        reply_to=event_processed(instance.replica),
        bus=core.bus,
        storage=core.storage,
        clock=core.clock,
        tasks=core.tasks,
    )
    events = Events(name, replica=instance.replica, clock=core.clock, ids=core.ids)
    matching = Matching(name=name, replica=instance.replica, clock=core.clock, ids=core.ids)
    consequences = Consequences(outbox, matching)
    endpoints = EndpointRepository(core.storage, consequences)
    tokens = TokenOrders(config.credentials, bus=core.bus, clock=core.clock, ids=core.ids)
    register = Register(
        endpoints=endpoints,
        search=SearchRepository(core.storage),
        registrations=RegistrationRepository(core.storage, consequences),
        tokens=tokens,
        events=events,
        applications=instance.applications,
        outbox=outbox,
        clock=core.clock,
        ids=core.ids,
    )
    batches = Batches(
        batches=BatchRepository(core.storage, consequences),
        tokens=tokens,
        events=events,
        applications=instance.applications,
        outbox=outbox,
        clock=core.clock,
        ids=core.ids,
    )
    metadata = MetadataRegister(
        endpoints=endpoints,
        metadata=MetadataRepository(core.storage, consequences),
        events=events,
        applications=instance.applications,
        outbox=outbox,
        clock=core.clock,
    )
    relations = Relations(
        relations=RelationRepository(core.storage, consequences), events=events, outbox=outbox, clock=core.clock
    )
    core.http.mount(name, routes(register, metadata, batches, relations))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(outbox.opened())
        for heard in (
            core.bus.subscribe_batches(elce.connected(config.communication), register.on_connected, queue=name),
            hear(x_register.count_endpoints(name), register.on_count, queue=name, concurrency=4),
            hear(x_register.find_endpoints(name), register.on_find, queue=name, concurrency=4),
            hear(epmmp.metadata(name), metadata.on_get, queue=name, concurrency=4),
            hear(epmmp.metadata_keys(name), metadata.on_keys, queue=name, concurrency=4),
            hear(epmmp.patch_metadata(name), metadata.on_patch, queue=name, concurrency=_CHANGES),
            hear(epmmp.update_metadata_key(name), metadata.on_update_key, queue=name, concurrency=_CHANGES),
            hear(epmmp.update_metadata_keys(name), metadata.on_update_keys, queue=name),
            hear(epmmp.app_versions(name), metadata.on_app_versions, queue=name, concurrency=4),
            hear(eprmp.relations(name), relations.on_get, queue=name, concurrency=4),
        ):
            await stack.enter_async_context(heard)
        await stack.enter_async_context(
            opened(
                name=name,
                matching=matching,
                storage=core.storage,
                outbox=outbox,
                bus=core.bus,
                site=core.http,
                applications=instance.applications,
                clock=core.clock,
                ids=core.ids,
                tasks=core.tasks,
                max_filters=config.max_filters,
            )
        )
        await register.clean_up()
        core.add_outbox(outbox)
        tasks = [
            core.tasks.spawn(keep_clean(register, batches, clock=core.clock), name=f"{name} clean-up"),
            core.tasks.spawn(batches.keep_working(), name=f"{name} batches"),
        ]
        try:
            yield
        finally:
            await core.tasks.stop(*tasks)


MODULE = Module(service="epr", config=EprConfig, run=run, migrations="kaa.modules.epr.migrations")
