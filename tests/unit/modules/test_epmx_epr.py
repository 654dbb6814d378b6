"""EPMX, EPL and DCX with the register that the platform has: metadata from the device to EPR and back."""

import json
from typing import Any

import pytest
from fakes.clock import START_MS
from house import House
from test_dcx import Wiring
from test_epmx import APPLICATIONS, Device
from waiting import until

from kaa.modules.cm.module import MODULE as CM
from kaa.modules.dcx.module import MODULE as DCX
from kaa.modules.epl.module import MODULE as EPL
from kaa.modules.epmx.module import MODULE as EPMX
from kaa.modules.epr.module import MODULE as EPR
from kaa.protocols import elce, eme, esp
from kaa.protocols.dstp import DataSamplesEvent

METADATA = "/epr/api/v1/endpoints/dev-1/metadata"
HELD = {"model": "K2", "floor": 3, "site code": "over REST only"}
LISTED = {"home-v1": {"metadata-keys": {"floor": None, "room": {}, "model": {"write-enabled": False}}}}


async def register(house: House, *endpoints: str) -> None:
    """Have EPR run, and these endpoints in it."""
    await house.start(CM)
    await house.start(EPR, applications=APPLICATIONS)
    for endpoint in endpoints:
        body = {"appVersion": {"name": "home-v1"}, "endpointId": endpoint, "metadata": HELD}
        assert (await house.call("POST", "/epr/api/v1/endpoints", body)).status == 201


@pytest.fixture
async def device(house: House) -> Device:
    await register(house, "dev-1")
    made = Device(house, None)  # type: ignore[arg-type]
    await house.start(EPMX, applications=APPLICATIONS, settings=LISTED)
    made.answers = await house.hear(esp.extension_data_to_replica("kpc-of-the-test"), name="kpc-of-the-test")
    return made


class TestDevices:
    async def test_they_read_what_they_may(self, device: Device) -> None:
        assert await device.ask("/get") == (200, {"model": "K2", "floor": 3})
        assert await device.ask("/get/keys") == (200, ["model", "floor"])
        assert await device.ask("/get", {"keys": ["floor"]}) == (200, {"floor": 3})
        assert (await device.ask("/get", {"keys": ["room"]}))[0] == 404
        assert (await device.ask("/get", endpoint_id="dev-9"))[0] == 404

    async def test_they_write_what_they_may(self, device: Device) -> None:
        house = device.house
        assert await device.ask("/update", {"room": {"name": "b"}}) == (200, b"")
        assert await house.get(METADATA) == {"model": "K2", "site code": "over REST only", "room": {"name": "b"}}
        assert await device.ask("/update/keys", {"floor": None}) == (200, b"")
        assert await device.ask("/delete/keys", ["room"]) == (200, b"")
        assert await house.get(METADATA) == {"model": "K2", "site code": "over REST only", "floor": None}
        assert (await device.ask("/update/keys", {"model": "K3"}))[0] == 403

    async def test_what_they_write_is_told(self, device: Device) -> None:
        heard = await device.house.hear(eme.metadata_updated("epr"))
        await device.ask("/update", {"room": "b"})
        await until(lambda: heard)
        [event] = heard
        assert (dict(event.removed), dict(event.added), dict(event.updated)) == ({"floor": "3"}, {"room": '"b"'}, {})

    async def test_two_writers_lose_nothing_of_each_other(self, device: Device) -> None:
        house = device.house
        for n in range(20):
            said = device.say("/update", {"floor": n})
            reply = await house.call("PUT", f"{METADATA}/site{n}", n)
            assert reply.status in {200, 201, 204}, reply
            assert (await device.answer_to(said)).status_code == 200
        assert await house.get(METADATA) == HELD | {"floor": 19} | {f"site{n}": n for n in range(20)}

    async def test_more_than_can_be_kept_is_refused_and_nothing_is_done(self, device: Device) -> None:
        assert await device.ask("/update/keys", {"room": "x" * 40_000}) == (200, b"")
        assert (await device.ask("/update/keys", {"floor": "x" * 30_000}))[0] == 400
        assert (await device.house.get(METADATA))["floor"] == 3


class TestConnectivity:
    async def test_many_that_come_at_once_have_it_in_their_metadata(self, house: House) -> None:
        names = [f"dev-{n}" for n in range(30)]
        await register(house, *names)
        await house.start(EPL, applications=APPLICATIONS)
        told = dict.fromkeys([*names, "dev-gone"], "home-v1")
        house.publish(elce.connected("kpc"), endpoints=told, timestamp_ms=START_MS + 1)

        async def all_say_so() -> bool:
            found = [await house.get(f"/epr/api/v1/endpoints/{name}/metadata") for name in names]
            return all(one == HELD | {"connected": True, "connectivity_ts": START_MS + 1} for one in found)

        await until(all_say_so)

        async def known() -> int:
            query = "select count(*) from epl_state"
            return int(await house.storage.read(lambda c: c.exec_driver_sql(query).scalar_one()))

        assert await known() == 30
        await house.clock.advance(10)
        assert (await house.call("DELETE", "/epr/api/v1/endpoints/dev-1")).status == 204
        assert await known() == 29


class TestEnrichment:
    async def test_samples_carry_the_metadata_as_it_is(self, house: House) -> None:
        await register(house, "dev-1")
        told: Any = {"home": {"metadata-enrichment": {"enabled": True}}}
        dcx = Wiring(house)
        await house.start(DCX, applications=APPLICATIONS, settings=told)
        dcx.answers = await house.hear(esp.extension_data_to_replica("kpc-of-the-test"), name="kpc-of-the-test")
        heard: list[DataSamplesEvent] = await dcx.receiver("epts", lambda _: (200, None))
        for floor in (4, 5):
            assert (await house.call("PUT", f"{METADATA}/floor", floor)).status in {200, 204}
            assert await dcx.ask(b'{"t":1}') == (200, None)
            [sample] = heard[-1].data_samples
            assert json.loads(sample) == {"t": 1, "~ep-metadata": HELD | {"floor": floor}}
