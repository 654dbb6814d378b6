"""EPTS over REST, for those who move points elsewhere: times in microseconds, and writing that only checks."""

from typing import Any

from fakes.clock import START_MS
from house import House
from telemetry import API, Telemetry

PUT = f"{API}/app-versions/home-v1/time-series/data"
FINE = "2025-11-24T16:00:00.000001Z"


async def put(house: House, timestamp: Any, **params: str) -> int:
    body = {"dev-1": {"t": [{"timestamp": timestamp, "values": {"value": 1}}]}}
    return (await house.call("PUT", PUT, body, params=params)).status


async def times(epts: Telemetry, **params: Any) -> list[str]:
    found = await epts.data("t", **params)
    return [point["timestamp"] for point in found[0]["dev-1"]["t"]] if found else []


async def test_microseconds_are_kept_and_shown_where_they_are_asked_for(house: House) -> None:
    epts = await Telemetry(house).start()
    assert await put(house, FINE, precision="us") == 200
    assert await put(house, START_MS, precision="us") == 200
    assert await times(epts, precision="us") == ["2025-11-24T16:00:00.000000Z", FINE]
    assert await times(epts) == ["2025-11-24T16:00:00.000Z"] * 2
    assert f"dev-1,t,{FINE},value,1\n" in await epts.csv("t", precision="us")


async def test_without_being_asked_for_they_are_milliseconds(house: House) -> None:
    epts = await Telemetry(house).start()
    assert await put(house, FINE) == 200
    assert await times(epts, precision="us") == ["2025-11-24T16:00:00.000000Z"]


async def test_a_dry_run_refuses_what_would_be_refused_and_stores_nothing(house: House) -> None:
    epts = await Telemetry(house).start()
    assert await put(house, FINE, dryRun="true") == 200
    assert await put(house, "2001-01-01T00:00:00Z", dryRun="true") == 400
    assert await put(house, "never", dryRun="true") == 400
    assert await times(epts) == []
    assert await house.get(f"{API}/time-series/config", applicationNames="home") == {"home": []}
