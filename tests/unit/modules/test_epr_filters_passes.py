"""Passes over the endpoints: step by step, whatever changes between the steps, and across restarts."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from fakes.clock import FakeClock
from fakes.ids import CountedIds
from house import House
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_json
from waiting import until

from kaa.core.endpoint_query import parse
from kaa.core.errors import Conflict, NotFound, Unavailable
from kaa.modules.cm.module import MODULE as CM
from kaa.modules.epr.filters import Matching, passing
from kaa.modules.epr.filters.models import Filter, Status
from kaa.modules.epr.filters.passing import Passes
from kaa.modules.epr.filters.repository import FilterRepository, check_active, filters_of, matched_by
from kaa.modules.epr.filters.tables import filter_table, match_table
from kaa.modules.epr.models import Endpoint
from kaa.modules.epr.module import MODULE as EPR
from kaa.modules.epr.repository.tables import endpoint_table
from kaa.protocols import efe, efmp

LIST = efmp.endpoints_by_filter("epr")


def endpoint(number: int, floor: int | None = 3, *, application: str = "home", version: str = "home-v1") -> Endpoint:
    metadata = {} if floor is None else {"floor": floor}
    return Endpoint(f"dev-{number:04d}", application, version, 0, number, metadata)  # type: ignore[arg-type]


def row(of: Endpoint) -> dict[str, Any]:
    names = ("id", "application", "app_version", "version_since_ms", "created_ms")
    return {name: getattr(of, name) for name in names} | {"metadata": to_json(of.metadata)}


def filter_(filter_id: str, query: dict[str, Any], **rest: Any) -> Filter:
    values = {"name": None, "description": None, "status": Status.PENDING, "matched": 0, "revision": 1}
    times = {"created_ms": 0, "updated_ms": 0}
    return Filter(id=filter_id, application="home", query=query, **(values | times | rest))  # type: ignore[arg-type]


class Told:
    """An outbox that remembers."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def add(self, _: sa.Connection, subject: Any, message: Any) -> None:
        self.events.append(message)


class AtOnce:
    """A storage that does at once what it is asked; a transaction that fails is undone."""

    def __init__(self) -> None:
        self.engine = sa.create_engine("sqlite://")
        self.connection = self.engine.connect()
        for table in (endpoint_table, filter_table, match_table):
            table.create(self.connection)
        self.connection.commit()

    async def write(self, work: Callable[[sa.Connection], Any]) -> Any:
        with self.connection.begin():
            return work(self.connection)

    read = read_apart = write

    def close(self) -> None:
        self.connection.close()
        self.engine.dispose()


class World:
    """Endpoints and filters, without anything around them."""

    def __init__(self) -> None:
        self.storage, self.told = AtOnce(), Told()
        clock, ids = FakeClock(), CountedIds()
        self.matching = Matching(name="epr", replica="replica-1", clock=clock, ids=ids)
        self.passes = Passes(self.storage, self.told, self.matching)  # type: ignore[arg-type]
        self.filters = FilterRepository(self.storage, self.told, self.matching.tell)  # type: ignore[arg-type]
        self.endpoints: dict[str, Endpoint] = {}
        self.queries: dict[str, dict[str, Any]] = {}

    def run(self, work: Callable[[sa.Connection], Any]) -> Any:
        return asyncio.run(self.storage.write(work))

    def put(self, *changed: Endpoint) -> None:
        def work(connection: sa.Connection) -> None:
            ids = [one.id for one in changed]
            connection.execute(sa.delete(endpoint_table).where(endpoint_table.c.id.in_(ids)))
            connection.execute(sa.insert(endpoint_table), [row(one) for one in changed])
            for event in self.matching.on_changed(connection, changed):
                self.told.add(connection, *event)

        self.run(work)
        self.endpoints.update((one.id, one) for one in changed)

    def remove(self, endpoint_id: str) -> None:
        if (gone := self.endpoints.pop(endpoint_id, None)) is None:
            return

        def work(connection: sa.Connection) -> None:
            connection.execute(sa.delete(endpoint_table).where(endpoint_table.c.id == endpoint_id))
            for event in self.matching.on_removed(connection, [gone]):
                self.told.add(connection, *event)

        self.run(work)

    def add_filter(self, filter_id: str, query: dict[str, Any]) -> None:
        if filter_id not in self.queries:
            asyncio.run(self.filters.add(filter_(filter_id, query), at_most=1_000))
            self.queries[filter_id] = query

    def change_filter(self, filter_id: str, query: dict[str, Any]) -> None:
        def change(before: Filter) -> Filter:
            revision = before.revision + 1
            return filter_(filter_id, query, revision=revision)

        if filter_id in self.queries:
            asyncio.run(self.filters.update("home", filter_id, change))
            self.queries[filter_id] = query

    def remove_filter(self, filter_id: str) -> None:
        if self.queries.pop(filter_id, None) is not None:
            asyncio.run(self.filters.remove("home", filter_id, lambda _: None))

    def step(self) -> bool:
        async def work() -> bool:
            found = await self.passes.find_next()
            if found is not None:
                await self.passes.step(found)
            return found is not None

        return asyncio.run(work())

    def finish(self) -> None:
        while self.step():
            pass

    def expected(self, filter_id: str) -> list[str]:
        query = parse(self.queries[filter_id])
        return sorted(
            one.id
            for one in self.endpoints.values()
            if one.application == "home" and query.matches(one.app_version, one.metadata or {})
        )


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(passing, "_STEP", 3)
    monkeypatch.setattr(passing, "_CLEARED", 2)
    made = World()
    yield made
    made.storage.close()


def matches(world: World, filter_id: str) -> list[str]:
    statement = sa.select(match_table.c.endpoint_id).where(match_table.c.filter_id == filter_id)
    return sorted(world.run(lambda connection: list(connection.scalars(statement))))


class TestSteps:
    def test_a_pass_takes_as_many_steps_as_it_needs_and_then_the_filter_is_active(self, world: World) -> None:
        world.put(*(endpoint(n, floor=n % 2) for n in range(7)), endpoint(9, 1, application="garden"))
        world.add_filter("f", {"metadata.floor": 1})
        steps = 0
        while world.step():
            steps += 1
        assert steps == 3
        assert matches(world, "f") == ["dev-0001", "dev-0003", "dev-0005"]
        assert [type(event) for event in world.told.events] == [
            efe.EndpointFilterPendingEvent,
            efe.EndpointFilterActivatedEvent,
        ]

    def test_without_endpoints_a_filter_is_active_at_once(self, world: World) -> None:
        world.add_filter("f", {})
        assert world.step()
        assert not world.step()
        assert asyncio.run(world.filters.get("home", "f")).status == "active"

    @pytest.mark.parametrize("number", [0, 5], ids=["where the pass has been", "where it is yet to come"])
    @pytest.mark.parametrize("floor", [1, 2])
    def test_what_changes_during_a_pass_is_found_as_it_is(self, world: World, number: int, floor: int) -> None:
        world.put(*(endpoint(n, floor=3 - floor) for n in range(7)))
        world.add_filter("f", {"metadata.floor": 1})
        world.step()
        world.put(endpoint(number, floor))
        world.remove("dev-0001")
        world.remove("dev-0006")
        world.put(endpoint(8, floor=1))
        world.finish()
        assert matches(world, "f") == world.expected("f")
        assert asyncio.run(world.filters.get("home", "f")).matched == len(world.expected("f"))
        assert not [one for one in world.told.events if isinstance(one, efe.EndpointMatchedFilterEvent)]

    def test_a_query_that_changes_during_its_pass_begins_anew(self, world: World) -> None:
        world.put(*(endpoint(n, floor=n % 2) for n in range(7)))
        world.add_filter("f", {"metadata.floor": 1})
        world.step()
        world.change_filter("f", {"metadata.floor": 0})
        world.finish()
        assert matches(world, "f") == world.expected("f") == ["dev-0000", "dev-0002", "dev-0004", "dev-0006"]

    def test_a_filter_that_is_deleted_during_its_pass_is_cleared_away(self, world: World) -> None:
        world.put(*(endpoint(n) for n in range(7)))
        world.add_filter("f", {})
        world.step()
        world.remove_filter("f")
        world.put(endpoint(9))
        world.finish()
        assert matches(world, "f") == []
        assert isinstance(world.told.events[-1], efe.EndpointFilterDeletedEvent)

    def test_a_query_that_is_not_understood_any_more_matches_nobody(self, world: World) -> None:
        world.put(endpoint(1))
        world.add_filter("f", {"$old": 1})
        world.finish()
        world.put(endpoint(2))
        assert matches(world, "f") == []
        assert asyncio.run(world.filters.get("home", "f")).status == "active"

    def test_an_application_has_as_many_filters_as_it_may(self, world: World) -> None:
        for n in range(2):
            asyncio.run(world.filters.add(filter_(f"f{n}", {}), at_most=2))
        with pytest.raises(Conflict):
            asyncio.run(world.filters.add(filter_("f2", {}), at_most=2))
        world.queries["f1"] = {}
        world.remove_filter("f1")
        asyncio.run(world.filters.add(filter_("f2", {}), at_most=2))


FLOORS = st.none() | st.integers(0, 2)
NUMBERS = st.integers(0, 7)
IDS = st.sampled_from(["f", "g"])
QUERIES = st.sampled_from(
    [
        {},
        {"metadata.floor": 1},
        {"metadata.floor": {"$ne": 1}},
        {"application_version": "home-v2"},
        {"metadata.floor": 2},
    ]
)
VERSIONS = st.sampled_from(["home-v1", "home-v2"])
ACTIONS = st.one_of(
    st.tuples(st.just("put"), NUMBERS, FLOORS, VERSIONS),
    st.tuples(st.just("put"), NUMBERS, FLOORS, VERSIONS),
    st.tuples(st.just("remove"), NUMBERS),
    st.tuples(st.just("add"), IDS, QUERIES),
    st.tuples(st.just("change"), IDS, QUERIES),
    st.tuples(st.just("delete"), IDS),
    st.tuples(st.just("step")),
    st.tuples(st.just("step")),
)


class Follower:
    """Somebody who lists a filter when it is activated, and from there on believes what he is told."""

    def __init__(self, world: World) -> None:
        self._world, self._seen, self.known = world, 0, dict[str, set[str]]()

    def follow(self) -> None:
        events = self._world.told.events
        for event in events[self._seen :]:
            if isinstance(event, efe.EndpointFilterActivatedEvent):
                self.known[event.filter_id] = set(matches(self._world, event.filter_id))
            elif isinstance(event, efe.EndpointMatchedFilterEvent):
                assert event.endpoint_id not in self.known[event.filter_id]
                self.known[event.filter_id].add(event.endpoint_id)
            elif isinstance(event, efe.EndpointUnmatchedFilterEvent):
                self.known[event.filter_id].remove(event.endpoint_id)
            else:
                self.known.pop(event.filter_id, None)
        self._seen = len(events)


@settings(deadline=None, max_examples=100)
@given(actions=st.lists(ACTIONS, min_size=2, max_size=30))
def test_whatever_happens_in_whatever_order_the_matches_are_right_and_told(actions: list[Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passing, "_STEP", 3)
        patch.setattr(passing, "_CLEARED", 2)
        world = World()
        try:
            follower = Follower(world)
            world.put(*(endpoint(n, floor=1) for n in range(6)))
            world.add_filter("f", {"metadata.floor": 1})
            world.step()
            for number, (action, *rest) in enumerate(actions):
                if action == "put":
                    # the order of registration is not that of the ids
                    made = endpoint(rest[0], rest[1], version=rest[2])
                    before = world.endpoints.get(made.id)
                    created_ms = 100 - number if before is None else before.created_ms
                    world.put(Endpoint(made.id, "home", made.app_version, 0, created_ms, made.metadata))  # type: ignore[arg-type]
                elif action == "remove":
                    world.remove(f"dev-{rest[0]:04d}")
                elif action == "add":
                    world.add_filter(*rest)
                elif action == "change":
                    world.change_filter(*rest)
                elif action == "delete":
                    world.remove_filter(*rest)
                    world.queries.pop(rest[0], None)
                    if asyncio.run(world.passes.find_next()) is not None:
                        world.finish()  # its id is free when it has been cleared away; real ids never come again
                else:
                    world.step()
                follower.follow()
            world.finish()
            follower.follow()
            for filter_id in world.queries:
                assert matches(world, filter_id) == world.expected(filter_id) == sorted(follower.known[filter_id])
                assert asyncio.run(world.filters.get("home", filter_id)).matched == len(world.expected(filter_id))
        finally:
            world.storage.close()


class TestLists:
    def test_only_an_active_filter_of_the_application_can_be_listed_by(self, world: World) -> None:
        world.put(endpoint(1), endpoint(2, floor=1))
        world.add_filter("f", {"metadata.floor": 3})

        def check(**rest: Any) -> None:
            world.run(lambda connection: check_active(connection, "f", **rest))

        with pytest.raises(Conflict):
            check()
        world.finish()
        check()
        check(application="home")
        with pytest.raises(NotFound):
            check(application="garden")
        world.remove_filter("f")
        with pytest.raises(NotFound):
            check()

    def test_a_condition_gives_the_endpoints_of_a_filter_and_each_endpoint_has_its_filters(self, world: World) -> None:
        world.put(endpoint(1), endpoint(2, floor=1))
        world.add_filter("f", {"metadata.floor": 3})
        world.add_filter("g", {})
        world.finish()
        statement = sa.select(endpoint_table.c.id).where(matched_by("f"))
        assert world.run(lambda connection: list(connection.scalars(statement))) == ["dev-0001"]
        ids = ["dev-0001", "dev-0002", "dev-0003"]
        found = world.run(lambda connection: filters_of(connection, ids))
        assert found == {"dev-0001": ["f", "g"], "dev-0002": ["g"], "dev-0003": []}
        world.change_filter("g", {"metadata.floor": 3})
        found = world.run(lambda connection: filters_of(connection, ids))
        assert found == {"dev-0001": ["f"], "dev-0002": [], "dev-0003": []}


async def fill(house: House, numbers: range) -> None:
    rows = [row(endpoint(n, floor=n % 2)) for n in numbers]
    await house.storage.write(lambda connection: connection.execute(sa.insert(endpoint_table), rows) and None)


class TestInTheHouse:
    async def test_a_pass_goes_on_after_a_restart_and_a_pending_filter_cannot_be_listed_by(self, house: House) -> None:
        await fill(house, range(1_201))
        matching = Matching(name="epr", replica="replica-1", clock=house.clock, ids=house.ids)
        told: Any = Told()
        await FilterRepository(house.storage, told, matching.tell).add(
            filter_("f", {"metadata.floor": 1}), at_most=1_000
        )
        passes = Passes(house.storage, told, matching)
        assert await passes.step("f")
        await house.restart()
        await house.start(CM)
        activated = await house.hear(efe.filter_activated("f"))
        await house.start(EPR, applications={"home": ["home-v1"]})
        await until(lambda: activated)
        reply = await house.request(LIST, filter_id="f")
        assert (reply.status_code, len(reply.app_versions_to_endpoints["home-v1"])) == (200, 600)

    async def test_while_the_disk_is_full_a_pass_waits(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        await house.start(CM)
        await house.start(EPR, applications={"home": ["home-v1"]})
        await fill(house, range(10))
        real, failures = Passes.step, []

        async def fail(self: Passes, filter_id: str) -> bool:
            failures.append(filter_id)
            if len(failures) == 1:
                raise Unavailable("the storage is failing; nothing was stored")
            return await real(self, filter_id)

        monkeypatch.setattr(Passes, "step", fail)
        reply = await house.call("POST", "/epr/api/v1/applications/home/filters", {"mongoQuery": {}})
        path = f"/epr/api/v1/applications/home/filters/{reply.json['id']}"
        await until(lambda: failures)
        found = await house.get(path)
        assert found["status"] == "pending"
        refused = await house.request(LIST, filter_id=found["id"])
        assert (refused.status_code, dict(refused.app_versions_to_endpoints)) == (409, {})
        await house.clock.advance(1_000)

        async def is_active() -> bool:
            return (await house.get(path))["status"] == "active"

        await until(is_active)
        assert (await house.get(path))["matchedEndpointsCount"] == 10
