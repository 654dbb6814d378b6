"""Tables in files by period."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from waiting import until

from kaa.core.errors import StorageFull, Unavailable
from kaa.core.metrics import Metrics
from kaa.core.storage.periods import Period, PeriodFiles

HOUR, DAY, WEEK = 3_600_000, 86_400_000, 7 * 86_400_000
AT = 1_764_000_000_000 // WEEK * WEEK  # 2025-11-20T00:00Z, where a week begins as days are counted from 1970
SCHEMA = "create table if not exists point (n integer primary key)"


def made(directory: Path, period_ms: int = WEEK) -> PeriodFiles:
    return PeriodFiles(directory, schema=SCHEMA, period_ms=period_ms, metrics=Metrics())


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[PeriodFiles]:
    async with made(tmp_path).opened() as opened:
        yield opened


def add(*numbers: int) -> Callable[[sqlite3.Connection], None]:
    def run(connection: sqlite3.Connection) -> None:
        connection.executemany("insert into point values (?)", ((n,) for n in numbers))

    return run


async def numbers(files: PeriodFiles, period: Period) -> list[int]:
    def run() -> list[int]:
        with files.reading(period) as connection:
            return [row[0] for row in connection.execute("select n from point order by n")]

    return await files.read(run)


class TestPeriods:
    async def test_each_time_belongs_to_one_and_they_leave_no_gap(self, files: PeriodFiles) -> None:
        this, before = files.period_at(AT), files.period_at(AT - 1)
        assert (this.start_ms, this.end_ms) == (AT, AT + WEEK)
        assert before.end_ms == this.start_ms
        assert files.period_at(AT + WEEK - 1) == this
        assert files.period_at(0).start_ms == 0

    async def test_a_file_is_named_by_its_span(self, files: PeriodFiles) -> None:
        assert files.period_at(AT).file_name == "20251120T0000-20251127T0000.db"

    async def test_there_is_a_file_once_something_was_written(self, files: PeriodFiles, tmp_path: Path) -> None:
        period = files.period_at(AT)
        assert files.periods() == []
        await files.write({period: add(1)})
        assert files.periods() == [period]
        assert (tmp_path / period.file_name).exists()

    async def test_they_are_found_again_after_a_restart(self, tmp_path: Path) -> None:
        async with made(tmp_path).opened() as files:
            for at in (AT + WEEK, AT):
                await files.write({files.period_at(at): add(1)})
            before = files.periods()
        (tmp_path / "something-else.db").touch()
        async with made(tmp_path).opened() as files:
            assert files.periods() == before == sorted(before)
            assert await numbers(files, before[0]) == [1]

    async def test_another_length_fills_what_the_old_ones_leave_free(self, tmp_path: Path) -> None:
        async with made(tmp_path, WEEK).opened() as files:
            for at in (AT, AT + 2 * WEEK):
                await files.write({files.period_at(at): add(1)})
        async with made(tmp_path, 5 * DAY).opened() as files:
            old = files.periods()
            assert files.period_at(AT + DAY) == old[0], "what there is stays"
            spans: list[Period] = []
            at = AT + WEEK
            while at < AT + 2 * WEEK:
                spans.append(files.period_at(at))
                at = spans[-1].end_ms
            assert spans[0].start_ms == AT + WEEK
            assert spans[-1].end_ms == AT + 2 * WEEK
            for span in spans:
                await files.write({span: add(1)})
            ends = [
                (one.end_ms, other.start_ms) for one, other in zip(files.periods(), files.periods()[1:], strict=False)
            ]
            assert all(end == start for end, start in ends)

    async def test_hours_and_days_may_be_mixed(self, tmp_path: Path) -> None:
        async with made(tmp_path, HOUR).opened() as files:
            await files.write({files.period_at(AT + 5 * HOUR): add(1)})
        async with made(tmp_path, DAY).opened() as files:
            before, after = files.period_at(AT + 4 * HOUR), files.period_at(AT + 7 * HOUR)
            assert (before.start_ms, before.end_ms) == (AT, AT + 5 * HOUR)
            assert (after.start_ms, after.end_ms) == (AT + 6 * HOUR, AT + DAY)


class TestWriting:
    async def test_one_piece_of_work_may_concern_several_files(self, files: PeriodFiles) -> None:
        one, other = files.period_at(AT), files.period_at(AT + WEEK)
        await files.write({one: add(1, 2), other: add(3)})
        assert (await numbers(files, one), await numbers(files, other)) == ([1, 2], [3])

    async def test_many_at_once_share_commits(self, tmp_path: Path) -> None:
        metrics = Metrics()
        async with PeriodFiles(tmp_path, schema=SCHEMA, period_ms=WEEK, metrics=metrics).opened() as files:
            period = files.period_at(AT)
            gate = threading.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(files.write({period: lambda _: gate.wait(10) and None}))
                for n in range(50):
                    group.create_task(files.write({period: add(n)}))
                await asyncio.sleep(0)
                gate.set()
            assert await numbers(files, period) == list(range(50))
        [line] = [one for one in metrics.render().splitlines() if one.startswith(b"kaa_points_commits_total")]
        assert float(line.split()[1]) <= 3

    async def test_one_that_fails_fails_alone(self, files: PeriodFiles) -> None:
        period = files.period_at(AT)
        await files.write({period: add(1)})
        gate = threading.Event()
        jobs = [
            asyncio.ensure_future(files.write({period: work}))  # noqa: TID251  awaited below
            for work in (lambda _: gate.wait(10) and None, add(2), add(3, 1), add(4))
        ]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.wait(jobs)
        assert [type(job.exception()) for job in jobs] == [type(None), type(None), sqlite3.IntegrityError, type(None)]
        assert await numbers(files, period) == [1, 2, 4]

    async def test_a_full_disk_is_said_to_be_full_and_all_goes_on_when_there_is_room(self, files: PeriodFiles) -> None:
        period = files.period_at(AT)
        await files.write({period: add(1)})
        many = add(*range(10, 20_000))

        def within_two_pages(connection: sqlite3.Connection) -> None:
            connection.execute("pragma max_page_count = 2")
            many(connection)

        with pytest.raises(StorageFull):
            await files.write({period: within_two_pages})
        assert files.last_error is not None
        await files.write({period: many})
        assert files.last_error is None
        assert len(await numbers(files, period)) == 19_991

    async def test_more_files_than_are_kept_open_can_be_written_to(self, files: PeriodFiles) -> None:
        periods = [files.period_at(AT + n * WEEK) for n in range(10)]
        for _ in range(2):
            async with asyncio.TaskGroup() as group:
                for n, period in enumerate(periods):
                    group.create_task(
                        files.write(
                            {period: lambda c, n=n: c.execute("insert or ignore into point values (?)", (n,)) and None}
                        )
                    )
        assert [await numbers(files, period) for period in periods] == [[n] for n in range(10)]

    async def test_a_caller_that_left_does_not_matter_to_the_others(self, files: PeriodFiles) -> None:
        period, gate = files.period_at(AT), threading.Event()
        jobs = [asyncio.ensure_future(files.write({period: lambda _: gate.wait(10) and None}))]  # noqa: TID251  awaited below
        jobs += [asyncio.ensure_future(files.write({period: add(n)})) for n in range(2)]  # noqa: TID251  awaited below
        await asyncio.sleep(0)
        jobs[1].cancel()
        gate.set()
        await asyncio.wait(jobs)
        assert await numbers(files, period) == [0, 1]

    async def test_what_is_queued_at_the_end_is_still_committed_and_nothing_more_is_taken(self, tmp_path: Path) -> None:
        files = made(tmp_path)
        async with files.opened():
            period = files.period_at(AT)
            jobs = [asyncio.ensure_future(files.write({period: add(n)})) for n in range(20)]  # noqa: TID251  awaited below
            await asyncio.sleep(0)
        await asyncio.wait(jobs)
        assert [job.exception() for job in jobs] == [None] * 20
        with pytest.raises(Unavailable):
            await files.write({period: add(99)})

    async def test_it_is_in_wal_mode_with_full_synchronisation(self, files: PeriodFiles) -> None:
        found: list[tuple[object, ...]] = []

        def look(connection: sqlite3.Connection) -> None:
            found.extend(connection.execute(f"pragma {name}").fetchone() for name in ("journal_mode", "synchronous"))

        await files.write({files.period_at(AT): look})
        assert found == [("wal",), (2,)]


class TestReading:
    async def test_readers_do_not_wait_for_the_writer_and_see_what_is_committed(self, files: PeriodFiles) -> None:
        period, gate, has_begun = files.period_at(AT), threading.Event(), threading.Event()
        await files.write({period: add(1)})

        def slow(connection: sqlite3.Connection) -> None:
            add(2)(connection)
            has_begun.set()
            gate.wait(10)

        async with asyncio.TaskGroup() as group:
            group.create_task(files.write({period: slow}))
            await until(has_begun.is_set)
            assert await numbers(files, period) == [1]
            gate.set()
        assert await numbers(files, period) == [1, 2]

    async def test_a_reader_can_change_nothing(self, files: PeriodFiles) -> None:
        period = files.period_at(AT)
        await files.write({period: add(1)})

        def run() -> None:
            with files.reading(period) as connection:
                add(2)(connection)

        with pytest.raises(Unavailable):
            await files.read(run)

    async def test_a_file_that_is_not_there_reads_as_empty_and_is_not_made(
        self, files: PeriodFiles, tmp_path: Path
    ) -> None:
        assert await numbers(files, files.period_at(AT)) == []
        assert os.listdir(tmp_path) == []  # noqa: PTH208  a quick look

    async def test_a_file_that_a_crash_has_left_without_tables_reads_as_empty_and_gets_them(
        self, files: PeriodFiles, tmp_path: Path
    ) -> None:
        period = files.period_at(AT)
        (tmp_path / period.file_name).touch()
        assert await numbers(files, period) == []
        await files.write({period: add(1)})
        assert await numbers(files, period) == [1]


class TestStreams:
    async def test_slow_takers_hold_up_no_short_work_and_too_many_are_refused(self, files: PeriodFiles) -> None:
        def endless() -> Iterator[bytes]:
            while True:
                yield b"x"

        slow = [files.stream(endless) for _ in range(16)]
        first = await asyncio.wait_for(anext(slow[0]), 10)
        waiting = [asyncio.get_running_loop().create_task(anext(one)) for one in slow[1:]]
        await until(lambda: files._readers._streams == 16)
        assert first == b"x"
        assert await files.read(lambda: 1) == 1
        with pytest.raises(Unavailable):
            await anext(files.stream(endless))
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        for one in slow:
            await one.aclose()
        assert files._readers._streams == 0

    async def test_a_long_read_ends_when_they_close(self, tmp_path: Path) -> None:
        files = made(tmp_path)
        endless = "with recursive c (x) as (select 1 union all select x + 1 from c) select count(*) from c"
        is_reading = threading.Event()

        def run() -> None:
            with files.reading(files.period_at(AT)) as connection:
                is_reading.set()
                connection.execute(endless).fetchone()

        async with files.opened():
            await files.write({files.period_at(AT): add(1)})
            reading = asyncio.get_running_loop().create_task(files.read(run))
            await until(is_reading.is_set)
        with pytest.raises(sqlite3.OperationalError):
            await asyncio.wait_for(reading, 10)

    async def test_what_is_yielded_arrives_in_order(self, files: PeriodFiles) -> None:
        chunks = [str(n).encode() for n in range(100)]
        assert [chunk async for chunk in files.stream(lambda: iter(chunks))] == chunks
        assert [chunk async for chunk in files.stream(lambda: iter(()))] == []

    async def test_one_whose_taker_is_slow_waits(self, files: PeriodFiles) -> None:
        made_so_far: list[int] = []

        def chunks() -> Iterator[bytes]:
            for n in range(50):
                made_so_far.append(n)
                yield b"x"

        stream = files.stream(chunks)
        await anext(stream)
        await until(lambda: len(made_so_far) >= 5)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(made_so_far) <= 6
        assert len([chunk async for chunk in stream]) == 49
        assert len(made_so_far) == 50

    async def test_one_that_fails_on_the_way_fails_at_its_taker(self, files: PeriodFiles) -> None:
        def chunks() -> Iterator[bytes]:
            yield b"one"
            raise ValueError("broken")

        stream = files.stream(chunks)
        assert await anext(stream) == b"one"
        with pytest.raises(ValueError):
            await anext(stream)

    async def test_a_database_error_becomes_a_refusal(self, files: PeriodFiles, tmp_path: Path) -> None:
        (tmp_path / files.period_at(AT).file_name).mkdir()

        def chunks() -> Iterator[bytes]:
            with files.reading(files.period_at(AT)):
                yield b"never"

        with pytest.raises(Unavailable):
            await anext(files.stream(chunks))

    async def test_a_taker_that_leaves_ends_it(self, files: PeriodFiles) -> None:
        is_closed = threading.Event()

        def chunks() -> Iterator[bytes]:
            try:
                while True:
                    yield b"x"
            finally:
                is_closed.set()

        stream = files.stream(chunks)
        await anext(stream)
        await stream.aclose()
        await until(is_closed.is_set)


class TestRemoving:
    async def test_the_files_go(self, files: PeriodFiles, tmp_path: Path) -> None:
        one, other = files.period_at(AT), files.period_at(AT + WEEK)
        await files.write({one: add(1), other: add(2)})
        await files.remove(one)
        assert files.periods() == [other]
        assert not [name for name in os.listdir(tmp_path) if name.startswith(one.file_name)]  # noqa: PTH208  as above
        assert await numbers(files, other) == [2]

    async def test_it_may_be_written_to_anew(self, files: PeriodFiles) -> None:
        period = files.period_at(AT)
        await files.write({period: add(1)})
        await files.remove(period)
        await files.write({period: add(2)})
        assert await numbers(files, period) == [2]
        assert files.periods() == [period]

    async def test_a_reader_that_is_in_it_reads_on(self, files: PeriodFiles) -> None:
        period, gate, is_in = files.period_at(AT), threading.Event(), threading.Event()
        await files.write({period: add(1)})

        def run() -> list[int]:
            with files.reading(period) as connection:
                connection.execute("begin")
                connection.execute("select count(*) from point").fetchone()
                is_in.set()
                gate.wait(10)
                return [row[0] for row in connection.execute("select n from point")]

        async with asyncio.TaskGroup() as group:
            reading = group.create_task(files.read(run))
            await until(is_in.is_set)
            await files.remove(period)
            gate.set()
        assert reading.result() == [1]

    async def test_one_that_cannot_be_removed_says_so_and_ends_nothing(
        self, files: PeriodFiles, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        period = files.period_at(AT)
        await files.write({period: add(1)})

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError("no")

        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", refuse)
            with pytest.raises(Unavailable):
                await files.remove(period)
        await files.write({period: add(2)})
        assert await numbers(files, period) == [1, 2]
