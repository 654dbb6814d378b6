"""Everything that starts is a block that stops.

Modules start in order, each of them listening before the first door opens; doors let strangers in, and open last.
Stopping is the same film backwards, each step with a deadline; who is late is named, then cancelled. The first
failure undoes all that had started.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import structlog
from pydantic import BaseModel

from kaa.core.applications import Applications, Declared
from kaa.core.bus import Bus
from kaa.core.clock import Clock
from kaa.core.errors import ConfigError, StartupError
from kaa.core.health import Health
from kaa.core.http import Site
from kaa.core.ids import Ids
from kaa.core.metrics import Metrics
from kaa.core.storage.budget import Budget
from kaa.core.storage.database import Storage
from kaa.core.storage.outbox import Outbox
from kaa.core.storage.periods import PeriodFiles
from kaa.core.tasks import Tasks

log = structlog.get_logger(__name__)

S = TypeVar("S")
Door = Callable[[], AbstractAsyncContextManager[tuple[str, int]]]

_START_S = 30.0
_STOP_S = 7.0


@dataclass(frozen=True, slots=True)
class Instance(Generic[S]):
    """A service with its configuration under a name, and the replica of it that this process is.

    `applications` is what the instance is told about the applications, as its module's settings model.
    """

    name: str
    service: str
    replica: str
    applications: Applications[S]


@dataclass(slots=True)
class Core:
    """What a module is started with; it goes no further than `module.py`."""

    bus: Bus
    directory: Path
    """The data directory."""
    storage: Storage
    period_files: Callable[[str, str], PeriodFiles]
    """Gives the files by period of a directory (below the data directory) with a schema in SQL."""
    budget: Budget
    http: Site
    clock: Clock
    ids: Ids
    tasks: Tasks
    metrics: Metrics
    health: Health
    addresses: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """Where each door is to be: host and port by its name."""
    doors: dict[str, Door] = field(default_factory=dict)
    outboxes: list[Outbox] = field(default_factory=list)
    instances: tuple[str, ...] = ()
    """The names of all instances in this process."""
    declared: tuple[Declared, ...] = ()
    """The applications that the configuration file has."""

    def add_door(self, name: str, door: Door) -> None:
        """Have a door opened when every module listens; it yields the host and port that it got."""
        self.doors[name] = door

    def add_outbox(self, outbox: Outbox) -> None:
        """Have an outbox take up what an earlier run has left, when every module listens."""
        self.outboxes.append(outbox)


Run = Callable[[Core, Instance[Any], Any], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Module:
    """A service, as it is declared: its name, the models of its configuration and settings, and how it runs.

    `config` is the model of an instance's configuration, `settings` that of its settings for an application or a
    version (None where it has none). `migrations` is the directory of its schema's history.
    """

    service: str
    config: type[BaseModel]
    run: Run
    settings: type[BaseModel] | None = None
    migrations: str | None = None


class Stages:
    """Blocks that have been entered; left in reverse, each within its deadline, whatever the others do."""

    def __init__(self) -> None:
        self._entered: list[tuple[str, AbstractAsyncContextManager[Any]]] = []

    async def enter(self, name: str, block: AbstractAsyncContextManager[S]) -> S:
        """Start something; StartupError, with the name and the cause, if it cannot."""
        try:
            async with asyncio.timeout(_START_S):
                value = await block.__aenter__()
        except (StartupError, ConfigError):
            raise
        except TimeoutError as error:
            raise StartupError(f"{name} did not start within {_START_S:g} s") from error
        # whatever keeps it from starting ends the process, with its name
        except Exception as error:
            raise StartupError(f"{name} did not start: {error}") from error
        self._entered.append((name, block))
        return value

    async def leave_all(self) -> None:
        """Stop everything, last started first."""
        while self._entered:
            name, block = self._entered.pop()
            try:
                async with asyncio.timeout(_STOP_S):
                    await block.__aexit__(None, None, None)
            except TimeoutError:
                log.error("stopped_late", what=name, deadline_s=_STOP_S)  # noqa: TRY400  where it was late is of no use
            # the rest is to be stopped all the same
            except Exception:
                log.exception("stop_failed", what=name)


@asynccontextmanager
async def running(
    core: Core, plan: Sequence[tuple[str, Callable[[], AbstractAsyncContextManager[None]]]]
) -> AsyncIterator[dict[str, tuple[str, int]]]:
    """Run the blocks of the plan, then the outboxes, then the doors; gives the doors' addresses by name."""
    stages = Stages()
    try:
        for name, block in plan:
            await stages.enter(name, block())
        for outbox in core.outboxes:
            await outbox.start()
        addresses = {name: await stages.enter(f"door {name}", door()) for name, door in core.doors.items()}
        yield addresses
    finally:
        await stages.leave_all()
