"""The only door to tasks: every one has a name and an owner, and one that dies ends the process in order."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Tasks:
    """Starts tasks and knows which are alive.

    A task that ends with an error is handed to `on_death`, once; the process then stops in order (a supervisor
    outside restarts it). A task that expects errors catches them itself, by class.
    """

    def __init__(self, on_death: Callable[[str, BaseException], None] | None = None) -> None:
        self._alive: set[asyncio.Task[Any]] = set()
        self._on_death = on_death

    def spawn(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run beside the caller until done or cancelled."""
        task = asyncio.create_task(work, name=name)
        self._alive.add(task)
        task.add_done_callback(self._ended)
        return task

    def alive(self) -> list[str]:
        """Name the tasks that are running."""
        return sorted(task.get_name() for task in self._alive)

    async def stop(self, *tasks: asyncio.Task[Any]) -> None:
        """Cancel these and wait until they have ended; what they raise while ending is logged."""
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def stop_all(self) -> None:
        """Cancel whatever is left."""
        await self.stop(*self._alive)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._alive.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.error("task_died", task=task.get_name(), exc_info=error)
        if self._on_death is not None:
            self._on_death(task.get_name(), error)
