"""How RCI is wired into the house."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from pydantic import Field

from kaa.core.config import Duration, Settings, Size
from kaa.core.lifecycle import Core, Instance, Module
from kaa.protocols import cip

from .addresses import Allowed
from .api import routes
from .callbacks import Callbacks
from .repository import CommandRepository
from .service import Invocations


class RciConfig(Settings):
    """Settings of an RCI instance.

    `command-invocation-agent` names the instance that runs commands. `read-timeout` is how long a caller is kept
    waiting, `command-ttl` how long a command with a callback lives. A result is posted `callback-attempts` times at
    most, within `callback-give-up`; each attempt may take `callback-timeout`. Addresses that are not public are not
    posted to, unless they are in `allowed-callback-networks`.
    """

    command_invocation_agent: str = "cex"
    read_timeout: Duration = Field(30_000, ge=100, le=60_000)
    command_ttl: Duration = Field(3_600_000, ge=1_000)
    retention: Duration = Field(30 * 86_400_000, ge=60_000)
    max_payload: Size = Field(64 * 1024, ge=1)
    max_pending: int = Field(10_000, ge=1)
    callback_timeout: Duration = Field(10_000, ge=100)
    callback_attempts: int = Field(20, ge=1)
    callback_give_up: Duration = Field(86_400_000, ge=1_000)
    allowed_callback_networks: tuple[IPv4Network | IPv6Network, ...] = ()


@asynccontextmanager
async def run(core: Core, instance: Instance[Any], config: RciConfig) -> AsyncIterator[None]:
    """Start, serve until the block is left, stop."""
    name = instance.name
    commands = CommandRepository(core.storage, most_pending=config.max_pending)
    allowed = Allowed(config.allowed_callback_networks)
    callbacks = Callbacks(
        commands=commands,
        allowed=allowed,
        timeout_ms=config.callback_timeout,
        attempts=config.callback_attempts,
        give_up_ms=config.callback_give_up,
        clock=core.clock,
        tasks=core.tasks,
        metrics=core.metrics,
    )
    reply_to = cip.command_result(instance.replica)
    invocations = Invocations(
        agent=config.command_invocation_agent,
        reply_to=reply_to,
        commands=commands,
        retention_ms=config.retention,
        on_finished=callbacks.wake,
        bus=core.bus,
        clock=core.clock,
        ids=core.ids,
    )
    core.http.mount(
        name,
        routes(
            invocations,
            allowed,
            wait_ms=config.read_timeout,
            ttl_ms=config.command_ttl,
            max_payload_bytes=config.max_payload,
        ),
    )
    answered = core.bus.subscribe_batches(reply_to, invocations.on_results, queue=instance.replica)
    async with callbacks.opened(), answered:
        await invocations.resume()
        running = [
            core.tasks.spawn(invocations.run(), name=f"{name} asking"),
            core.tasks.spawn(invocations.keep_clean(), name=f"{name} clean-up"),
        ]
        try:
            yield
        finally:
            await core.tasks.stop(*running)


MODULE = Module(service="rci", config=RciConfig, run=run, migrations="kaa.modules.rci.migrations")
