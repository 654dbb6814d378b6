"""KPC, who is connected (x-presence): some that are asked about, or all of them page by page."""

from typing import Any

import pytest
from gateway import Device, Gateway
from house import House

from kaa.protocols import x_presence

ASKED, ALL = x_presence.presence("kpc"), x_presence.connected_endpoints("kpc")


async def with_endpoints(kpc: Gateway, count: int) -> Device:
    """Connect a gateway that carries endpoints."""
    kpc.tokens |= {f"t{n}": f"e{n:04d}" for n in range(count)}
    device = await kpc.device()
    for n in range(count):
        device.client.publish(f"kp1/home-v1/dcx/t{n}/json", b"{}")
    await device.until(lambda: len(kpc.said) == count)
    return device


async def pages(house: House) -> list[list[str]]:
    """Ask for all until the page is empty."""
    found: list[list[str]] = []
    after = None
    while True:
        page: Any = await house.request(ALL, after=after)
        assert page.status_code == 200
        if not page.endpoints:
            return found
        found.append([one.endpoint_id for one in page.endpoints])
        after = found[-1][-1]


async def test_of_those_asked_about_the_connected_ones_are_told_with_since_when(house: House) -> None:
    kpc = await Gateway(house).start()
    first, second = await kpc.device("a"), await kpc.device("b")
    since_ms = house.clock.now_ms()
    await first.ask("kp1/home-v1/dcx/T1/json")
    await house.clock.advance(5_000)
    await second.ask("kp1/home-v2/dcx/T2/json")
    await first.ask("kp1/home-v1/dcx/T1/json")
    answer = await house.request(ASKED, endpoint_ids=("dev-2", "dev-1", "dev-3", "nobody", "dev-1"))
    assert answer.status_code == 200
    assert answer.endpoints == (
        x_presence.PresentEndpoint(
            endpoint_id="dev-2", app_version_name="home-v2", replica_id="replica-1", since_ms=since_ms + 5_000
        ),
        x_presence.PresentEndpoint(
            endpoint_id="dev-1", app_version_name="home-v1", replica_id="replica-1", since_ms=since_ms
        ),
    )


async def test_another_version_is_told_and_does_not_begin_anew(house: House) -> None:
    kpc = await Gateway(house).start()
    device = await kpc.device()
    since_ms = house.clock.now_ms()
    await device.ask("kp1/home-v1/dcx/T1/json")
    await house.clock.advance(5_000)
    await device.ask("kp1/home-v2/dcx/T1/json")
    [one] = (await house.request(ASKED, endpoint_ids=("dev-1",))).endpoints
    assert (one.app_version_name, one.since_ms) == ("home-v2", since_ms)


@pytest.mark.parametrize("how", ["lose", "revoke", "move"])
async def test_who_has_left_is_not_there_and_who_has_moved_is_since_then(house: House, how: str) -> None:
    kpc = await Gateway(house).start()
    device, other = await kpc.device("a"), await kpc.device("b")
    await device.ask("kp1/home-v1/dcx/T1/json")
    await house.clock.advance(5_000)
    if how == "lose":
        device.wire.lose()
    elif how == "revoke":
        await kpc.revoke("dev-1", "T1")
    else:
        await other.ask("kp1/home-v1/dcx/T1/json")
    found = (await house.request(ASKED, endpoint_ids=("dev-1",))).endpoints
    assert [one.since_ms for one in found] == ([house.clock.now_ms()] if how == "move" else [])


async def test_more_than_a_thousand_at_a_time_are_refused(house: House) -> None:
    await Gateway(house).start()
    answer = await house.request(ASKED, endpoint_ids=tuple(f"e{n}" for n in range(1001)))
    assert (answer.status_code, answer.endpoints) == (400, ())
    assert "1000" in answer.reason_phrase
    assert (await house.request(ASKED, endpoint_ids=tuple(f"e{n}" for n in range(1000)))).status_code == 200
    assert (await house.request(ASKED, endpoint_ids=())).endpoints == ()


async def test_all_come_in_order_page_by_page(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kaa.modules.kpc.roll._MOST", 20)
    monkeypatch.setattr("kaa.modules.kpc.roll._AT_A_TIME", 7)
    kpc = await Gateway(house).start()
    assert await pages(house) == []
    await with_endpoints(kpc, 50)
    names = [f"e{n:04d}" for n in range(50)]
    assert await pages(house) == [names[:20], names[20:40], names[40:]]


async def test_a_page_whose_endpoints_have_gone_is_not_the_end(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kaa.modules.kpc.roll._MOST", 10)
    kpc = await Gateway(house).start()
    await with_endpoints(kpc, 30)
    page = await house.request(ALL, after=None)
    for n in range(10, 20):
        await kpc.revoke(f"e{n:04d}", f"t{n}")
    page = await house.request(ALL, after=page.endpoints[-1].endpoint_id)
    assert [one.endpoint_id for one in page.endpoints] == [f"e{n:04d}" for n in range(20, 30)]


async def test_two_who_ask_do_not_trouble_each_other(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kaa.modules.kpc.roll._MOST", 10)
    kpc = await Gateway(house).start()
    await with_endpoints(kpc, 25)
    first = await house.request(ALL, after=None)
    assert len(await pages(house)) == 3
    second = await house.request(ALL, after=first.endpoints[-1].endpoint_id)
    assert [one.endpoint_id for one in second.endpoints] == [f"e{n:04d}" for n in range(10, 20)]
