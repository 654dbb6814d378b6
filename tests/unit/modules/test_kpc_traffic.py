"""KPC, reports of traffic (9/ELCE): what endpoints have sent and been sent, by tenant, application and endpoint."""

from typing import Any

from gateway import Gateway
from house import House

from kaa.protocols import elce, kp

JSON = "kp1/home-v1/dcx/T1/json"
MINUTE_MS = 60_000


async def listening(house: House) -> list[Any]:
    return await house.hear(elce.traffic_report("kpc"), name="statistics")


def told(events: list[Any]) -> list[dict[str, tuple[int, int, int, int]]]:
    """Give each report as bytes and messages received, and bytes and messages sent, by endpoint."""
    found = []
    for event in events:
        [(tenant, applications)] = event.tenant_traffic_stats.items()
        assert tenant == "kaa"
        [(application, endpoints)] = applications.items()
        assert application == "home"
        found.append(
            {
                endpoint: (
                    stat.total_received_payload,
                    stat.total_received_message_count,
                    stat.total_sent_payload,
                    stat.total_sent_message_count,
                )
                for endpoint, stat in endpoints.items()
            }
        )
    return found


async def test_what_was_said_and_answered_is_told_once_a_minute(house: House) -> None:
    events = await listening(house)
    kpc = await Gateway(house).start()
    kpc.answer = lambda message: (200, None, b"four") if message.resource_path == "/json" else (400, "no", None)
    device = await kpc.device()
    begun_ms = house.clock.now_ms()
    await device.ask(f"{JSON}/1", b"1234567", 1)
    await device.ask(f"{JSON}", b"12", 0)
    await device.ask("kp1/home-v1/dcx/T2/other/1", b"123", 1)
    await house.clock.advance(MINUTE_MS)
    no = len(kp.error_payload(400, "no"))
    assert told(events) == [{"dev-1": (9, 2, 8, 2), "dev-2": (3, 1, no, 1)}]
    assert events[0].time_from_ns == begun_ms * 1_000_000
    assert events[0].time_to_ns == (begun_ms + MINUTE_MS) * 1_000_000
    assert events[0].originator_replica_id == "replica-1"


async def test_silence_is_not_told_and_each_report_begins_where_the_last_one_ended(house: House) -> None:
    events = await listening(house)
    kpc = await Gateway(house).start()
    device = await kpc.device()
    await device.ask(JSON, b"1")
    await house.clock.advance(3 * MINUTE_MS)
    await device.ask(JSON, b"22")
    await house.clock.advance(MINUTE_MS)
    assert told(events) == [{"dev-1": (1, 1, 0, 0)}, {"dev-1": (2, 1, 0, 0)}]
    assert events[1].time_to_ns - events[1].time_from_ns == MINUTE_MS * 1_000_000


async def test_pushes_count_for_the_endpoint(house: House) -> None:
    events = await listening(house)
    kpc = await Gateway(house).start()
    device = await kpc.device()
    await device.ask(JSON, b"1")
    await house.clock.advance(MINUTE_MS)
    kpc.push("dev-1", payload=b"reboot")
    kpc.push("dev-2", payload=b"nobody is there")
    await device.settle()
    await house.clock.advance(MINUTE_MS)
    assert told(events)[1:] == [{"dev-1": (0, 0, 6, 1)}]


async def test_what_nobody_got_was_not_sent(house: House) -> None:
    events = await listening(house)
    kpc = await Gateway(house).start()
    kpc.answer = lambda _: None
    device = await kpc.device()
    device.publish(f"{JSON}/1", b"12")
    await device.settle()
    device.wire.lose()
    kpc.answer_late(kpc.said[0], (200, None, b"late"))
    await device.settle()
    await house.clock.advance(MINUTE_MS)
    assert told(events) == [{"dev-1": (2, 1, 0, 0)}]


async def test_several_tokens_of_an_endpoint_and_a_renewed_one_are_one(house: House) -> None:
    events = await listening(house)
    kpc = await Gateway(house).start({"traffic-interval": "5m"})
    device = await kpc.device()
    for token in ("T1", "T1b"):
        await device.ask(f"kp1/home-v1/dcx/{token}/json", b"1")
    await house.clock.advance(2 * MINUTE_MS)
    await device.ask(JSON, b"1")
    assert len(kpc.asked_tokens) == 3
    await house.clock.advance(3 * MINUTE_MS)
    assert told(events) == [{"dev-1": (3, 3, 0, 0)}]


async def test_a_refused_token_is_nobodys_traffic(house: House) -> None:
    events = await listening(house)
    kpc = await Gateway(house).start()
    device = await kpc.device()
    await device.ask("kp1/home-v1/dcx/unknown/json", b"1")
    await house.clock.advance(MINUTE_MS)
    assert events == []


async def test_many_are_told_in_several_reports_of_one_span(house: House, monkeypatch: Any) -> None:
    monkeypatch.setattr("kaa.modules.kpc.traffic._MOST_IN_A_REPORT", 20)
    events = await listening(house)
    kpc = await Gateway(house).start()
    kpc.tokens |= {f"t{n}": f"e{n}" for n in range(50)}
    device = await kpc.device()
    for n in range(50):
        device.client.publish(f"kp1/home-v1/dcx/t{n}/json", b"1")
    await device.until(lambda: len(kpc.said) == 50)
    await house.clock.advance(MINUTE_MS)
    assert [len(part) for part in told(events)] == [20, 20, 10]
    assert len({(event.time_from_ns, event.time_to_ns) for event in events}) == 1
    assert len({event.correlation_id for event in events}) == 3


async def test_the_last_minute_is_told_when_it_stops(house: House) -> None:
    events = await listening(house)
    kpc = await Gateway(house).start()
    device = await kpc.device()
    await device.ask(JSON, b"1")
    await house.restart()
    assert told(events) == [{"dev-1": (1, 1, 0, 0)}]


async def test_what_nobody_hears_is_forgotten(house: House) -> None:
    kpc = await Gateway(house).start()
    device = await kpc.device()
    await device.ask(JSON, b"1")
    await house.clock.advance(MINUTE_MS)
    events = await listening(house)
    await house.clock.advance(MINUTE_MS)
    assert events == []


async def test_with_0_nothing_is_counted(house: House) -> None:
    events = await listening(house)
    kpc = await Gateway(house).start({"traffic-interval": 0})
    device = await kpc.device()
    await device.ask(f"{JSON}/1", b"1")
    await house.clock.advance(10 * MINUTE_MS)
    assert events == []
    assert len(kpc.door.communication._spoken) == 0
