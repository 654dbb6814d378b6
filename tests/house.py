"""A house for tests: everything that modules stand on, in one directory, and any of them in it.

    async def test_something(house: House) -> None:
        await house.start(TEKTON, CM, EPR)                          # they hear of applications from Tekton
        await house.start(DCX, applications={"home": ["home-v1"]})  # or are told of them by the test
        answer = await house.call("POST", "/epr/api/v1/endpoints", {"appVersion": {"name": "home-v1"}})
        assert answer.status == 201

Storage, files by period, bus and HTTP site are the real ones; time stands still until the test moves `house.clock`,
and identifiers are counted. `stop` and `open` again make a restart on the same directory.
"""

import asyncio
import json as json_
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from fakes.clock import FakeClock
from fakes.ids import CountedIds
from pydantic import BaseModel
from sqlalchemy import Connection
from waiting import until

import kaa
from kaa.core.applications import Application, Applications, Version
from kaa.core.auth import Keys, Role
from kaa.core.bus.memory import MemoryBus
from kaa.core.config.units import validate_written
from kaa.core.health import Health
from kaa.core.http import HttpSettings, Site
from kaa.core.key_store import SqlKeyStore
from kaa.core.lifecycle import Core, Instance, Module
from kaa.core.metrics import Metrics
from kaa.core.storage.budget import Budget
from kaa.core.storage.database import Storage
from kaa.core.storage.migrations import migrate
from kaa.core.storage.periods import PeriodFiles
from kaa.core.subjects import RequestSubject, Subject, is_overlap
from kaa.core.tasks import Tasks
from kaa.protocols.x_outbox import EventProcessed
from kaa.settings import Follower

T = TypeVar("T")

REPLICA = "replica-1"
_WEEK_MS = 7 * 86_400_000
_TURNS = 10
_ROOT = Path(kaa.__file__).parent


def migration_steps() -> list[Path]:
    """Give the directories of the core's and every module's steps."""
    return [_ROOT / "core" / "migrations", *sorted(_ROOT.glob("modules/*/migrations"))]


def make_template(path: Path) -> Path:
    """Make a database at its newest version, to be copied."""
    migrate(path, migration_steps(), clock=FakeClock())
    return path


@dataclass(frozen=True, slots=True)
class Reply:
    """What HTTP gave back."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    @property
    def json(self) -> Any:
        return json_.loads(self.data)

    @property
    def message(self) -> str:
        """The sentence of an error."""
        return str(self.json["message"])


class WatchedStorage(Storage):
    """Storage that knows how much is being read and written."""

    under_way = 0

    async def write(self, work: Callable[[Connection], T]) -> T:
        self.under_way += 1
        try:
            return await super().write(work)
        finally:
            self.under_way -= 1

    async def read(self, work: Callable[[Connection], T]) -> T:
        self.under_way += 1
        try:
            return await super().read(work)
        finally:
            self.under_way -= 1

    async def read_apart(self, work: Callable[[Connection], T]) -> T:
        self.under_way += 1
        try:
            return await super().read_apart(work)
        finally:
            self.under_way -= 1


@dataclass(eq=False)
class House:
    """One process, as far as modules can tell."""

    directory: Path
    is_wired: bool = False
    template: Path | None = None
    clock: FakeClock = field(default_factory=FakeClock)
    ids: CountedIds = field(default_factory=CountedIds)
    max_bytes: int | None = None
    period_ms: int = _WEEK_MS
    queue_size: int = 65_536

    async def open(self) -> "House":
        """Open storage, bus and site; no module runs yet."""
        self._stack = AsyncExitStack()
        try:
            return await self._opened()
        except BaseException:
            await self._stack.aclose()
            raise

    async def _opened(self) -> "House":
        self.deaths: list[str] = []
        self.addresses: dict[str, tuple[str, int]] = {}
        self.instances: dict[str, Instance[Any]] = {}
        self._base, self._started_outboxes = "", 0
        self.tasks = Tasks(lambda name, error: self.deaths.append(f"{name}: {error!r}"))
        self.metrics, self.health = Metrics(), Health()
        database = self.directory / "kaa.db"
        if not database.exists():
            template = self.template or await asyncio.to_thread(make_template, self.directory / "template.db")
            shutil.copyfile(template, database)
        self.bus = MemoryBus(
            replica=REPLICA,
            clock=self.clock,
            tasks=self.tasks,
            metrics=self.metrics,
            queue_size=self.queue_size,
            is_wired=self.is_wired,
        )
        self._stack.push_async_callback(self.bus.close)
        self.storage = await self._stack.enter_async_context(
            WatchedStorage(database, tasks=self.tasks, clock=self.clock, metrics=self.metrics).opened()
        )
        self.budget = Budget(
            self.directory,
            max_bytes=self.max_bytes,
            reserve_bytes=None,
            clock=self.clock,
            metrics=self.metrics,
        )
        keys = Keys(store=SqlKeyStore(self.storage), ids=self.ids, clock=self.clock)
        _, self.key = await keys.make(Role.ADMIN)
        self.site = Site(
            keys=keys,
            ids=self.ids,
            clock=self.clock,
            metrics=self.metrics,
            health=self.health,
            settings=HttpSettings(stop_timeout_ms=100),
        )
        self.core = Core(
            bus=self.bus,
            directory=self.directory,
            storage=self.storage,
            period_files=self.period_files,
            budget=self.budget,
            http=self.site,
            clock=self.clock,
            ids=self.ids,
            tasks=self.tasks,
            metrics=self.metrics,
            health=self.health,
        )
        return self

    def period_files(self, directory: str, schema: str) -> PeriodFiles:
        """Give the files by period of a directory; whoever asks opens them."""
        return PeriodFiles(self.directory / directory, schema=schema, period_ms=self.period_ms, metrics=self.metrics)

    async def stop(self) -> None:
        """Stop everything, last started first; nothing may be left, and no task may have died."""
        await self._stack.aclose()
        assert self.tasks.alive() == []
        assert self.deaths == []

    async def restart(self) -> None:
        """Stop, and open again on the same directory; modules and listeners are to be started anew."""
        await self.stop()
        await self.open()

    async def start(
        self,
        *modules: Module,
        name: str | None = None,
        config: BaseModel | Mapping[str, Any] | None = None,
        applications: Mapping[str, Iterable[str]] | None = None,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Instance[Any]:
        """Start modules; then their outboxes, and then their doors, whose addresses are in `addresses`.

        Args:
            modules: what to start, in order; those that mount HTTP routes, before the first `call`.
            name: the instance's name, if it is not the service's (for one module).
            config: its configuration, made or as it is written in the file (for one module).
            applications: the names of applications with those of their versions. If they are given, the test says
                what there is; if not, Tekton does, if it runs.
            settings: what the instance is told, by the name of the application or of the version.

        Returns:
            The instance, the last one of several.
        """
        assert len(modules) == 1 or (name is None and config is None)
        for module in modules:
            made = module.config() if config is None else config
            if not isinstance(made, BaseModel):
                made = validate_written(module.config, made)
            default = module.settings() if module.settings is not None else None
            instance = Instance(name or module.service, module.service, REPLICA, Applications(default))
            self.instances[instance.name] = instance
            self.core.instances = tuple(self.instances)
            if applications is not None:
                told = _told(module, default, applications, settings or {})
                instance.applications.replace(told)
            elif module.service != "tekton":
                await self._follow(module, instance)
            await self._stack.enter_async_context(module.run(self.core, instance, made))
        for outbox in self.core.outboxes[self._started_outboxes :]:
            await outbox.start()
        self._started_outboxes = len(self.core.outboxes)
        for door, opened in self.core.doors.items():
            if door not in self.addresses:
                self.addresses[door] = await self._stack.enter_async_context(opened())
        return instance

    async def _follow(self, module: Module, instance: Instance[Any]) -> None:
        tekton = next((name for name, one in self.instances.items() if one.service == "tekton"), None)
        if tekton is not None:
            follower = Follower(
                instance,
                module.settings,
                tekton=tekton,
                bus=self.bus,
                clock=self.clock,
                ids=self.ids,
                tasks=self.tasks,
            )
            await self._stack.enter_async_context(follower.opened())

    # over HTTP

    async def call(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        params: Any = None,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        has_key: bool = True,
    ) -> Reply:
        """Ask the site, with the admin key unless it is said otherwise; the first call opens it."""
        if not self._base:
            # the client first, so that it is there until the site has told it that it closes
            self._client = await self._stack.enter_async_context(aiohttp.ClientSession())
            host, port = await self._stack.enter_async_context(self.site.opened("127.0.0.1", 0))
            self._base = f"http://{host}:{port}"
        sent = {"Authorization": f"Bearer {self.key}"} if has_key else {}
        async with self._client.request(
            method, self._base + path, json=json, params=params, headers=sent | dict(headers or {}), data=data
        ) as response:
            return Reply(response.status, response.headers.copy(), await response.read())

    async def get(self, path: str, **params: Any) -> Any:
        """Get JSON from a path; anything but 200 fails the test."""
        reply = await self.call("GET", path, params=params)
        assert reply.status == 200, reply
        return reply.json

    # over the bus

    def message(self, subject: Subject[Any], **fields: Any) -> Any:
        """Make a message for a subject; the common fields are filled in where the test does not say them."""
        common = {"correlation_id": self.ids.correlation_id(), "timestamp_ms": self.clock.now_ms()}
        if "originator_replica_id" in subject.message.__annotations__:
            common["originator_replica_id"] = "replica-of-the-test"
        return subject.message(**(common | fields))

    def publish(self, subject: Subject[Any], **fields: Any) -> Any:
        """Publish a message made of the fields, and give it back."""
        message = self.message(subject, **fields)
        self.bus.publish(subject, message)
        return message

    async def request(self, subject: RequestSubject[Any, Any], **fields: Any) -> Any:
        """Ask with a message made of the fields, and give the reply, whatever its status."""
        return await self.bus.request(subject, self.message(subject, **fields))

    async def hear(self, subject: Subject[Any], *, name: str = "listener", status: int | None = 200) -> list[Any]:
        """Listen until the house stops; what is heard gathers in the list.

        Where the subject's events want an answer (x-outbox), each gets one with the status, or with None none at all.
        """
        heard: list[Any] = []

        async def on_message(message: Any) -> EventProcessed | None:
            heard.append(message)
            if subject.reply is not EventProcessed or status is None:
                return None
            return EventProcessed(
                correlation_id=message.correlation_id,
                timestamp_ms=self.clock.now_ms(),
                receiver_service_instance_name=name,
                status_code=status,
                reason_phrase=None if status < 300 else "the test says so",
            )

        await self._stack.enter_async_context(self.bus.subscribe(subject, on_message, queue=name))
        return heard

    async def outbox_is_empty(self) -> None:
        """Wait until every event has been answered, and forgotten on the disk."""
        await until(lambda: self._are_empty("core_outbox"), what="the outbox is empty")

    async def quiet(self, *tables: str) -> None:
        """Wait until nothing is under way: no message, no event that has not been heard, nothing in these tables."""

        async def nothing() -> bool:
            # on both sides of the tables: what a message that is under way writes down would not be seen otherwise
            return await self._is_still() and await self._are_empty("core_outbox", *tables) and await self._is_still()

        await until(nothing, what="nothing is under way")

    async def handled(self, subject: Subject[Any]) -> None:
        """Wait until who hears the subject has done with all that was published there."""
        heard = [one for one in self.bus._subscriptions if is_overlap(one.subject.name, subject.name)]
        await until(lambda: not any(one.is_busy for one in heard), what=f"{subject.name} is handled")

    async def still(self) -> None:
        """Wait until no message, no read and no write is under way.

        A test that lets much time go by, step by step, says so before each step: else what is under way takes long, as
        the house's clock has it.
        """
        await until(self._is_still, what="nothing is under way")

    async def _is_still(self) -> bool:
        for _ in range(_TURNS):  # who was waiting for what has just ended goes on in one of the next turns
            if self.storage.under_way or any(subscription.is_busy for subscription in self.bus._subscriptions):
                return False
            await asyncio.sleep(0)
        return True

    async def _are_empty(self, *tables: str) -> bool:
        query = " or ".join(f"exists (select 1 from {table})" for table in tables)
        return not await self.storage.read(lambda c: c.exec_driver_sql(f"select {query}").scalar_one())


def _told(
    module: Module,
    default: Any,
    applications: Mapping[str, Iterable[str]],
    settings: Mapping[str, Mapping[str, Any]],
) -> list[Application[Any]]:
    def made(name: str, otherwise: Any) -> Any:
        if module.settings is None or name not in settings:
            return otherwise
        return validate_written(module.settings, settings[name])

    told = []
    for name, versions in applications.items():
        base = made(name, default)
        told.append(Application(name, base, {v: Version(v, name, made(v, base)) for v in versions}))
    return told
