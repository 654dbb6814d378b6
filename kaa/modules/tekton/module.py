"""How Tekton is wired into the house."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from kaa.core.lifecycle import Core, Instance, Module
from kaa.core.storage.outbox import Outbox
from kaa.protocols import scmp, x_settings
from kaa.protocols.x_outbox import event_processed

from .api import application_routes, bulk_routes, instance_routes, settings_routes
from .config import TektonConfig
from .repository import CatalogueRepository, LoadingRepository, SettingsRepository
from .service import ApplicationSettings, Catalogue, Documents, Loading, ServiceInstances, Telling


@asynccontextmanager
async def run(core: Core, instance: Instance[Any], config: TektonConfig) -> AsyncIterator[None]:
    """Start, serve until the block is left, stop; the applications of the configuration file come first."""
    outbox = Outbox(
        instance.name,
        [scmp.configuration_changed(instance.name)],
        reply_to=event_processed(instance.replica),
        bus=core.bus,
        storage=core.storage,
        clock=core.clock,
        tasks=core.tasks,
    )
    telling = Telling(name=instance.name, outbox=outbox, bus=core.bus, clock=core.clock, ids=core.ids)
    documents = Documents(bus=core.bus, clock=core.clock, ids=core.ids)
    catalogue = Catalogue(
        repository=CatalogueRepository(core.storage, outbox),
        telling=telling,
        register=config.register_,
        bus=core.bus,
        clock=core.clock,
        ids=core.ids,
    )
    settings = ApplicationSettings(
        repository=SettingsRepository(core.storage, outbox), documents=documents, telling=telling, clock=core.clock
    )
    loading = Loading(
        repository=LoadingRepository(core.storage, outbox), documents=documents, telling=telling, clock=core.clock
    )
    instances = ServiceInstances(here=lambda: core.instances, bus=core.bus, clock=core.clock, ids=core.ids)
    core.http.mount(
        instance.name,
        [
            *application_routes(catalogue),
            *settings_routes(settings),
            *bulk_routes(loading),
            *instance_routes(instances),
        ],
    )
    asked = core.bus.subscribe_batches(x_settings.settings_of(instance.name), settings.on_settings, queue=instance.name)
    async with outbox.opened(), asked:
        await loading.manage(core.declared)
        core.add_outbox(outbox)
        yield


MODULE = Module(service="tekton", config=TektonConfig, run=run, migrations="kaa.modules.tekton.migrations")
