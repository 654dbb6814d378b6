"""EPL: who comes and goes becomes metadata and a time series."""

import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fakes.clock import START_MS
from house import House
from metadata_register import Register
from waiting import until

from kaa.core.errors import Conflict, NotFound, Unavailable
from kaa.modules.epl.module import MODULE as EPL
from kaa.modules.epts.module import MODULE as EPTS
from kaa.protocols import elce, epmmp, tstp, x_presence
from kaa.protocols.tstp import TimeSeriesProcessed
from kaa.protocols.x_outbox import event_processed
from kaa.protocols.x_presence import PresenceResponse, PresentEndpoint

APPLICATIONS = {"home": ["home-v1", "home-v2"]}
ANY_SERIES = tstp.data_points_received("epl")
BATCH = epmmp.EndpointMetadataKeyBatchUpdateRequest
COMING, GOING = elce.connected("kpc"), elce.disconnected("kpc")


class World:
    """EPL, and those it deals with: a register, a communication service, and somebody who stores points."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.present: dict[str, tuple[str, int]] = {}
        self.points: list[tuple[str, str, int, Any]] = []
        self.refuse: Any = None
        self.told = self.checks = 0

    async def open(self) -> "World":
        """Open the others, without EPL."""
        self.register = await Register(self.house).open()
        return self

    async def start(self, settings: Any = None, **config: Any) -> "World":
        await self.house.start(EPL, config=config, applications=APPLICATIONS, settings=settings)
        return self

    async def store(self) -> None:
        """Have somebody store points from now on."""

        async def on_points(event: tstp.TimeSeriesEvent) -> TimeSeriesProcessed:
            if self.refuse is not None:
                raise self.refuse
            for point in event.data_points:
                self.points.append((event.endpoint_id, event.time_series_name, point.timestamp_ms, dict(point.values)))
            return TimeSeriesProcessed(
                correlation_id=event.correlation_id, timestamp_ms=self.house.clock.now_ms(), status_code=200
            )

        block = self.house.bus.subscribe(ANY_SERIES, on_points, queue="epts")
        await self.house._stack.enter_async_context(block)

    async def answer_presence(self) -> None:
        """Have the communication service say who is connected, from now on."""

        def reply(request: Any, ids: Any) -> PresenceResponse:
            return PresenceResponse(
                correlation_id=request.correlation_id,
                timestamp_ms=self.house.clock.now_ms(),
                endpoints=tuple(
                    PresentEndpoint(
                        endpoint_id=one,
                        app_version_name=self.present[one][0],
                        replica_id="kpc-1",
                        since_ms=self.present[one][1],
                    )
                    for one in ids
                    if one in self.present
                ),
                status_code=200,
            )

        async def on_presence(request: x_presence.PresenceRequest) -> PresenceResponse:
            assert 0 < len(request.endpoint_ids) <= 1000
            return reply(request, request.endpoint_ids)

        async def on_all(request: x_presence.ConnectedRequest) -> PresenceResponse:
            behind = sorted(one for one in self.present if one > (request.after or ""))
            self.checks += not behind
            return reply(request, behind[:2])

        for subject, handler in (
            (x_presence.presence("kpc"), on_presence),
            (x_presence.connected_endpoints("kpc"), on_all),
        ):
            await self.house._stack.enter_async_context(self.house.bus.subscribe(subject, handler, queue="kpc"))

    def come(self, *endpoints: str, at: int = 0, version: str = "home-v1") -> None:
        self.present |= dict.fromkeys(endpoints, (version, START_MS + at))
        self.tell(COMING, dict.fromkeys(endpoints, version), at)

    def go(self, *endpoints: str, at: int = 0, version: str = "home-v1") -> None:
        for endpoint in endpoints:
            self.present.pop(endpoint, None)
        self.tell(GOING, dict.fromkeys(endpoints, version), at)

    def tell_late(self, *endpoints: str, at: int) -> None:
        """Tell of a going that is over: they are there again."""
        self.tell(GOING, dict.fromkeys(endpoints, "home-v1"), at)

    def tell(self, subject: Any, endpoints: Mapping[str, str], at: int) -> None:
        self.told += len(endpoints)
        self.house.publish(subject, endpoints=endpoints, timestamp_ms=START_MS + at)

    def metadata(self, endpoint: str = "dev-1") -> dict[str, Any]:
        return self.register.metadata[endpoint]

    async def shows(self, state: int, at: int = 0, endpoint: str = "dev-1") -> None:
        """Wait until the metadata says so."""
        wanted = {"connected": bool(state), "connectivity_ts": START_MS + at}
        await until(lambda: self.metadata(endpoint) == wanted, what=f"{endpoint} {wanted}")

    async def rows(self, table: str = "epl_state") -> int:
        query = f"select count(*) from {table}"
        return int(await self.house.storage.read(lambda c: c.exec_driver_sql(query).scalar_one()))

    async def is_done(self, *, in_time: bool = False) -> None:
        """Wait until there is nothing left to be told; time goes by meanwhile, if it is said so."""
        await self.heard()

        async def nothing() -> bool:
            if in_time:
                await self.house.still()
                await self.house.clock.advance(1_000)
            query = "select (select count(*) from epl_point) + (select count(*) from epl_state where not is_told)"
            return await self.house.storage.read(lambda c: c.exec_driver_sql(query).scalar_one()) == 0

        await until(nothing, what="all is told")

    async def heard(self) -> None:
        """Wait until all that was told has been written down."""
        written = self.house.metrics.counter("kaa_epl_states_total", "", ())
        await until(lambda: written._value.get() >= self.told, what="all is written down")

    async def checked(self) -> None:
        """Wait until all who are connected have been looked at, for the first time."""
        await until(lambda: self.checks, what="all are looked at")

    @asynccontextmanager
    async def gathering(self) -> AsyncIterator[None]:
        """Have the disk hang: what is heard in the block is written down together when it is left."""
        go_on = threading.Event()
        hanging = self.house.tasks.spawn(self.house.storage.write(lambda _: go_on.wait()), name="the disk hangs")
        try:
            self.come("nobody")  # what is written at the moment is this
            await self.house.handled(COMING)
            yield
        finally:
            go_on.set()
            await hanging


def point(value: int, at: int, endpoint: str = "dev-1", series: str = "connectivity") -> tuple[str, str, int, Any]:
    return (endpoint, series, START_MS + at, {"value": value})


@pytest.fixture
async def world(house: House) -> World:
    made = await World(house).open()
    await made.store()
    await made.answer_presence()
    made.register.add("dev-1")
    return made


class TestComingAndGoing:
    async def test_out_of_the_box_it_is_two_keys_and_a_series(self, world: World) -> None:
        await world.start()
        world.come("dev-1", at=1)
        await world.shows(1, 1)
        world.go("dev-1", at=5)
        await world.shows(0, 5)
        await until(lambda: len(world.points) == 2)
        assert world.points == [point(1, 1), point(0, 5)]

    async def test_other_metadata_stays_as_it_is(self, world: World) -> None:
        world.register.add("dev-1", {"floor": 3})
        await world.start()
        world.come("dev-1")
        await until(lambda: world.metadata().get("connected"))
        assert world.metadata()["floor"] == 3

    async def test_an_event_that_is_older_than_the_state_says_nothing(self, world: World) -> None:
        await world.start()
        world.come("dev-1", at=10)
        await world.shows(1, 10)
        world.tell_late("dev-1", at=9)
        world.tell_late("dev-1", at=2)
        await world.is_done()
        assert world.metadata()["connected"] is True
        assert world.points == [point(1, 10)]

    async def test_the_same_again_is_no_news(self, world: World) -> None:
        await world.start()
        world.come("dev-1", at=1)
        await world.shows(1, 1)
        world.come("dev-1", at=1)
        world.come("dev-1", at=4)
        await world.is_done()
        assert world.metadata()["connectivity_ts"] == START_MS + 1
        assert world.points == [point(1, 1)]
        world.tell_late("dev-1", at=3)  # older than the newest that was heard
        await world.heard()
        assert world.metadata()["connected"] is True

    async def test_another_version_is_another_coming(self, world: World) -> None:
        await world.start(settings={"home-v2": {"connectivity": {"metadata-keys": {"state": "online"}}}})
        world.come("dev-1", at=1)
        await world.shows(1, 1)
        world.come("dev-1", at=2, version="home-v2")
        await until(lambda: world.metadata().get("online"))
        assert world.metadata() == {"connected": True, "connectivity_ts": START_MS + 1, "online": True}

    async def test_there_and_back_within_one_burst_is_two_points_and_the_last_state(self, world: World) -> None:
        await world.start()
        world.come("dev-1", at=1)
        await world.shows(1, 1)
        async with world.gathering():
            world.go("dev-1", at=2)
            await world.house.handled(GOING)  # what is heard on two subjects has no order
            world.come("dev-1", at=3)
            await world.house.handled(COMING)
        await world.shows(1, 3)
        await world.is_done()
        assert sorted(world.points, key=lambda one: one[2]) == [point(1, 1), point(0, 2), point(1, 3)]


class TestManyAtOnce:
    async def test_ten_thousand_that_connect_at_once_are_a_few_requests(self, house: House) -> None:
        world = await World(house).open()
        names = [f"dev-{n}" for n in range(10_000)]
        for name in names:
            world.register.add(name)
        await world.start(settings={"home": {"connectivity": {"metadata-keys": {"state": "connected"}}}})
        for n in range(0, 9_000, 10):
            world.come(*names[n : n + 10], at=n)
        world.come(*names[9_000:], at=9_999)
        await until(lambda: all(found.get("connected") for found in world.register.metadata.values()), within_s=30)
        assert len(world.register.questions(BATCH)) <= 60
        assert await world.rows() == 10_000

    async def test_one_that_is_refused_does_not_keep_the_others_from_being_told(self, world: World) -> None:
        names = [f"dev-{n}" for n in range(40)]
        for name in names:
            world.register.add(name)

        def refuse(request: Any) -> None:
            if isinstance(request, BATCH) and any(c.endpoint_id == "dev-17" for c in request.commands):
                raise Conflict("too many keys")

        world.register.on_ask = refuse
        await world.start()
        world.come(*names, at=1)
        await world.is_done()
        told = {name for name in names if world.metadata(name).get("connected")}
        assert told == set(names) - {"dev-17"}


SETTINGS = [
    ({}, {"connected": True, "connectivity_ts": START_MS}, "connectivity"),
    ({"connectivity": None}, {}, None),
    ({"connectivity": {}}, {}, None),
    ({"connectivity": {"metadata-keys": None, "time-series": {"name": "ep-online"}}}, {}, "ep-online"),
    ({"connectivity": {"metadata-keys": {"state": "online"}}}, {"online": True}, None),
    ({"connectivity": {"metadata-keys": {"state-ts": "since"}, "time-series": None}}, {"since": START_MS}, None),
    (
        {"connectivity": {"metadata-keys": {"state": "a", "state-ts": "b"}, "time-series": {"name": "c"}}},
        {"a": True, "b": START_MS},
        "c",
    ),
]


class TestSettings:
    @pytest.mark.parametrize("of", ["home", "home-v1"])
    @pytest.mark.parametrize(("settings", "metadata", "series"), SETTINGS)
    async def test_each_part_can_be_chosen(
        self, world: World, of: str, settings: Any, metadata: Any, series: str | None
    ) -> None:
        await world.start(settings={of: settings})
        world.come("dev-1")
        await world.is_done()
        assert world.metadata() == metadata
        assert world.points == ([] if series is None else [point(1, 0, series=series)])

    @pytest.mark.parametrize(
        "connectivity",
        [
            {"metadata-keys": {"state": "a b"}},
            {"metadata-keys": {"state": ""}},
            {"metadata-keys": {"state": "x", "state-ts": "x"}},
            {"metadata-keys": {"state": 1}},
            {"time-series": {"name": "auto~x"}},
            {"time-series": {"name": "a.b"}},
            {"time-series": "connectivity"},
            {"series": None},
        ],
    )
    async def test_what_makes_no_sense_is_refused(self, world: World, connectivity: Any) -> None:
        with pytest.raises(ValueError):
            await world.start(settings={"home": {"connectivity": connectivity}})


class TestSomebodyIsAway:
    async def test_metadata_is_written_when_the_register_is_back(self, world: World) -> None:
        def refuse(_: Any) -> None:
            raise Unavailable("away")

        world.register.on_ask = refuse
        await world.start()
        world.come("dev-1", at=1)
        await until(lambda: world.register.asked)
        await world.heard()
        assert world.metadata() == {}
        world.register.on_ask = lambda _: None
        await world.is_done(in_time=True)
        await world.shows(1, 1)

    async def test_points_wait_for_who_stores_them_and_metadata_does_not_wait_for_points(self, house: House) -> None:
        world = await World(house).open()
        world.register.add("dev-1")
        await world.start()
        world.come("dev-1", at=1)
        await world.shows(1, 1)
        world.go("dev-1", at=2)
        await world.shows(0, 2)
        assert await world.rows("epl_point") == 2
        await world.store()
        await world.is_done(in_time=True)
        assert world.points == [point(1, 1), point(0, 2)]

    async def test_points_that_nobody_takes_are_dropped_after_a_day(self, house: House) -> None:
        world = await World(house).open()
        world.register.add("dev-1")
        await world.start(**{"points-kept": "1h"})
        world.come("dev-1", at=1)
        await world.shows(1, 1)
        assert await world.rows("epl_point") == 1
        house.clock.set(START_MS + 3_600_002)
        await world.is_done(in_time=True)

    async def test_a_point_that_is_refused_for_good_is_dropped(self, world: World) -> None:
        world.refuse = NotFound("no such version")
        await world.start()
        world.come("dev-1", at=1)
        await world.shows(1, 1)
        await world.is_done()
        assert world.points == []

    async def test_one_that_is_refused_for_now_is_told_again(self, world: World) -> None:
        world.refuse = Unavailable("full")
        await world.start()
        world.come("dev-1", at=1)
        await world.shows(1, 1)
        await world.heard()
        world.refuse = None
        await world.is_done(in_time=True)
        assert world.points == [point(1, 1)]

    async def test_one_that_is_not_answered_is_told_again(self, house: House) -> None:
        world = await World(house).open()
        world.register.add("dev-1")
        heard: list[Any] = []

        async def on_points(event: tstp.TimeSeriesEvent) -> TimeSeriesProcessed | None:
            heard.append(event)
            if len(heard) == 1:
                return None
            return TimeSeriesProcessed(
                correlation_id=event.correlation_id, timestamp_ms=house.clock.now_ms(), status_code=200
            )

        await house._stack.enter_async_context(house.bus.subscribe(ANY_SERIES, on_points, queue="epts"))
        await world.start()
        world.come("dev-1", at=1)
        await until(lambda: len(heard) == 1)
        await world.is_done(in_time=True)
        assert len(heard) == 2
        assert [(one.timestamp_ms, one.values) for event in heard for one in event.data_points] == [
            (START_MS + 1, {"value": 1})
        ] * 2


class TestEndpointsThatAreNoMore:
    async def test_they_are_forgotten(self, world: World) -> None:
        await world.start()
        world.come("dev-1", at=0)
        await world.shows(1)
        await world.is_done()
        world.register.remove("dev-1")

        async def forgotten() -> bool:
            return await world.rows() == 0

        await until(forgotten)

    async def test_their_last_event_does_not_bring_them_back(self, world: World) -> None:
        await world.start()
        world.come("dev-1", at=0)
        await world.shows(1)
        await world.is_done()
        world.points.clear()
        world.register.remove("dev-1")
        world.go("dev-1", at=1)
        await world.is_done()

        async def forgotten() -> bool:
            return await world.rows() == 0

        await until(forgotten)
        assert world.points == []

    async def test_the_event_is_answered_and_one_that_is_sent_again_spares_who_came_since(self, world: World) -> None:
        await world.start()
        reply_to = event_processed("test")
        answers = await world.house.hear(reply_to, name="test")
        message = world.house.message(elce.unregistered("epr"), app_version_name="home-v1", endpoint_id="dev-1")
        world.come("dev-1", at=5)
        await world.shows(1, 5)
        for _ in range(2):
            world.house.bus.publish(elce.unregistered("epr"), message, reply_to=reply_to)
        await until(lambda: len(answers) == 2)
        assert {(a.correlation_id, a.receiver_service_instance_name, a.status_code) for a in answers} == {
            (message.correlation_id, "epl", 200)
        }
        assert await world.rows() == 1


class TestAsking:
    async def test_after_a_restart_who_is_gone_is_put_right(self, world: World) -> None:
        house = world.house
        for name in ("dev-2", "dev-3", "dev-4"):
            world.register.add(name)
        await world.start()
        world.come("dev-1", "dev-2", at=0)
        world.go("dev-3", at=0)
        await world.shows(1, endpoint="dev-2")
        await world.is_done()
        await house.restart()
        house.clock.set(START_MS + 100)
        again = World(house)
        again.register = Register(house)
        again.register.metadata, again.register.version, again.register.revision = (
            world.register.metadata,
            world.register.version,
            world.register.revision,
        )
        await again.register.open()
        await again.store()
        await again.start()
        again.present = {"dev-2": ("home-v1", START_MS), "dev-3": ("home-v1", START_MS + 50)}
        again.present["dev-4"] = ("home-v1", START_MS + 70)
        await again.answer_presence()  # the communication service starts last
        await house.clock.advance(1_000)
        await again.shows(1, 50, "dev-3")
        await again.shows(1, 70, "dev-4")
        await until(lambda: again.metadata()["connected"] is False)
        assert again.metadata()["connectivity_ts"] >= START_MS + 100
        assert again.metadata("dev-2") == {"connected": True, "connectivity_ts": START_MS}
        await again.is_done()
        assert sorted(again.points)[1:] == [point(1, 50, "dev-3"), point(1, 70, "dev-4")]

    async def test_what_was_not_told_before_the_restart_is_told_after_it(self, house: House) -> None:
        world = await World(house).open()
        await world.start()
        world.register.add("dev-1")

        def refuse(_: Any) -> None:
            raise Unavailable("away")

        world.register.on_ask = refuse
        world.come("dev-1", at=1)
        await until(lambda: world.register.asked)
        await house.restart()
        again = await World(house).open()
        again.register.add("dev-1")
        await again.store()
        await again.start()
        await again.shows(1, 1)
        await until(lambda: again.points == [point(1, 1)])

    @pytest.mark.parametrize("is_there", [True, False])
    @pytest.mark.parametrize("is_going_last", [True, False])
    async def test_of_two_contrary_events_of_one_time_the_truth_is_asked_for(
        self, world: World, *, is_there: bool, is_going_last: bool
    ) -> None:
        await world.start()
        world.come("dev-1", at=-5)
        await world.shows(1, -5)
        first, last = (world.come, world.go) if is_going_last else (world.go, world.come)
        first("dev-1", at=0)
        await world.heard()  # what is heard on two subjects has no order
        last("dev-1", at=0)
        world.present = {"dev-1": ("home-v1", START_MS)} if is_there else {}
        last_value = int(is_there)
        # the two events, and a third transition where the later of them was not the truth
        transitions = 2 + (not is_going_last) + (is_there is is_going_last)
        await until(lambda: len(world.points) == transitions and world.points[-1] == point(last_value, 0))
        await world.is_done()
        assert world.metadata() == {"connected": is_there, "connectivity_ts": START_MS}

    async def test_from_time_to_time_all_are_asked_about(self, world: World) -> None:
        await world.start(check="1m")
        world.come("dev-1", at=0)
        await world.shows(1)
        await world.checked()
        del world.present["dev-1"]  # and nobody has told
        await world.house.clock.advance(59_000)
        assert world.metadata()["connected"] is True
        await world.house.clock.advance(1_000)
        await until(lambda: world.metadata()["connected"] is False)

    async def test_an_answer_that_is_older_than_an_event_changes_nothing(self, world: World) -> None:
        await world.start()
        world.come("dev-1", at=1_000_000)  # by another machine's clock
        await until(lambda: world.metadata().get("connected"))
        del world.present["dev-1"]
        await world.house.clock.advance(600_000)
        await until(lambda: world.metadata()["connected"] is False)
        assert world.metadata()["connectivity_ts"] >= START_MS + 1_000_000


async def test_the_series_is_kept_by_who_keeps_series(house: House) -> None:
    world = await World(house).open()
    for n in range(300):
        world.register.add(f"dev-{n}")
    await house.start(EPTS, applications=APPLICATIONS)
    await world.start()
    world.come(*(f"dev-{n}" for n in range(300)), at=0)
    world.go("dev-7", at=5)
    await world.heard()
    await world.is_done()
    path = "/epts/api/v1/applications/home/time-series/last"
    last = await house.get(path, timeSeriesName="connectivity", endpointId="dev-7")
    assert last == [{"dev-7": {"connectivity": [{"timestamp": "2025-11-24T16:00:00.005Z", "values": {"value": 0}}]}}]
    assert len(await house.get(path, timeSeriesName="connectivity")) == 300
    config = await house.get("/epts/api/v1/time-series/config")
    assert config == {"home": [{"name": "connectivity", "values": ["value"]}]}
