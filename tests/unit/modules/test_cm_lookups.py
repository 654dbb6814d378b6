"""CM: look-ups that are made together."""

import asyncio
from collections.abc import Collection

import pytest

from kaa.core.errors import Unavailable
from kaa.modules.cm.repository.lookups import Lookups


class Far:
    """Where values are read; notes what was asked for, and answers when it may."""

    def __init__(self) -> None:
        self.reads: list[set[str]] = []
        self.may_answer = asyncio.Event()
        self.error: Exception | None = None

    async def read(self, keys: Collection[str]) -> dict[str, str]:
        self.reads.append(set(keys))
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return {key: key.upper() for key in keys if key != "none"}


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_those_who_ask_in_one_turn_share_a_read() -> None:
    far = Far()
    lookups = Lookups(far.read)
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(lookups.find(key)) for key in ("a", "b", "none", "a")]
        await turns()
        later = group.create_task(lookups.find("a"))
        await turns()
        far.may_answer.set()
    assert [task.result() for task in asked] == ["A", "B", None, "A"]
    assert later.result() == "A"
    assert far.reads == [{"a", "b", "none"}, {"a"}]  # who asks later sees what was written since


async def test_a_read_that_fails_fails_for_all_of_them_and_for_nobody_after() -> None:
    far = Far()
    far.error = Unavailable("not now")
    far.may_answer.set()
    lookups = Lookups(far.read)
    for number in (1, 3):
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(caught(lookups, f"k{one}")) for one in range(number)]
        assert [task.result() for task in asked] == ["not now"] * number
    far.error = None
    assert await lookups.find("a") == "A"


async def test_one_who_gives_up_takes_it_from_nobody_who_asks_after() -> None:
    far = Far()
    lookups = Lookups(far.read)
    for patience in (1, 5):  # before the read, and while it lasts
        task = asyncio.get_running_loop().create_task(lookups.find("a"))
        for _ in range(patience):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    far.may_answer.set()
    assert await lookups.find("b") == "B"


async def caught(lookups: Lookups[str, str], key: str) -> str:
    with pytest.raises(Unavailable) as error:
        await lookups.find(key)
    return error.value.reason


async def test_one_who_gives_up_leaves_those_who_wait_with_it_an_error_that_they_may_hear() -> None:
    lookups = Lookups(Far().read)
    loop = asyncio.get_running_loop()
    first, other = loop.create_task(lookups.find("a")), loop.create_task(caught(lookups, "b"))
    await turns()
    first.cancel()
    assert "try again" in await other
    assert first.cancelled()
