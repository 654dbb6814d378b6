"""How much may be stored, and what happens at the reserve."""

import asyncio
import os
from pathlib import Path

import pytest
from fakes.clock import FakeClock

from kaa.core.errors import StorageFull, Unavailable
from kaa.core.metrics import Metrics
from kaa.core.storage.budget import Budget

KB = 1_000


def made(directory: Path, max_bytes: int | None = 100 * KB, reserve_bytes: int | None = 10 * KB) -> Budget:
    return Budget(directory, max_bytes=max_bytes, reserve_bytes=reserve_bytes, clock=FakeClock(), metrics=Metrics())


def fill(directory: Path, name: str, size_bytes: int) -> Path:
    (directory / "below").mkdir(exist_ok=True)
    file = directory / "below" / name
    file.write_bytes(bytes(size_bytes))
    return file


async def test_below_the_reserve_telemetry_may_be_stored(tmp_path: Path) -> None:
    budget = made(tmp_path)
    fill(tmp_path, "a", 89 * KB)
    await budget.look()
    budget.check()
    assert budget.problem() is None
    assert (budget.usage.used_bytes, budget.usage.max_bytes, budget.usage.left_bytes) == (89 * KB, 100 * KB, 1 * KB)


async def test_at_the_reserve_it_is_refused_until_there_is_room_again(tmp_path: Path) -> None:
    budget = made(tmp_path)
    file = fill(tmp_path, "a", 90 * KB)
    await budget.look()
    with pytest.raises(StorageFull):
        budget.check()
    assert budget.problem() is not None
    file.unlink()
    await budget.look()
    budget.check()
    assert budget.problem() is None


async def test_what_is_stored_between_two_looks_is_looked_at_before_the_reserve_is_overrun(tmp_path: Path) -> None:
    budget = made(tmp_path)
    fill(tmp_path, "a", 50 * KB)
    await budget.look()
    fill(tmp_path, "b", 45 * KB)
    await budget.ensure()  # nobody has said so
    budget.take(40 * KB)
    with pytest.raises(StorageFull):
        await budget.ensure()


async def test_an_estimate_alone_refuses_nothing(tmp_path: Path) -> None:
    budget = made(tmp_path)
    await budget.look()
    budget.take(1000 * KB)
    await budget.ensure()
    assert budget.problem() is None


async def test_those_who_can_spare_something_are_asked_first_and_no_longer_than_needed(tmp_path: Path) -> None:
    budget = made(tmp_path)
    old = [fill(tmp_path, f"period-{n}", 40 * KB) for n in range(4)]
    asked = 0

    async def delete_the_oldest() -> bool:
        nonlocal asked
        asked += 1
        old.pop(0).unlink()
        return True

    budget.on_reserve(delete_the_oldest)
    await budget.look()
    budget.check()
    assert (asked, len(old), budget.usage.used_bytes) == (2, 2, 80 * KB)
    await budget.look()
    assert asked == 2


@pytest.mark.parametrize("is_deleted_first", [True, False])
async def test_of_two_who_look_at_once_the_second_waits_and_has_nothing_more_deleted(
    tmp_path: Path, *, is_deleted_first: bool
) -> None:
    budget, gate, passed = made(tmp_path), asyncio.Event(), []
    old = [fill(tmp_path, f"period-{n}", 48 * KB) for n in range(2)]
    budget.take(100 * KB)

    async def delete_the_oldest() -> bool:
        if is_deleted_first:
            old.pop(0).unlink()
        await gate.wait()
        if not is_deleted_first:
            old.pop(0).unlink()
        return True

    async def one(name: str) -> None:
        await budget.ensure()
        passed.append(name)

    budget.on_reserve(delete_the_oldest)
    async with asyncio.TaskGroup() as group:
        for name in ("first", "second"):
            group.create_task(one(name))
        for _ in range(10):
            await asyncio.sleep(0)
        gate.set()
    assert (passed, len(old)) == (["first", "second"], 1)


async def test_when_nobody_has_anything_left_it_is_refused(tmp_path: Path) -> None:
    budget = made(tmp_path)
    fill(tmp_path, "a", 95 * KB)
    spare = [fill(tmp_path, "b", 1 * KB)]
    asked: list[str] = []

    async def one() -> bool:
        asked.append("one")
        if not spare:
            return False
        spare.pop().unlink()
        return True

    async def other() -> bool:
        asked.append("other")
        return False

    budget.on_reserve(one)
    budget.on_reserve(other)
    await budget.look()
    with pytest.raises(StorageFull):
        budget.check()
    assert asked == ["one", "other", "one", "other"]


async def test_without_a_word_it_is_nine_tenths_of_the_disk_with_a_twentieth_of_that_in_reserve(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    budget = made(tmp_path, max_bytes=None, reserve_bytes=None)
    most = int(disk.f_frsize * disk.f_blocks * 0.9)
    assert budget.usage.max_bytes == most
    assert budget.usage.left_bytes <= most - int(most * 0.05)


async def test_what_the_disk_itself_has_free_counts_too(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    free = disk.f_frsize * disk.f_bavail
    budget = made(tmp_path, max_bytes=1 << 60, reserve_bytes=free + (1 << 40))
    await budget.look()
    with pytest.raises(StorageFull):
        budget.check()


async def test_it_is_looked_at_every_second(tmp_path: Path) -> None:
    clock = FakeClock()
    budget = Budget(tmp_path, max_bytes=100 * KB, reserve_bytes=10 * KB, clock=clock, metrics=Metrics())
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(budget.watch())
        await clock.advance(0)
        fill(tmp_path, "a", 95 * KB)
        assert budget.problem() is None
        await clock.advance(1_000)
        assert budget.problem() is not None
        watching.cancel()


async def test_a_disk_that_fails_is_looked_at_again_and_the_last_usage_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    budget = Budget(tmp_path, max_bytes=100 * KB, reserve_bytes=10 * KB, clock=clock, metrics=Metrics())
    fill(tmp_path, "a", 40 * KB)

    def failing(_: Path) -> os.statvfs_result:
        raise OSError(5, "Input/output error")

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(budget.watch())
        await clock.advance(0)
        with monkeypatch.context() as patched:
            patched.setattr(os, "statvfs", failing)
            fill(tmp_path, "a", 95 * KB)
            await clock.advance(2_000)
            assert budget.usage.used_bytes == 40 * KB
            budget.check()
            assert "Input/output error" in (budget.problem() or "")
        await clock.advance(1_000)
        assert budget.usage.used_bytes == 95 * KB
        assert "reserve" in (budget.problem() or "")
        watching.cancel()


async def test_a_file_that_cannot_be_deleted_leaves_telemetry_refused_until_it_can(tmp_path: Path) -> None:
    clock = FakeClock()
    budget = Budget(tmp_path, max_bytes=100 * KB, reserve_bytes=10 * KB, clock=clock, metrics=Metrics())
    old = fill(tmp_path, "a", 95 * KB)
    is_failing = True

    async def make_room() -> bool:
        if is_failing:
            raise Unavailable("the storage is failing; nothing was stored")
        old.unlink()
        return True

    budget.on_reserve(make_room)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(budget.watch())
        await clock.advance(2_000)
        with pytest.raises(StorageFull):
            budget.check()
        is_failing = False
        await clock.advance(1_000)
        budget.check()
        assert budget.problem() is None
        watching.cancel()


async def test_the_days_that_are_left_are_told_as_the_storage_grows(tmp_path: Path) -> None:
    clock, metrics = FakeClock(), Metrics()
    budget = Budget(tmp_path, max_bytes=100 * KB, reserve_bytes=10 * KB, clock=clock, metrics=metrics)
    await budget.look()
    assert b"kaa_storage_left_days NaN" in metrics.render()
    fill(tmp_path, "a", 30 * KB)
    await clock.advance(12 * 3_600_000)
    await budget.look()
    text = metrics.render().decode()
    assert "kaa_storage_left_days 1.0" in text  # 60 KB are left, and 60 KB a day are added
    assert "kaa_storage_max_bytes 100000.0" in text
    assert "kaa_storage_reserve_bytes 10000.0" in text
