"""How DCX is wired into the house."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kaa.core.lifecycle import Core, Instance, Module
from kaa.protocols import dstp, elce, eme, esp

from .config import DcxConfig, DcxSettings
from .enrichment import Metadata
from .service import DataCollection

_CONCURRENCY = 32
_MAX_BATCH = 256


@asynccontextmanager
async def run(core: Core, instance: Instance[DcxSettings], config: DcxConfig) -> AsyncIterator[None]:
    """Start, serve until the block is left, stop."""
    metadata = Metadata(
        replica=instance.replica,
        register=config.register_,
        max_bytes=config.max_metadata_remembered,
        bus=core.bus,
        clock=core.clock,
        ids=core.ids,
        tasks=core.tasks,
    )
    collection = DataCollection(
        applications=instance.applications,
        bus=core.bus,
        clock=core.clock,
        heard_at=dstp.data_samples_received(instance.name),
        answered_at=dstp.data_samples_processed(instance.replica),
        reliable=config.reliable,
        timeout_ms=config.receivers_timeout,
        metadata=metadata,
        max_enriched_bytes=config.max_enriched,
    )
    processed = core.bus.subscribe_batches(
        dstp.data_samples_processed(instance.replica), collection.on_processed, queue=instance.replica
    )
    client_data = core.bus.subscribe_batches(
        esp.client_data(instance.name),
        collection.on_client_data,
        queue=instance.name,
        concurrency=_CONCURRENCY,
        max_batch=_MAX_BATCH,
    )
    # each replica remembers for itself, and is to hear of every change
    updated = core.bus.subscribe_batches(
        eme.metadata_updated(config.register_), metadata.on_metadata_updated, queue=instance.replica
    )
    unregistered = core.bus.subscribe_batches(
        elce.unregistered(config.register_), metadata.on_unregistered, queue=instance.replica
    )
    async with updated, unregistered, processed, client_data:
        yield


MODULE = Module(service="dcx", config=DcxConfig, run=run, settings=DcxSettings)
