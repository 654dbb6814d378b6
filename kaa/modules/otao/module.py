"""How OTAO is wired into the house."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from pydantic import Field

from kaa.core.bus import BatchHandler
from kaa.core.config import Settings
from kaa.core.lifecycle import Core, Instance, Module
from kaa.core.storage.outbox import Outbox
from kaa.core.subjects import Subject
from kaa.protocols import cdtp, efe, elce, eme, x_configurations
from kaa.protocols.x_outbox import event_processed

from .api import routes
from .catalogues import Catalogues
from .delivery import Delivery
from .hearing import Hearing
from .insight import Insight
from .offers import Offers
from .register import Register
from .repository import EndpointRepository, RolloutRepository, SoftwareRepository
from .rollouts import Rollouts
from .versions import Versions

M = TypeVar("M")

# Those that wait for the register let the others pass by; one endpoint's are one at a time all the same.
_AT_A_TIME = 4
_BATCH = 200


class OtaoConfig(Settings):
    """Settings of an OTAO instance.

    `delivery` names the instance that delivers software and hears what became of it, `register` the one whose
    endpoints, filters and metadata decide.
    """

    delivery: str = "cmx_ota"
    register_: str = Field("epr", alias="register")


@asynccontextmanager
async def run(core: Core, instance: Instance[Any], config: OtaoConfig) -> AsyncIterator[None]:
    """Start, serve until the block is left, stop."""
    name, bus, clock, ids = instance.name, core.bus, core.clock, core.ids
    outbox = Outbox(
        name,
        [cdtp.config_updated(name)],
        reply_to=event_processed(instance.replica),
        bus=bus,
        storage=core.storage,
        clock=clock,
        tasks=core.tasks,
    )
    software, endpoints = SoftwareRepository(core.storage), EndpointRepository(core.storage, outbox)
    catalogues = Catalogues(software)
    register = Register(name=config.register_, bus=bus, clock=clock, ids=ids)
    offers = Offers(
        name=name,
        replica=bus.replica,
        catalogues=catalogues,
        software=software,
        endpoints=endpoints,
        register=register,
        clock=clock,
        ids=ids,
    )
    rollouts = Rollouts(
        catalogues=catalogues,
        software=software,
        endpoints=endpoints,
        rollouts=RolloutRepository(core.storage),
        offers=offers,
        register=register,
        outbox=outbox,
        clock=clock,
    )
    told = instance.applications
    delivery = Delivery(name=name, applications=told, offers=offers, clock=clock)
    hearing = Hearing(
        name=name,
        applications=told,
        catalogues=catalogues,
        software=software,
        offers=offers,
        register=register,
        clock=clock,
    )
    versions = Versions(
        applications=told, catalogues=catalogues, software=software, endpoints=endpoints, clock=clock, ids=ids
    )
    insight = Insight(
        applications=told, catalogues=catalogues, endpoints=endpoints, offers=offers, register=register, clock=clock
    )
    core.http.mount(name, routes(versions, insight))

    def hear(subject: Subject[M], handler: BatchHandler[M]) -> AbstractAsyncContextManager[None]:
        return bus.subscribe_batches(subject, handler, queue=name, concurrency=_AT_A_TIME, max_batch=_BATCH)

    heard = (
        hear(cdtp.configuration(name), delivery.on_request),
        bus.subscribe(
            x_configurations.effective_configurations(name), delivery.on_effective, queue=name, concurrency=4
        ),
        bus.subscribe(x_configurations.configuration_names(name), delivery.on_names, queue=name),
        hear(cdtp.config_applied(config.delivery), delivery.on_applied),
        hear(efe.filter_pending(originator=config.register_), hearing.on_filter_pending),
        hear(efe.filter_activated(originator=config.register_), hearing.on_filter),
        hear(efe.filter_deleted(originator=config.register_), hearing.on_filter),
        hear(efe.endpoint_matched(originator=config.register_), hearing.on_member),
        hear(efe.endpoint_unmatched(originator=config.register_), hearing.on_member),
        hear(eme.metadata_updated(config.register_), hearing.on_metadata),
        hear(elce.app_version_updated(config.register_), hearing.on_app_version),
        hear(elce.unregistered(config.register_), hearing.on_unregistered),
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(outbox.opened())
        await catalogues.load()
        for subscription in heard:
            await stack.enter_async_context(subscription)
        core.add_outbox(outbox)
        tasks = [
            core.tasks.spawn(rollouts.run(), name=f"{name} roll-outs"),
            core.tasks.spawn(rollouts.open_dates(), name=f"{name} roll-out dates"),
        ]
        try:
            yield
        finally:
            await core.tasks.stop(*tasks)


MODULE = Module(service="otao", config=OtaoConfig, run=run, migrations="kaa.modules.otao.migrations")
