"""OTAO and CMX together: software reaches devices, and what they say of it leads to the next."""

import pytest
from configuring import Devices
from firmware import API, APPLICATIONS, FakeRegister
from house import House
from waiting import until

from kaa.modules.cm.module import MODULE as CM
from kaa.modules.cmx.module import MODULE as CMX
from kaa.modules.epr.module import MODULE as EPR
from kaa.modules.otao.module import MODULE as OTAO

UNCHANGED = {"statusCode": 200, "reasonPhrase": "OK"}


class Fleet:
    """A house with OTAO, the CMX that delivers for it, and some devices."""

    def __init__(self, house: House) -> None:
        self.house, self.devices = house, Devices(house, "cmx_ota")

    async def open(self, *, has_register: bool = False) -> "Fleet":
        await self.devices.open()
        if has_register:
            await self.house.start(CM)
            await self.house.start(EPR, applications=APPLICATIONS)
        else:
            await FakeRegister(self.house).open()
        await self.house.start(CMX, name="cmx_ota", config={"provider": "otao"}, applications=APPLICATIONS)
        await self.house.start(OTAO, applications=APPLICATIONS)
        return self

    async def restart(self) -> None:
        await self.house.restart()
        self.devices.connected = {}
        await self.open()

    async def make(self, version: str, *after: str, **fields: object) -> None:
        body = {"version": version, "upgradableFrom": after, "rolloutStrategy": "general", "specification": version}
        assert (await self.house.call("POST", API, body | fields)).status == 201
        await self.rest()

    async def rest(self) -> None:
        """Wait until nothing is rolled out and nothing is under way."""
        await self.house.quiet("ecr_rollout", "otao_rollout")

    def pushes(self) -> list[tuple[str, str]]:
        taken = self.devices.pushes()
        assert {path for _, path, _ in taken} <= {"/config/json"}
        return [(endpoint, specification) for endpoint, _, specification in taken]


@pytest.fixture
async def fleet(house: House) -> Fleet:
    return await Fleet(house).open()


async def test_a_device_that_reports_is_led_from_version_to_version(fleet: Fleet) -> None:
    await fleet.make("1.1.0", "1.0.0")
    await fleet.make("1.2.0", "1.1.0")
    await fleet.devices.connect("dev-1")
    answer = await fleet.devices.applied("1.0.0")
    assert (answer.status_code, answer.payload) == (200, None)
    await fleet.rest()
    assert fleet.pushes() == [("dev-1", "1.1.0")]
    await fleet.devices.applied("1.1.0")
    await fleet.rest()
    assert fleet.pushes() == [("dev-1", "1.2.0")]
    await fleet.devices.applied("1.2.0")
    await fleet.rest()
    assert fleet.pushes() == []


async def test_a_push_says_all_that_a_device_needs(fleet: Fleet) -> None:
    await fleet.devices.connect("dev-1")
    await fleet.devices.applied("1.0.0")
    await fleet.make("1.1.0", "1.0.0", specification={"link": "https://files.example/a"})
    [push] = fleet.devices.pushed
    assert push.payload == (
        b'{"configId":"1.1.0","config":{"link":"https://files.example/a"},"statusCode":200,"reasonPhrase":"OK"}'
    )


async def test_a_device_that_only_asks_is_answered_and_told_of_new_versions(fleet: Fleet) -> None:
    await fleet.make("1.1.0", "1.0.0")
    await fleet.devices.connect("dev-1")
    pulled = await fleet.devices.pull({"configId": "1.0.0", "observe": True})
    assert pulled == {"configId": "1.1.0", "config": "1.1.0", "statusCode": 200, "reasonPhrase": "OK"}
    assert await fleet.devices.pull({"configId": "1.1.0"}) == UNCHANGED
    await fleet.rest()
    assert fleet.pushes() == []
    await fleet.make("1.2.0", "1.1.0")
    assert fleet.pushes() == [("dev-1", "1.2.0")]


async def test_one_that_was_away_is_told_when_it_connects(fleet: Fleet) -> None:
    await fleet.devices.connect("dev-1")
    await fleet.devices.applied("1.0.0")
    await fleet.devices.disconnect("dev-1")
    await fleet.make("1.1.0", "1.0.0")
    assert fleet.pushes() == []
    await fleet.restart()
    await fleet.house.clock.advance(1_000)
    await fleet.devices.connect("dev-1")
    await fleet.rest()
    assert fleet.pushes() == [("dev-1", "1.1.0")]
    await fleet.devices.applied("1.1.0")
    await fleet.house.clock.advance(20_000)
    await fleet.devices.connect("dev-1")
    await fleet.rest()
    assert fleet.pushes() == []


async def test_one_that_could_not_install_it_is_told_again_when_it_connects(fleet: Fleet) -> None:
    await fleet.make("1.1.0", "1.0.0")
    await fleet.devices.connect("dev-1")
    await fleet.devices.applied("1.0.0")
    await fleet.rest()
    assert fleet.pushes() == [("dev-1", "1.1.0")]
    await fleet.devices.applied("1.1.0", code=500, phrase="no room")
    await fleet.rest()
    assert fleet.pushes() == []
    [status] = (await fleet.house.get(f"{API}/statuses"))["content"]
    assert (status["version"], status["status"], status["lastResult"]["reasonPhrase"]) == ("1.0.0", "FAILED", "no room")
    await fleet.house.clock.advance(20_000)
    await fleet.devices.connect("dev-1")
    await fleet.rest()
    assert fleet.pushes() == [("dev-1", "1.1.0")]


async def test_a_version_is_taken_back_from_the_devices_that_run_it(fleet: Fleet) -> None:
    await fleet.make("1.0.0")
    await fleet.devices.connect("dev-1", "dev-2")
    await fleet.devices.applied("1.0.0")
    await fleet.make("1.1.0", "1.0.0", downgradableTo=["1.0.0"])
    await fleet.devices.applied("1.1.0")
    await fleet.rest()
    fleet.pushes()
    reply = await fleet.house.call("POST", f"{API}/1.1.0/rollback")
    assert (reply.json["offered"], reply.json["leftAlone"]) == (1, 0)
    await fleet.rest()
    assert fleet.pushes() == [("dev-1", "1.0.0")]
    await fleet.devices.applied("1.0.0")
    await fleet.rest()
    assert fleet.pushes() == []


class TestWithTheRealRegister:
    async def fleet(self, house: House) -> Fleet:
        """Have dev-1 and dev-2 connected with 1.0.0, and hardware A and B."""
        fleet = await Fleet(house).open(has_register=True)
        for name, hardware in (("dev-1", "A"), ("dev-2", "B")):
            body = {"appVersion": {"name": "home-v1"}, "endpointId": name, "metadata": {"hardware": hardware}}
            assert (await house.call("POST", "/epr/api/v1/endpoints", body)).status == 201
            await fleet.devices.connect(name)
            await fleet.devices.applied("1.0.0", endpoint=name)
        await fleet.rest()
        return fleet

    async def set_hardware(self, fleet: Fleet, endpoint: str, hardware: str) -> None:
        path = f"/epr/api/v1/endpoints/{endpoint}/metadata"
        assert (await fleet.house.call("PUT", path, {"hardware": hardware})).status == 200
        await fleet.rest()

    async def test_metadata_decide_who_is_told(self, house: House) -> None:
        fleet = await self.fleet(house)
        await fleet.make("1.1.0", "1.0.0", compatibleWith={"metadata.hardware": {"$in": ["B", "C"]}})
        assert fleet.pushes() == [("dev-2", "1.1.0")]
        await self.set_hardware(fleet, "dev-1", "C")
        assert fleet.pushes() == [("dev-1", "1.1.0")]
        matrix = await house.get(f"{API}/compatibility", key="hardware")
        assert matrix["values"] == [
            {"value": "B", "endpoints": {"1.1.0": 0, "1.0.0": 1}},
            {"value": "C", "endpoints": {"1.1.0": 0, "1.0.0": 1}},
        ]

    async def test_filters_decide_who_is_told(self, house: House) -> None:
        fleet = await self.fleet(house)
        body = {"name": "new", "mongoQuery": {"metadata.hardware": "B"}}
        made = await house.call("POST", "/epr/api/v1/applications/home/filters", body)
        assert made.status == 201
        filters = [{"filterId": made.json["id"]}]
        await fleet.make("1.1.0", "1.0.0", rolloutStrategy="targeted", filters=filters)

        async def dev_2_is_told() -> bool:
            await fleet.rest()
            return bool(fleet.devices.pushed)

        await until(dev_2_is_told)
        assert fleet.pushes() == [("dev-2", "1.1.0")]
        await self.set_hardware(fleet, "dev-1", "B")
        assert fleet.pushes() == [("dev-1", "1.1.0")]
        await self.set_hardware(fleet, "dev-2", "A")
        assert await fleet.devices.pull(endpoint="dev-2", payload={"configId": "1.0.0"}) == UNCHANGED

    async def test_an_endpoint_that_is_deleted_leaves_nothing(self, house: House) -> None:
        fleet = await self.fleet(house)
        await house.clock.advance(1)
        assert (await house.call("DELETE", "/epr/api/v1/endpoints/dev-1")).status == 204
        await fleet.rest()
        statuses = await house.get(f"{API}/statuses")
        assert [one["endpointId"] for one in statuses["content"]] == ["dev-2"]
