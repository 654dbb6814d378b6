"""The house that modules are tested in, on both buses."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from house import House, make_template
from sqlalchemy import Engine
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite


@pytest.fixture(scope="session")
def database_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("template") / "kaa.db")


@pytest.fixture(params=[False, True], ids=["objects", "wired"])
async def house(request: pytest.FixtureRequest, tmp_path: Path, database_template: Path) -> AsyncIterator[House]:
    """A house on the bus that passes objects, and once more on the one that encodes and decodes every hop."""
    made = await House(tmp_path, is_wired=request.param, template=database_template).open()
    yield made
    await made.stop()


@pytest.fixture(scope="session", autouse=True)
def statements_are_compiled_once() -> Iterator[None]:
    """Let all engines share what they have compiled: each house has engines of its own, and starts as a cold server."""
    shared: dict[Any, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "_compiled_cache", property(lambda _: shared, lambda *_: None), raising=False)
        patch.setattr(SQLiteDialect_pysqlite, "__eq__", lambda one, other: type(one) is type(other))
        patch.setattr(SQLiteDialect_pysqlite, "__hash__", lambda one: hash(type(one)))
        yield
