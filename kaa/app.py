"""The composition root: the only place that knows who lives here."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import structlog
from pydantic import Field, create_model

from kaa.core.applications import Applications
from kaa.core.audit import AuditLog, AuditStore
from kaa.core.audit import routes as audit_routes
from kaa.core.auth import Keys
from kaa.core.backup import cut
from kaa.core.backup import serving as backup
from kaa.core.bus import Bus
from kaa.core.bus.memory import MemoryBus
from kaa.core.clock import Clock, SystemClock
from kaa.core.config import DoorPort, Duration, Settings, Size
from kaa.core.data_dir import check_whole
from kaa.core.errors import ConfigError
from kaa.core.health import Health, Problem
from kaa.core.http import HttpSettings, Site
from kaa.core.ids import Ids, RandomIds
from kaa.core.key_api import routes as key_routes
from kaa.core.key_store import SqlKeyStore
from kaa.core.lifecycle import Core, Instance, Module, running
from kaa.core.lock import locked
from kaa.core.log import Format, Level
from kaa.core.metrics import Metrics
from kaa.core.storage.budget import Budget
from kaa.core.storage.database import Storage
from kaa.core.storage.migrations import last_backup_s, migrate
from kaa.core.storage.periods import PeriodFiles
from kaa.core.tasks import Tasks
from kaa.core.tls import ServerCertificates
from kaa.declared import ApplicationKey, application_model, declared
from kaa.modules.cex.module import MODULE as CEX
from kaa.modules.cm.module import MODULE as CM
from kaa.modules.cmx.module import MODULE as CMX
from kaa.modules.dcx.module import MODULE as DCX
from kaa.modules.ecr.module import MODULE as ECR
from kaa.modules.epl.module import MODULE as EPL
from kaa.modules.epmx.module import MODULE as EPMX
from kaa.modules.epr.module import MODULE as EPR
from kaa.modules.epts.module import MODULE as EPTS
from kaa.modules.kpc.module import MODULE as KPC
from kaa.modules.otao.module import MODULE as OTAO
from kaa.modules.rci.module import MODULE as RCI
from kaa.modules.tap.module import MODULE as TAP
from kaa.modules.tekton.module import MODULE as TEKTON
from kaa.owners import Owners
from kaa.settings import Follower

log = structlog.get_logger(__name__)

_CMX_OTA_CONFIG = create_model(
    "CmxOtaConfig",
    __base__=CMX.config,
    __doc__="Settings of the CMX instance that delivers software: those of CMX, with OTAO as the provider.",
    provider=(str, "otao"),
)

INSTANCES: dict[str, Module] = {
    "tekton": TEKTON,
    "cm": CM,
    "epr": EPR,
    "epts": EPTS,
    "tap": TAP,
    "dcx": DCX,
    "epmx": EPMX,
    "epl": EPL,
    "ecr": ECR,
    "otao": OTAO,
    "cmx": CMX,
    "cmx_ota": replace(CMX, config=_CMX_OTA_CONFIG),
    "cex": CEX,
    "rci": RCI,
    "kpc": KPC,
}
"""Who lives here, by the name of the instance, in the order in which they start."""

_CORE_MIGRATIONS = "kaa.core.migrations"


class LogConfig(Settings):
    """What is written to standard error: from which level on, and as `console`, `json` or `auto`."""

    level: Level = "info"
    format: Format = "auto"


class BusConfig(Settings):
    """The bus: the servers of a NATS if it is to go over one, and how many messages may wait before each listener."""

    url: str | None = None
    queue_size: int = Field(65_536, ge=16)


class StorageConfig(Settings):
    """The database and the files of points: their period, the most that may be stored, and the reserve."""

    period: Duration = Field(7 * 86_400_000, ge=3_600_000)
    max_bytes: Size | None = None
    reserve_bytes: Size | None = None


class AuditConfig(Settings):
    """How long the audit log keeps who changed what."""

    retention: Duration = Field(365 * 86_400_000, ge=3_600_000)


InstancesConfig = create_model(  # type: ignore[call-overload]
    "InstancesConfig",
    __base__=Settings,
    __doc__="What each instance is configured with, by its name.",
    **{name: (module.config, Field(module.config(), alias=name)) for name, module in INSTANCES.items()},
)


ApplicationConfig = application_model({name: module.settings for name, module in INSTANCES.items() if module.settings})


class KaaConfig(Settings):
    """The whole configuration of a server."""

    data_dir: Path = Path("kaa-data")
    host: str = "127.0.0.1"
    http_host: str = "127.0.0.1"
    mqtt_port: DoorPort = 1883
    mqtts_port: DoorPort = None
    http_port: DoorPort = 8080
    https_port: DoorPort = None
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    log: LogConfig = LogConfig()
    bus: BusConfig = BusConfig()
    storage: StorageConfig = StorageConfig()
    http: HttpSettings = HttpSettings()
    audit: AuditConfig = AuditConfig()
    applications: dict[ApplicationKey, ApplicationConfig] = Field({})  # type: ignore[valid-type]
    instances: InstancesConfig = InstancesConfig()

    def doors(self) -> dict[str, int]:
        """Give the ports of the doors for devices that are to be open, by the door's name."""
        ports = {"mqtt": self.mqtt_port, "mqtts": self.mqtts_port}
        return {door: port for door, port in ports.items() if port is not None}

    def hosted(self) -> dict[str, Module]:
        """Give the instances that this process hosts; ConfigError if one is named that there is not."""
        for name in (*self.only, *self.without):
            if name not in INSTANCES:
                raise ConfigError(f"there is no instance {name!r}; there are {', '.join(INSTANCES)}")
        if self.only and self.without:
            raise ConfigError("say which instances to host with --only or with --without, not with both")
        return {
            name: module
            for name, module in INSTANCES.items()
            if (not self.only or name in self.only) and name not in self.without
        }


@dataclass(slots=True)
class Server:
    """A server that runs: its addresses, and what its tests look at."""

    core: Core
    addresses: dict[str, tuple[str, int]]
    died: "asyncio.Future[str]"


@asynccontextmanager
async def serving(
    config: KaaConfig,
    *,
    clock: Clock | None = None,
    ids: Ids | None = None,
    wire: bool = False,
    migrating: Callable[..., object] = migrate,
) -> AsyncIterator[Server]:
    """Run a server while the block lasts.

    Args:
        config: what to run.
        clock: what time it is, if not the machine's.
        ids: where identifiers come from, if not the system's randomness.
        wire: have every message on the bus encoded and decoded (for tests).
        migrating: what brings the database to its newest version, if not `migrate` in this process.
    """
    clock, ids = clock or SystemClock(), ids or RandomIds()
    hosted = config.hosted()
    if config.http_port is None and config.https_port is None:
        raise ConfigError("http-port and https-port are both off; REST and /health need one of them")
    died: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def on_death(name: str, error: BaseException) -> None:
        if not died.done():
            died.set_result(f"{name} died: {error!r}")

    tasks = Tasks(on_death)
    directory = config.data_dir.absolute()
    async with AsyncExitStack() as stack:
        stack.enter_context(locked(directory))
        check_whole(directory)
        cut.clear(directory)
        await asyncio.to_thread(migrating, directory / "kaa.db", migration_steps(), clock=clock)
        stack.push_async_callback(tasks.stop_all)
        core, owners = await _core(config, stack, clock=clock, ids=ids, tasks=tasks, wire=wire)
        core.instances = tuple(hosted)
        core.declared = declared(config.applications)
        plan = [(name, partial(_instance, core, config, owners, name, module)) for name, module in hosted.items()]
        await _add_sites(core, config)
        addresses = await stack.enter_async_context(running(core, plan))
        yield Server(core, addresses, died)
        log.info("stopping")


async def _add_sites(core: Core, config: KaaConfig) -> None:
    if config.http_port is not None:
        core.add_door("http", partial(core.http.opened, config.http_host, config.http_port))
    if config.https_port is None:
        return
    from kaa.core.http.https import HttpsDoor  # noqa: PLC0415  many servers do without

    kpc: Any = getattr(config.instances, "kpc")  # noqa: B009  its fields are made of INSTANCES
    certificates = ServerCertificates(
        certificate=kpc.tls.certificate, key=kpc.tls.key, directory=core.directory / "tls", clock=core.clock
    )
    await asyncio.to_thread(certificates.load)
    door = HttpsDoor(core.http, certificates, tasks=core.tasks)
    core.health.add("https door", lambda: Problem(reason) if (reason := door.problem()) else None)
    core.add_door("https", partial(door.opened, config.http_host, config.https_port))


async def _core(
    config: KaaConfig, stack: AsyncExitStack, *, clock: Clock, ids: Ids, tasks: Tasks, wire: bool
) -> tuple[Core, Owners]:
    directory, metrics, health = config.data_dir.absolute(), Metrics(), Health()
    storage = Storage(directory / "kaa.db", tasks=tasks, clock=clock, metrics=metrics)
    await stack.enter_async_context(storage.opened())
    health.add("storage", lambda: Problem(storage.last_error) if storage.last_error else None)
    budget = Budget(
        directory,
        max_bytes=config.storage.max_bytes,
        reserve_bytes=config.storage.reserve_bytes,
        clock=clock,
        metrics=metrics,
    )
    health.add("storage reserve", lambda: Problem(reason) if (reason := budget.problem()) else None)
    tasks.spawn(budget.watch(), name="storage budget")
    bus = await _bus(config.bus, stack, clock=clock, ids=ids, tasks=tasks, metrics=metrics, health=health, wire=wire)
    backup_made = metrics.gauge(
        "kaa_last_backup_timestamp_seconds", "When a backup was made last, seconds since 1970; 0 is never"
    )
    backup_made.set(last_backup_s(directory))
    keys = Keys(store=SqlKeyStore(storage), ids=ids, clock=clock)
    await keys.ensure_admin_key(directory / "admin.key")
    files: list[PeriodFiles] = []

    def period_files(name: str, schema: str) -> PeriodFiles:
        files.append(PeriodFiles(directory / name, schema=schema, period_ms=config.storage.period, metrics=metrics))
        return files[-1]

    def fault() -> str | None:
        return storage.last_error or next((one.last_error for one in files if one.last_error), None)

    store = AuditStore(storage)
    audit = AuditLog(store, retention_ms=config.audit.retention, clock=clock, metrics=metrics)
    health.add("audit log", lambda: Problem(reason) if (reason := audit.problem()) else None)
    tasks.spawn(audit.keep(), name="audit log")
    stack.push_async_callback(audit.flush)
    owners = Owners("epr", bus=bus, clock=clock, ids=ids)
    site = Site(
        keys=keys,
        ids=ids,
        clock=clock,
        metrics=metrics,
        health=health,
        settings=config.http,
        owners=owners,
        auditor=audit,
    )
    site.mount("keys", key_routes(keys))
    site.mount("audit", audit_routes(store))
    site.mount(
        "backup", backup.routes(backup.Backups(directory, budget=budget, clock=clock, made=backup_made, fault=fault))
    )
    core = Core(
        bus=bus,
        directory=directory,
        storage=storage,
        period_files=period_files,
        budget=budget,
        http=site,
        clock=clock,
        ids=ids,
        tasks=tasks,
        metrics=metrics,
        health=health,
        addresses={door: (config.host, port) for door, port in config.doors().items()},
    )
    return core, owners


@asynccontextmanager
async def _instance(core: Core, config: KaaConfig, owners: Owners, name: str, module: Module) -> AsyncIterator[None]:
    applications = Applications[Any](module.settings() if module.settings else None)
    owners.learn(applications)
    instance = Instance(name, module.service, f"{name}-{core.ids.short()}", applications)
    follower = Follower(
        instance, module.settings, tekton="tekton", bus=core.bus, clock=core.clock, ids=core.ids, tasks=core.tasks
    )
    own: Any = getattr(config.instances, name)
    async with AsyncExitStack() as stack:
        if module.service == "tekton":  # it follows nobody, and must answer before anybody asks
            await stack.enter_async_context(module.run(core, instance, own))
            await stack.enter_async_context(follower.opened())
        else:
            await stack.enter_async_context(follower.opened())
            await stack.enter_async_context(module.run(core, instance, own))
        yield


async def _bus(
    config: BusConfig,
    stack: AsyncExitStack,
    *,
    clock: Clock,
    ids: Ids,
    tasks: Tasks,
    metrics: Metrics,
    health: Health,
    wire: bool,
) -> Bus:
    common: dict[str, Any] = {
        "replica": f"kaa-{ids.short()}",
        "clock": clock,
        "tasks": tasks,
        "metrics": metrics,
        "queue_size": config.queue_size,
    }
    bus: Bus
    if config.url is None:
        bus = memory = MemoryBus(**common, is_wired=wire)
        stack.push_async_callback(memory.close)
    else:
        from kaa.core.bus.nats import NatsBus  # noqa: PLC0415  most servers never need it

        bus = nats = await stack.enter_async_context(NatsBus(config.url, **common).opened())
        health.add("bus connection", lambda: Problem(reason) if (reason := nats.problem()) else None)
    health.add("bus", lambda: _fullest(bus))
    return bus


def _fullest(bus: Bus) -> Problem | None:
    for name, (length, limit) in bus.depths().items():
        if length > limit * 0.9:
            return Problem(f"the queue {name} is nearly full: {length} of {limit}")
    return None


def migration_steps() -> list[Path]:
    """Give the directories of everybody's steps."""
    packages = dict.fromkeys(module.migrations for module in INSTANCES.values() if module.migrations)
    return [_directory(package) for package in (_CORE_MIGRATIONS, *packages)]


def _directory(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations)))
