"""How EPMX is wired into the house."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kaa.core.lifecycle import Core, Instance, Module
from kaa.protocols import esp

from .config import EpmxConfig, EpmxSettings
from .service import Metadata

_CONCURRENCY = 128


@asynccontextmanager
async def run(core: Core, instance: Instance[EpmxSettings], config: EpmxConfig) -> AsyncIterator[None]:
    """Start, serve until the block is left, stop."""
    metadata = Metadata(
        register=config.register_,
        applications=instance.applications,
        bus=core.bus,
        clock=core.clock,
        ids=core.ids,
        timeout_ms=config.request_timeout,
    )
    client_data = esp.client_data(instance.name)
    async with core.bus.subscribe(client_data, metadata.on_client_data, queue=instance.name, concurrency=_CONCURRENCY):
        yield


MODULE = Module(service="epmx", config=EpmxConfig, run=run, settings=EpmxSettings)
