"""How KPC is wired into the house."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from kaa.core.health import Problem
from kaa.core.lifecycle import Core, Instance, Module
from kaa.core.tls import ServerCertificates
from kaa.protocols import cap, ecap, esp, x_presence

from .api import routes
from .clients import Clients
from .config import KpcConfig, KpcSettings
from .notes import Notes
from .presence import Presence
from .refusals import Refusals
from .repository import RefusalRepository, SessionRepository
from .roll import Roll
from .routing import Routing
from .service import Communication
from .sessions import Sessions
from .tokens import Tokens
from .traffic import Traffic
from .transports.mqtt import MqttDoor
from .transports.tls import TlsListener


@asynccontextmanager
async def run(core: Core, instance: Instance[KpcSettings], config: KpcConfig) -> AsyncIterator[None]:
    """Start, serve until the block is left, stop."""
    name, replica, bus, clock, ids, tasks = instance.name, instance.replica, core.bus, core.clock, core.ids, core.tasks
    kept = RefusalRepository(core.storage, most=config.refusals_kept)
    refusals = Refusals(kept, clock=clock, metrics=core.metrics)
    routing = Routing(instance.applications, config.extension_instances)
    notes = Notes(routing=routing, refusals=refusals, clock=clock)
    presence = Presence(name=name, replica=replica, bus=bus, clock=clock, ids=ids)
    roll = Roll(presence=presence, replica=replica, clock=clock)
    traffic = Traffic(name=name, replica=replica, interval_ms=config.traffic_interval, bus=bus, clock=clock, ids=ids)
    clients = Clients(
        name=name,
        credentials=config.credentials,
        timeout_ms=config.connect_timeout,
        bus=bus,
        clock=clock,
        ids=ids,
    )
    reply_to = esp.extension_data_to_replica(replica)
    communication = Communication(
        name=name,
        config=config,
        routing=routing,
        tokens=Tokens(
            credentials=config.credentials,
            lifetime_ms=config.token_lifetime,
            bus=bus,
            clock=clock,
            ids=ids,
            tasks=tasks,
        ),
        presence=presence,
        notes=notes,
        traffic=traffic,
        # a queue that is full refuses: reading stops before that, whatever the size of the queues
        max_waiting=min([config.max_waiting, *(limit * 3 // 4 for _, limit in bus.depths().values())]),
        reply_to=reply_to,
        bus=bus,
        clock=clock,
        ids=ids,
        tasks=tasks,
        metrics=core.metrics,
    )
    sessions = Sessions(SessionRepository(core.storage), clock=clock, most=config.max_sessions)
    await sessions.load()
    door = MqttDoor(
        communication=communication,
        sessions=sessions,
        clients=clients,
        notes=notes,
        config=config,
        clock=clock,
        ids=ids,
        tasks=tasks,
        metrics=core.metrics,
    )
    core.http.mount(name, routes(kept))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(refusals.flush)
        stack.push_async_callback(traffic.report)
        hear, on_data = bus.subscribe_batches, communication.on_extension_data
        revoked = cap.credentials_revoked(originator=config.credentials)
        for block in (
            hear(reply_to, on_data, queue=replica),
            hear(esp.extension_data(name), on_data, queue=name),
            bus.subscribe(ecap.token_revoked(config.credentials), communication.on_token_revoked, queue=name),
            bus.subscribe(revoked, clients.on_credentials_revoked, queue=name),
            bus.subscribe(x_presence.presence(name), roll.on_presence_request, queue=name),
            bus.subscribe(x_presence.connected_endpoints(name), roll.on_connected_request, queue=name),
            door.running(),
        ):
            await stack.enter_async_context(block)
        running = [
            tasks.spawn(communication.run(), name="kpc"),
            tasks.spawn(refusals.run(), name="kpc refusals"),
            tasks.spawn(traffic.run(), name="kpc traffic"),
        ]
        stack.push_async_callback(tasks.stop, *running)
        if "mqtt" in core.addresses:
            _add_door(core, "mqtt", door)
        if "mqtts" in core.addresses:
            tls = config.tls
            certificates = ServerCertificates(
                certificate=tls.certificate,
                key=tls.key,
                client_ca=tls.client_ca,
                client_authentication=tls.client_authentication,
                directory=core.directory / "tls",
                clock=clock,
            )
            await asyncio.to_thread(certificates.load)
            _add_door(core, "mqtts", TlsListener(door, certificates, config=config.tls, metrics=core.metrics))
        yield


def _add_door(core: Core, name: str, door: MqttDoor | TlsListener) -> None:
    core.health.add(f"{name} door", lambda: Problem(reason) if (reason := door.problem()) else None)
    core.add_door(name, partial(door.opened, *core.addresses[name]))


MODULE = Module(service="kpc", config=KpcConfig, run=run, settings=KpcSettings, migrations="kaa.modules.kpc.migrations")
