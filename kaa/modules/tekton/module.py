"""How Tekton is wired into the house."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from kaa.core.config import Settings
from kaa.core.lifecycle import Core, Instance, Module
from kaa.core.storage.outbox import Outbox
from kaa.protocols import scmp, x_settings
from kaa.protocols.x_outbox import event_processed

from .api import routes
from .repository import CatalogueRepository
from .service import Catalogue


class TektonConfig(Settings):
    """Settings of a Tekton instance; it needs none."""


@asynccontextmanager
async def run(core: Core, instance: Instance[Any], config: TektonConfig) -> AsyncIterator[None]:  # noqa: ARG001  as above
    """Start, serve until the block is left, stop."""
    outbox = Outbox(
        instance.name,
        [scmp.configuration_changed(instance.name)],
        reply_to=event_processed(instance.replica),
        bus=core.bus,
        storage=core.storage,
        clock=core.clock,
        tasks=core.tasks,
    )
    catalogue = Catalogue(
        name=instance.name,
        repository=CatalogueRepository(core.storage, outbox),
        outbox=outbox,
        bus=core.bus,
        clock=core.clock,
        ids=core.ids,
    )
    core.http.mount(instance.name, routes(catalogue))
    asked = core.bus.subscribe(
        x_settings.settings_of(instance.name), catalogue.on_settings, queue=instance.name, concurrency=4
    )
    async with outbox.opened(), asked:
        core.add_outbox(outbox)
        yield


MODULE = Module(service="tekton", config=TektonConfig, run=run, migrations="kaa.modules.tekton.migrations")
