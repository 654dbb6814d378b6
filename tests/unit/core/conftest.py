"""What the floor's own tests stand on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes.clock import FakeClock
from fakes.ids import CountedIds

from kaa.core.metrics import Metrics
from kaa.core.storage.database import Storage
from kaa.core.tasks import Tasks


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ids() -> CountedIds:
    return CountedIds()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    """Tasks none of which may die or be left."""
    deaths: list[str] = []
    made = Tasks(lambda name, error: deaths.append(f"{name}: {error!r}"))
    yield made
    assert made.alive() == []
    assert deaths == []


@pytest.fixture
async def storage(tmp_path: Path, tasks: Tasks, clock: FakeClock, metrics: Metrics) -> AsyncIterator[Storage]:
    """A database without tables."""
    async with Storage(tmp_path / "kaa.db", tasks=tasks, clock=clock, metrics=metrics).opened() as opened:
        yield opened
