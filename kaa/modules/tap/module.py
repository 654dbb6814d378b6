"""How the tap is wired into the house: the model of another receiver of samples, which DCX and EPTS know nothing of."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import aiohttp

from kaa.core.health import Problem
from kaa.core.lifecycle import Core, Instance, Module
from kaa.core.storage.budget import Budget
from kaa.protocols import dstp

from .config import TapConfig
from .files import Files
from .lines import bodies
from .service import Sink, Tap
from .webhook import Webhook

T = TypeVar("T")

_MAX_BATCH = 256
_CONCURRENCY = 4  # while the webhook takes its time the next samples go to the file


class _Apart:
    """A thread of its own: what is given to it is done in order."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        self._thread.shutdown()


class _FileSink:
    def __init__(self, files: Files, apart: _Apart, budget: Budget | None) -> None:
        self._files, self._apart, self._budget = files, apart, budget

    async def take(self, lines: Sequence[bytes]) -> None:
        if self._budget is not None:
            await self._budget.ensure()
        await self._apart.run(lambda: self._files.append(lines))
        if self._budget is not None:
            self._budget.take(sum(map(len, lines)))


class _WebhookSink:
    def __init__(self, webhook: Webhook, max_bytes: int) -> None:
        self._webhook, self._max_bytes = webhook, max_bytes

    async def take(self, lines: Sequence[bytes]) -> None:
        await self._webhook.post(bodies(lines, self._max_bytes))


@asynccontextmanager
async def run(core: Core, instance: Instance[Any], config: TapConfig) -> AsyncIterator[None]:
    """Start, serve until the block is left, stop."""
    if config.file.directory is None and config.webhook.url is None:
        yield
        return
    async with AsyncExitStack() as stack:
        apart = _Apart(instance.name)
        stack.callback(apart.close)
        sinks: list[Sink] = []
        if config.file.directory is not None:
            directory = core.directory / config.file.directory
            files = Files(directory, max_bytes=config.file.max_size, count=config.file.files)
            await apart.run(files.open)
            stack.push_async_callback(apart.run, files.close)
            is_within = directory.resolve().is_relative_to(core.directory.resolve())
            sinks.append(_FileSink(files, apart, core.budget if is_within else None))
        if config.webhook.url is not None:
            timeout = aiohttp.ClientTimeout(total=config.webhook.timeout / 1000)
            session = await stack.enter_async_context(
                aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
            )
            secret = config.webhook.authorization
            webhook = Webhook(
                session,
                config.webhook.url,
                authorization=None if secret is None else secret.get_secret_value(),
                retry_for_ms=config.webhook.retry_for,
                clock=core.clock,
            )
            sinks.append(_WebhookSink(webhook, config.webhook.max_body))
        tap = Tap(
            name=instance.name,
            applications=instance.applications,
            sinks=sinks,
            apart=apart.run,
            clock=core.clock,
            metrics=core.metrics,
        )
        core.health.add(instance.name, lambda: Problem(tap.fault) if tap.fault else None)
        for transmitter in config.transmitters:
            heard = dstp.data_samples_received(transmitter)
            await stack.enter_async_context(
                core.bus.subscribe_batches(
                    heard, tap.on_data_samples, queue=instance.name, concurrency=_CONCURRENCY, max_batch=_MAX_BATCH
                )
            )
        yield


MODULE = Module(service="tap", config=TapConfig, run=run)
