"""EPTS, what is kept how long: by application, in files that go whole, and points that go alone."""

from dataclasses import replace
from typing import Any

from fakes.clock import START_MS
from house import House
from telemetry import API, Telemetry
from waiting import until

from kaa.core.applications import Application, Version
from kaa.core.config.units import validate_written
from kaa.modules.epts.settings import EptsSettings

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
APPLICATIONS = {"home": ["home-v1"], "garden": ["garden-v1"]}


def kept(**days: int) -> dict[str, Any]:
    return {name: {"retention": f"{number}d"} for name, number in days.items()}


async def stocked(epts: Telemetry, *ages_days: int) -> None:
    """Give both applications points of those ages, as they came in their time."""
    for days in ages_days:
        at_ms = START_MS - days * DAY_MS
        epts.house.clock.set(at_ms)
        for endpoint, version in (("dev-1", "home-v1"), ("plant-1", "garden-v1")):
            assert (await epts.put("t", (at_ms, days), endpoint=endpoint, version=version)).status == 200
    epts.house.clock.set(START_MS)


async def started(house: House, **settings: Any) -> Telemetry:
    """Start EPTS; it sweeps every second."""
    config = {"retention-sweep": "1s"}
    return await Telemetry(house).start(applications=APPLICATIONS, config=config, settings=settings.get("settings"))


async def swept(house: House) -> None:
    """Let some sweeps come and go."""
    for _ in range(5):
        await house.clock.advance(1_000)
        await house.get(f"{API}/time-series/config")


async def ages(epts: Telemetry, app: str) -> list[int]:
    return await epts.values("t", app=app)


async def until_ages(epts: Telemetry, home: list[int], garden: list[int]) -> None:
    async def are_they() -> bool:
        await epts.house.clock.advance(1_000)
        return (await ages(epts, "home"), await ages(epts, "garden")) == (home, garden)

    await until(are_they, what=f"{home} and {garden} are left")


class TestRetention:
    async def test_files_beyond_every_retention_go_whole(self, house: House) -> None:
        epts = await started(house, settings=kept(home=120, garden=120))
        await stocked(epts, 119, 127, 140, 0)
        assert len(epts.files()) == 4
        await until_ages(epts, [119, 0], [119, 0])
        assert len(epts.files()) == 2

    async def test_where_nothing_is_said_it_is_ninety_days(self, house: House) -> None:
        epts = await started(house)
        await stocked(epts, 89, 98, 0)
        await until_ages(epts, [89, 0], [89, 0])

    async def test_an_application_with_a_shorter_one_loses_its_own_points_only(self, house: House) -> None:
        epts = await started(house, settings=kept(home=30, garden=120))
        await stocked(epts, 31, 29, 100, 0)
        await until_ages(epts, [29, 0], [100, 31, 29, 0])
        assert (await epts.last())[0]["dev-1"]["t"][0]["values"] == {"value": 0}

    async def test_a_change_takes_effect_with_the_next_sweep(self, house: House) -> None:
        epts = await started(house)
        await stocked(epts, 50, 5)
        await swept(house)
        assert (await ages(epts, "home"), await ages(epts, "garden")) == ([50, 5], [50, 5])
        changed = validate_written(EptsSettings, {"retention": "10d"})
        application = Application("home", changed, {"home-v1": Version("home-v1", "home", changed)})
        house.instances["epts"].applications.replace([application], only="home")
        await until_ages(epts, [5], [50, 5])

    async def test_time_goes_by(self, house: House) -> None:
        epts = await started(house, settings=kept(home=10, garden=20))
        await stocked(epts, 0)
        house.clock.set(START_MS + 11 * DAY_MS)
        await until_ages(epts, [], [0])

    async def test_what_is_beyond_it_is_refused_with_a_sentence(self, house: House) -> None:
        epts = await started(house, settings=kept(home=30, garden=300))
        old = (START_MS - 31 * DAY_MS, 1)
        reply = await epts.put("t", old)
        assert (reply.status, "older than the application keeps" in reply.message) == (400, True)
        assert (await epts.put("t", old, endpoint="plant-1", version="garden-v1")).status == 200
        assert len(epts.files()) == 1

    async def test_nothing_is_deleted_while_the_settings_are_not_known(self, house: House) -> None:
        epts = await started(house, settings=kept(home=10, garden=10))
        await stocked(epts, 50)
        applications = house.instances["epts"].applications
        applications.is_known = False
        await swept(house)
        assert not await house.budget._make_room[-1]()
        assert await ages(epts, "home") == [50]
        applications.is_known = True
        await until_ages(epts, [], [])

    async def test_nor_while_those_of_an_application_could_not_be_understood(self, house: House) -> None:
        epts = await started(house, settings=kept(home=10, garden=10))
        await stocked(epts, 50)
        applications = house.instances["epts"].applications
        home = applications.get("home")
        applications.replace([replace(home, is_valid=False)], only="home")
        await swept(house)
        assert await ages(epts, "garden") == [50]
        applications.replace([home], only="home")
        await until_ages(epts, [], [])


class TestReserve:
    async def test_the_oldest_file_beyond_the_retention_goes_first_and_others_never(self, house: House) -> None:
        epts = await Telemetry(house).start(applications=APPLICATIONS, config={"retention-sweep": "1000d"})
        await stocked(epts, 0, 80, 120, 150)
        used = house.budget._measure().used_bytes
        house.budget._max_bytes, house.budget._reserve_bytes = used - 1, 0
        await house.budget.look()
        await until_ages(epts, [120, 80, 0], [120, 80, 0])
        assert (await epts.send('{"n": 1}')).status_code == 200
        house.budget._max_bytes = 1
        await house.budget.look()
        await until_ages(epts, [80, 0], [80, 0])
        assert (await epts.send('{"n": 1}')).status_code == 507
