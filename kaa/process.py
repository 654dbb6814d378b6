"""The process that a server is: it is told to stop, says where its doors are, and what strangers may do at them."""

import asyncio
import gc
import os
import resource
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import structlog
from pydantic_core import to_json
from sqlalchemy.exc import DBAPIError

from kaa.app import KaaConfig, serving
from kaa.core.errors import ConfigError, Refusal, StartupError
from kaa.core.log import configure
from kaa.core.storage.migrating import migrate_apart

log = structlog.get_logger(__name__)

_STOP_S = 9.0


async def serve(config: KaaConfig) -> int:
    """Run until told to stop, and give the exit code: 0 after SIGTERM or SIGINT, 1 if something died."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[str] = loop.create_future()

    def stop(number: int) -> None:
        if told.done():
            log.warning("stopping_now")
            os._exit(1)
        told.set_result(signal.Signals(number).name)
        loop.call_later(_STOP_S, os._exit, 1)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    if config.http_port is not None and not _is_loopback(config.http_host):
        meaning = "whoever listens on the way can read keys; --https-port opens one that is encrypted, --http-port off"
        log.warning("open_to_the_network", host=config.http_host, door="http", meaning=f"{meaning} closes this one")
    if "kpc" in config.hosted() and not _is_loopback(config.host):
        for door, meaning in _risks(config).items():
            log.warning("open_to_the_network", host=config.host, door=door, meaning=meaning)
    migrating = partial(migrate_apart, level=config.log.level, format_=config.log.format)
    async with AsyncExitStack() as stack:
        try:
            server = await stack.enter_async_context(serving(config, migrating=migrating))
        except (Refusal, OSError, sqlite3.Error, DBAPIError) as error:
            raise StartupError(
                f"the server did not start: {getattr(error, 'orig', error)}; see that the disk of "
                f"{config.data_dir.absolute()} works and has room, and that kaa may read and write there"
            ) from error
        _settle_memory()
        with _announced(config.data_dir.absolute() / "server.json", server.addresses):
            done, _ = await asyncio.wait((told, server.died), return_when=asyncio.FIRST_COMPLETED)
        if server.died in done:
            log.error("died", reason=server.died.result())
            return 1
        log.info("told_to_stop", signal=told.result())
    return 0


def _risks(config: KaaConfig) -> dict[str, str]:
    """Say what may happen at each door for devices that strangers can reach."""
    kpc: Any = getattr(config.instances, "kpc")  # noqa: B009  its fields are made of INSTANCES
    needs = {"mqtt": kpc.client_authentication, "mqtts": kpc.tls.client_authentication}
    found = {}
    for door in config.doors():
        risks = []
        if needs[door] == "none":
            risks.append("whoever reaches this port may try endpoint tokens")
        if door == "mqtt":
            risks.append("whoever listens on the way can read tokens and passwords")
        if risks:
            found[door] = ", and ".join(risks)
    return found


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _allow_many_files() -> None:
    """Take as many file descriptors as the system gives: each device holds one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _settle_memory() -> None:
    """Keep the collector from walking through what stays for good, and from running for every few messages."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@contextmanager
def _announced(file: Path, addresses: dict[str, tuple[str, int]]) -> Iterator[None]:
    """Say where the doors are, while they are: to scripts on standard output, to the other commands in a file."""
    doors = {name: f"{host}:{port}" for name, (host, port) in addresses.items()}
    draft = file.with_name(f".{file.name}.new")
    draft.write_bytes(to_json({**doors, "pid": os.getpid()}))
    draft.replace(file)
    words = " ".join(f"{name}={doors[name]}" for name in ("mqtt", "mqtts", "http", "https") if name in doors)
    sys.stdout.write(f"ready {words}\n")
    sys.stdout.flush()
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def main(config: KaaConfig) -> int:
    """Run a server in this process."""
    # a thread that renders or decides hands the interpreter back sooner than after the usual 5 ms
    sys.setswitchinterval(0.0002)
    configure(config.log.level, config.log.format)
    _allow_many_files()
    run: Callable[..., Any] = asyncio.run
    try:
        import uvloop  # noqa: PLC0415  absent on some systems
    except ImportError:
        log.info("without_uvloop")
    else:
        run = uvloop.run
    try:
        return int(run(serve(config)))
    except (ConfigError, StartupError) as error:
        log.error("not_started", reason=str(error))  # noqa: TRY400  the sentence says it all
        return 1
