"""kaa.db: one commit for all that is queued, and whoever fails undoes himself only."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fakes.clock import FakeClock
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError, IntegrityError
from waiting import until

from kaa.core.errors import Conflict, StorageFull, Unavailable
from kaa.core.metrics import Metrics
from kaa.core.storage.database import Storage
from kaa.core.tasks import Tasks


@pytest.fixture
async def things(storage: Storage) -> Storage:
    """A database with a table `thing` that knows every number once."""
    await storage.write(lambda c: c.exec_driver_sql("create table thing (n integer primary key)") and None)
    return storage


def add(*numbers: int) -> Callable[[Connection], int]:
    def run(connection: Connection) -> int:
        for n in numbers:
            connection.exec_driver_sql("insert into thing values (?)", (n,))
        return numbers[0]

    return run


def numbers(connection: Connection) -> list[int]:
    return [row[0] for row in connection.exec_driver_sql("select n from thing order by n")]


def commits(metrics: Metrics) -> int:
    lines = [line for line in metrics.render().splitlines() if line.startswith(b"kaa_storage_commits_total")]
    return int(float(lines[0].split()[1]))


async def at_once(storage: Storage, *works: Callable[[Connection], Any]) -> list[Any]:
    """Have all of it queued together; give results and errors in order."""
    jobs = [asyncio.ensure_future(storage.write(work)) for work in works]  # noqa: TID251  awaited below, whatever comes
    await asyncio.wait(jobs)
    return [job.exception() or job.result() for job in jobs]


class TestWriting:
    async def test_gives_back_what_the_work_gives(self, things: Storage) -> None:
        assert await things.write(add(7)) == 7
        assert await things.read(numbers) == [7]

    async def test_many_at_once_share_a_few_commits(self, things: Storage, metrics: Metrics) -> None:
        before = commits(metrics)
        assert await at_once(things, *(add(n) for n in range(100))) == list(range(100))
        assert await things.read(numbers) == list(range(100))
        assert commits(metrics) - before <= 3

    async def test_they_are_done_in_order_and_see_each_other(self, things: Storage) -> None:
        assert await at_once(things, add(1), numbers, add(2), numbers) == [1, [1], 2, [1, 2]]

    async def test_one_that_fails_undoes_itself_and_nothing_else(self, things: Storage) -> None:
        first, second, third = await at_once(things, add(1), add(2, 3, 1), add(4))
        assert (first, third) == (1, 4)
        assert isinstance(second, IntegrityError)
        assert await things.read(numbers) == [1, 4]

    async def test_a_refusal_reaches_its_caller_as_it_is(self, things: Storage) -> None:
        def refuse(connection: Connection) -> None:
            add(9)(connection)
            raise Conflict("not that")

        with pytest.raises(Conflict) as raised:
            await things.write(refuse)
        assert raised.value.reason == "not that"
        assert await things.read(numbers) == []

    async def test_if_the_commit_itself_fails_each_is_tried_alone(self, things: Storage, metrics: Metrics) -> None:
        """A deferred foreign key is looked at when the transaction ends, so the batch falls as a whole."""
        table = "create table part (n integer references thing (n) deferrable initially deferred)"
        await things.write(lambda c: c.exec_driver_sql(table) and None)

        def orphan(connection: Connection) -> None:
            connection.exec_driver_sql("insert into part values (99)")

        before = commits(metrics)
        first, second, third = await at_once(things, add(1), orphan, add(2))
        assert (first, third) == (1, 2)
        assert isinstance(second, DBAPIError)
        assert await things.read(numbers) == [1, 2]
        assert commits(metrics) - before == 2, "the two good ones, each on its own"
        assert await things.write(add(3)) == 3

    async def test_a_caller_that_left_does_not_matter_to_the_others(self, things: Storage) -> None:
        jobs = [asyncio.ensure_future(things.write(add(n))) for n in range(3)]  # noqa: TID251  awaited below
        await asyncio.sleep(0)
        jobs[1].cancel()
        await asyncio.wait(jobs)
        assert [job.cancelled() for job in jobs] == [False, True, False]
        assert await things.read(numbers) == [0, 1, 2]

    async def test_what_was_written_is_there_after_a_restart(
        self, tmp_path: Path, tasks: Tasks, clock: FakeClock, metrics: Metrics
    ) -> None:
        for n in (1, 2):
            async with Storage(tmp_path / "again.db", tasks=tasks, clock=clock, metrics=metrics).opened() as storage:
                await storage.write(
                    lambda c: c.exec_driver_sql("create table if not exists thing (n integer primary key)") and None
                )
                await storage.write(add(n))
                assert await storage.read(numbers) == list(range(1, n + 1))

    async def test_it_is_in_wal_mode_with_full_synchronisation(self, things: Storage) -> None:
        def pragmas(connection: Connection) -> list[Any]:
            names = ("journal_mode", "synchronous", "foreign_keys")
            return [connection.exec_driver_sql(f"pragma {name}").scalar() for name in names]

        assert await things.write(pragmas) == ["wal", 2, 1]

    async def test_what_is_queued_at_the_end_is_still_committed_and_nothing_more_is_taken(
        self, tmp_path: Path, tasks: Tasks, clock: FakeClock, metrics: Metrics
    ) -> None:
        storage = Storage(tmp_path / "end.db", tasks=tasks, clock=clock, metrics=metrics)
        async with storage.opened():
            await storage.write(lambda c: c.exec_driver_sql("create table thing (n integer primary key)") and None)
            jobs = [asyncio.ensure_future(storage.write(add(n))) for n in range(50)]  # noqa: TID251  awaited below
            await asyncio.sleep(0)
        assert [job.result() for job in jobs] == list(range(50))
        with pytest.raises(Unavailable):
            await storage.write(add(99))


class TestAfterTheCommit:
    async def test_what_was_asked_for_is_called_when_it_can_be_read(self, things: Storage) -> None:
        seen: list[str] = []

        def work(connection: Connection) -> None:
            add(1)(connection)
            things.after_commit(connection, lambda: seen.append("called"))
            assert seen == []

        await things.write(work)
        assert seen == ["called"]

    async def test_it_is_not_called_for_work_that_failed(self, things: Storage) -> None:
        seen: list[int] = []

        def work(n: int) -> Callable[[Connection], None]:
            def run(connection: Connection) -> None:
                things.after_commit(connection, lambda: seen.append(n))
                add(n)(connection)

            return run

        await things.write(add(1))
        await at_once(things, work(0), work(1), work(2))
        assert seen == [0, 2]

    async def test_it_is_called_once_even_if_the_work_was_tried_twice(self, things: Storage) -> None:
        table = "create table part (n integer references thing (n) deferrable initially deferred)"
        await things.write(lambda c: c.exec_driver_sql(table) and None)
        seen: list[int] = []

        def work(connection: Connection) -> None:
            add(1)(connection)
            things.after_commit(connection, lambda: seen.append(1))

        def orphan(connection: Connection) -> None:
            connection.exec_driver_sql("insert into part values (99)")

        await at_once(things, work, orphan)
        assert seen == [1]


class TestReading:
    async def test_readers_do_not_wait_for_the_writer(self, things: Storage) -> None:
        heavy = (
            "with recursive c (x) as (select 1 union all select x + 1 from c where x < 3000000) select count(*) from c"
        )

        def write(connection: Connection) -> None:
            add(1)(connection)
            connection.exec_driver_sql(heavy)

        writing = asyncio.ensure_future(things.write(write))  # noqa: TID251  awaited below
        await until(lambda: not things._queue)
        for _ in range(3):
            assert await things.read(numbers) == []
        assert not writing.done()
        await writing
        assert await things.read(numbers) == [1]

    async def test_a_reader_can_change_nothing(self, things: Storage) -> None:
        with pytest.raises(Unavailable):
            await things.read(add(1))
        assert await things.read(numbers) == []

    async def test_more_readers_than_connections_take_turns(self, things: Storage) -> None:
        async with asyncio.TaskGroup() as group:
            reading = [group.create_task(things.read(numbers)) for _ in range(20)]
        assert [task.result() for task in reading] == [[]] * 20

    async def test_one_that_was_given_up_has_ended_when_the_storage_has(
        self, tmp_path: Path, tasks: Tasks, clock: FakeClock, metrics: Metrics
    ) -> None:
        has_begun, may_end, has_ended = threading.Event(), threading.Event(), threading.Event()

        def slowly(connection: Connection) -> None:
            has_begun.set()
            assert may_end.wait(10)
            connection.exec_driver_sql("select 1")
            has_ended.set()

        async with Storage(tmp_path / "given-up.db", tasks=tasks, clock=clock, metrics=metrics).opened() as storage:
            reading = tasks.spawn(storage.read(slowly), name="reading")
            await until(has_begun.is_set)
            await tasks.stop(reading)
            asyncio.get_running_loop().call_soon(may_end.set)
            assert not has_ended.is_set()
        assert has_ended.is_set()

    async def test_a_large_read_runs_apart_from_the_loop_and_can_change_nothing_either(self, things: Storage) -> None:
        await things.write(add(1, 2))
        found, thread = await things.read_apart(lambda c: (numbers(c), threading.current_thread()))
        assert found == [1, 2]
        assert thread is not threading.main_thread()
        with pytest.raises(Unavailable):
            await things.read_apart(add(3))
        assert await things.read_apart(numbers) == [1, 2]


def allow(things: Storage, pages: int) -> None:
    """Let the file have no more pages than that, from the writer's next connection on."""
    event.listen(things._writer, "connect", lambda c, _: c.execute(f"pragma max_page_count = {pages}").close())
    things._writer.dispose()


class TestFaults:
    async def test_a_full_disk_is_said_to_be_full_and_all_goes_on_when_there_is_room(self, things: Storage) -> None:
        def fill(connection: Connection) -> None:
            connection.exec_driver_sql(
                "with recursive c (x) as (select 1 union all select x + 1 from c where x < 20000)"
                " insert into thing select x from c"
            )

        allow(things, 4)
        with pytest.raises(StorageFull):
            await things.write(fill)
        assert things.last_error is not None
        assert await things.read(numbers) == []
        allow(things, 100_000)
        await things.write(fill)
        assert things.last_error is None
        assert len(await things.read(numbers)) == 20_000

    async def test_a_full_disk_refuses_those_it_concerns_only(self, things: Storage) -> None:
        def fill(connection: Connection) -> None:
            connection.exec_driver_sql(
                "with recursive c (x) as (select 1 union all select x + 1 from c where x < 20000)"
                " insert into thing select x + 100 from c"
            )

        allow(things, 4)
        first, second, third = await at_once(things, add(1), fill, add(2))
        assert (first, third) == (1, 2)
        assert isinstance(second, StorageFull)
        assert await things.read(numbers) == [1, 2]

    async def test_a_statement_that_is_wrong_is_a_bug_and_stays_one(self, things: Storage) -> None:
        for use in (things.write, things.read):
            with pytest.raises(DBAPIError):
                await use(lambda c: c.exec_driver_sql("select nonsense from nowhere"))
        assert things.last_error is None

    async def test_what_was_to_be_stored_stands_in_no_error(self, things: Storage) -> None:
        for use in (things.write, things.read, things.read_apart):
            with pytest.raises(DBAPIError) as raised:
                await use(lambda c: c.exec_driver_sql("select nonsense from nowhere where x = ?", ("a secret",)))
            assert "a secret" not in str(raised.value)

    async def test_a_disk_that_works_again_is_noticed_without_traffic(self, things: Storage, clock: FakeClock) -> None:
        await things.write(add(1))
        with closing(sqlite3.connect(things.path, isolation_level=None)) as log:
            allow(things, 4)
            await things.write(add(2))  # what is there to be settled
            with pytest.raises(StorageFull):
                await things.write(fill)
            assert things.last_error is not None
            allow(things, 100_000)
            await clock.advance(3_000)
            await until(lambda: things.last_error is None)
            assert log.execute("pragma user_version").fetchone() == (0,)
        assert clock.waiting() == 0
        assert await things.read(numbers) == [1, 2]

    async def test_nothing_goes_behind_a_suspect_log_while_a_reader_keeps_it_from_being_settled(
        self, things: Storage, clock: FakeClock
    ) -> None:
        with closing(sqlite3.connect(things.path, isolation_level=None)) as reader:
            reader.execute("begin")
            reader.execute("select * from thing").fetchall()
            await things.write(add(1))  # the log has what the reader does not see
            allow(things, 4)
            with pytest.raises(StorageFull):
                await things.write(fill)
            allow(things, 100_000)
            for refused in await at_once(things, add(2), add(3), add(4)):
                assert isinstance(refused, Unavailable)
                assert "recovering" in refused.reason
            assert things.last_error is not None
            reader.execute("rollback")
        await clock.advance(3_000)
        await until(lambda: things.last_error is None)
        assert await things.read(numbers) == [1]
        assert await things.write(add(5)) == 5


def fill(connection: Connection) -> None:
    connection.exec_driver_sql(
        "with recursive c (x) as (select 1 union all select x + 1 from c where x < 20000)"
        " insert into thing select x + 100 from c"
    )
