"""KPC, the refusals that operators read: who was told no, when, on what topic, and why; never his token."""

import pytest
from gateway import Gateway, hash_of
from house import House
from structlog.testing import capture_logs
from waiting import until

API = "/kpc/api/v1/refusals"
NOW = "2025-11-24T16:00:00.000Z"


class TestKept:
    async def test_an_unknown_token_is_named_by_its_hash(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        await device.ask("kp1/home-v1/dcx/secret/json/7", b'{"t":1}')
        (kept,) = await kpc.refusals(1)
        assert kept == {
            "id": 1,
            "timestamp": NOW,
            "endpointId": None,
            "tokenHash": hash_of("secret"),
            "topic": "kp1/home-v1/dcx/*/json/7",
            "statusCode": 401,
            "reason": "the token is no good (401)",
            "payload": '{"t":1}',
            "payloadSize": 7,
        }

    async def test_a_known_endpoint_by_its_id(self, house: House) -> None:
        kpc = await Gateway(house).start()
        kpc.answer = lambda _: (400, "the payload is not JSON", None)
        device = await kpc.device()
        await device.ask("kp1/home-v1/dcx/T1/json", b"\xff{")
        (kept,) = await kpc.refusals(1)
        assert (kept["endpointId"], kept["tokenHash"]) == ("dev-1", None)
        assert (kept["topic"], kept["statusCode"]) == ("kp1/home-v1/dcx/*/json", 400)
        assert (kept["reason"], kept["payload"], kept["payloadSize"]) == ("the payload is not JSON", "\ufffd{", 2)

    async def test_unknown_versions_and_extensions_too(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        await device.ask("kp1/home-v9/dcx/T1/json")
        await device.ask("kp1/home-v1/foreign/T1/json")
        kept = await kpc.refusals(2)
        assert [(refusal["statusCode"], refusal["tokenHash"]) for refusal in kept] == [
            (403, hash_of("T1")),
            (404, hash_of("T1")),
        ]
        assert "T1" not in str([refusal["topic"] for refusal in kept])

    @pytest.mark.parametrize(
        ("topic", "shape"),
        [
            ("/kp1/home-v1/dcx/{}/json", "/kp1/home-v1/dcx/*/*"),
            ("//kp1/home-v1/dcx/{}/json/7", "/kp1/home-v1/dcx/*/*/*"),
            ("kp1/home-v1/{}/json", "kp1/home-v1/*/*"),
            ("kp1/home-v1/{}", "kp1/home-v1/*"),
            ("kp1/home-v1/{}/dcx/json", "kp1/home-v1/*/*/*"),
            ("kp1/dcx/{}/json", "kp1/*/*/*"),
            ("kp1/{}/dcx/json", "kp1/*/dcx/*"),
            ("kp1/{}", "kp1/*"),
            ("kp1/home-v1/dcx//{}", "kp1/home-v1/dcx/*/*"),
            ("kp1/home-v1/dcx/{}.x/json", "kp1/home-v1/dcx/*/*"),
            ("kp1/home-v1/dcx/dcx/{}/json", "kp1/home-v1/dcx/*/*/json"),
            ("{}/json", "*/json"),
            ("{}", "*"),
            ("devices/{}/json/x", "devices/*/*/*"),
        ],
    )
    async def test_wherever_the_token_stands_it_is_neither_kept_nor_logged(
        self, house: House, topic: str, shape: str
    ) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        token = "kL3-9xQzR_0aBcDeFgHiJk"
        with capture_logs() as logs:
            await device.ask(topic.format(token))
            (kept,) = await kpc.refusals(1)
        assert kept["topic"] == shape
        assert token not in str(kept)
        assert token not in str(logs)

    async def test_only_the_head_of_a_payload(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        await device.ask("kp1/home-v9/dcx/T1/json", b"x" * 5_000)
        (kept,) = await kpc.refusals(1)
        assert (kept["payload"], kept["payloadSize"]) == ("x" * 256, 5_000)

    async def test_successes_are_not(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        await device.ask("kp1/home-v1/dcx/T1/json/1")
        await kpc.refusals(0)


class TestBounds:
    async def test_the_oldest_go_for_the_newest(self, house: House) -> None:
        kpc = await Gateway(house).start({"refusals-kept": 3})
        device = await kpc.device()
        for number in range(5):
            await device.ask(f"kp1/home-v9/dcx/T1/x{number}")
        kept = await kpc.refusals(3)
        assert [refusal["topic"][-2:] for refusal in kept] == ["x4", "x3", "x2"]
        await device.ask("kp1/home-v9/dcx/T1/x5")
        await house.clock.advance(300)

        async def newest() -> bool:
            found = (await house.get(API))["content"]
            return [refusal["topic"][-2:] for refusal in found] == ["x5", "x4", "x3"]

        await until(newest)

    async def test_a_flood_is_counted_and_not_all_kept(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        for number in range(700):
            device.client.publish(f"kp1/home-v9/dcx/T1/x/{number}", b"{}")
        await device.settle()
        await house.clock.advance(300)

        async def some() -> bool:
            return (await house.get(API, limit=1))["totalElements"] == 500

        await until(some)
        counted = kpc.door.notes._refusals
        assert counted._count.labels("404")._value.get() == 700
        assert counted._missed._value.get() == 200

    async def test_they_outlive_a_restart(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        await device.ask("kp1/home-v9/dcx/T1/x")
        await house.restart()
        kpc = await Gateway(house).start()
        assert len((await house.get(API))["content"]) == 1


class TestReading:
    async def test_by_endpoint_by_status_and_by_page(self, house: House) -> None:
        kpc = await Gateway(house).start()
        kpc.answer = lambda message: (400 if message.endpoint_id == "dev-1" else 409, "no", None)
        device = await kpc.device()
        for token in ("T1", "T2", "T1"):
            await device.ask(f"kp1/home-v1/dcx/{token}/json")
        await kpc.refusals(3)
        assert {r["endpointId"] for r in (await house.get(API, endpointId="dev-1"))["content"]} == {"dev-1"}
        assert (await house.get(API, endpointId="dev-1"))["totalElements"] == 2
        assert (await house.get(API, statusCode=409))["totalElements"] == 1
        page = await house.get(API, offset=1, limit=1)
        assert (page["totalElements"], [r["id"] for r in page["content"]]) == (3, [2])

    async def test_it_wants_a_key(self, house: House) -> None:
        await Gateway(house).start()
        assert (await house.call("GET", API, has_key=False)).status == 401
