"""From samples on the wire to series over REST: DCX, EPTS and Tekton's settings together."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hosts import Place, Thing
from mqtt_clients import V5, Wire
from waiting import until

from kaa.core.clock import SystemClock
from kaa.protocols.mqtt.client import Acknowledged

Connect = Callable[..., Awaitable[Any]]

NOW_MS = SystemClock().now_ms()
HOUR_MS = 3_600_000
START_MS = (NOW_MS - 48 * HOUR_MS) // HOUR_MS * HOUR_MS
CLIMATE = {
    "time-series": {
        "auto-extract": False,
        "timestamp": {"path": "at", "format": "millis-unix-epoch", "fallback-strategy": "server-timestamp"},
        "names": {
            "climate": {
                "values": [
                    {"path": "room.temperature", "name": "temperature", "type": "number"},
                    {"path": "$.room.humidity", "name": "humidity"},
                    {"path": "tags[0]", "name": "tag", "type": "string"},
                    {"path": "is_on", "name": "on", "type": "boolean"},
                ]
            }
        },
    }
}


def iso(at_ms: int) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.fixture
async def wire(place: Place, connect: Connect) -> Wire:
    return await connect(Wire(place.mqtt, V5))


async def told(wire: Wire, thing: Thing, payload: bytes, path: str = "json") -> tuple[int, str]:
    """Send, and give the status of the answer (200 for one on `/status`) and its sentence."""
    reason, answer = await wire.answer(thing.topic(path, 1), payload)
    if answer.topic.endswith("/status"):
        assert (reason, answer.payload) == (0, b"")
        return 200, ""
    error = json.loads(answer.payload)
    return error["statusCode"], error["reasonPhrase"]


class TestWhatIsTaken:
    @pytest.mark.parametrize(
        ("payload", "expected"),
        [
            (b'{"x": 1}', [1]),
            (b' \n{"x": 1.5}\t', [1.5]),
            (b'[{"x": 1}, {"x": 2}, {"x": 3}]', [1, 2, 3]),
            (b"[]", []),
            (b"{}", []),
            (b'{"y": "text", "x": true}', []),
            (b'{"x": 12345678901234567890}', [12345678901234567890.0]),
            (b'{"x": -9223372036854775808}', [-9223372036854775808]),
            ('{"x": 1, "größe": "ß"}'.encode(), [1]),
        ],
    )
    async def test_json_is_taken(self, place: Place, wire: Wire, payload: bytes, expected: list[float]) -> None:
        thing = await place.rest.thing()
        assert (await told(wire, thing, payload))[0] == 200
        assert await place.rest.values(thing, "auto~x") == expected

    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            b"21.5",
            b'"text"',
            b"null",
            b'{"x": NaN}',
            b'[{"x": 1}, {"x": Infinity}]',
            b'{"x": -Infinity}',
            b'{"x": 1',
            b'{"x": 1}}',
            b"{'x': 1}",
            b'{"x": "\xff"}',
            b'{"x": 01}',
            b'{"x": 1e999}',
            b"[" * 5000 + b"]" * 5000,
        ],
    )
    async def test_what_is_no_sample_is_refused_and_nothing_of_it_stored(
        self, place: Place, wire: Wire, payload: bytes
    ) -> None:
        thing = await place.rest.thing()
        status, sentence = await told(wire, thing, payload)
        assert (status, " " in sentence) == (400, True)
        assert await place.rest.last(thing) == {}

    async def test_plain_values_have_a_unit(self, place: Place, wire: Wire) -> None:
        settings = {
            "time-series": {
                "names": {
                    "temperature": {
                        "values": [
                            {"path": "temperature-value"},
                            {"path": "temperature-unit", "name": "unit", "type": "string"},
                        ]
                    }
                }
            }
        }
        thing = await place.rest.thing(await place.rest.application(settings))
        assert (await told(wire, thing, b"21.5C", "plain/temperature"))[0] == 200
        assert (await place.rest.last(thing))["temperature"] == {"value": 21.5, "unit": "C"}
        assert (await told(wire, thing, b"22", "plain/temperature"))[0] == 200
        last = await place.rest.last(thing)
        assert last["temperature"] == {"value": 22, "unit": "number"}
        assert last["auto~temperature-value"] == {"value": 22}
        for payload in (b"", b"warm", b"NaN", b"1e999", b'{"x": 1}'):
            assert (await told(wire, thing, payload, "plain/temperature"))[0] == 400

    async def test_a_path_behind_json_is_taken_where_that_is_allowed(self, place: Place, wire: Wire) -> None:
        thing = await place.rest.thing()
        assert (await told(wire, thing, b'{"x": 1}', "json/room/kitchen"))[0] == 404
        await place.rest.configure(thing.application, dcx={"relaxed-paths": True})
        assert (await told(wire, thing, b'{"x": 1}', "json/room/kitchen"))[0] == 200
        assert await place.rest.values(thing, "auto~x") == [1]


class TestTime:
    async def test_samples_without_a_time_do_not_overwrite_each_other(self, place: Place, wire: Wire) -> None:
        thing = await place.rest.thing()
        before = SystemClock().now_ms()
        samples = [{"x": number} for number in range(1000)]
        assert (await told(wire, thing, json.dumps(samples).encode()))[0] == 200
        for number in range(1000, 1200):
            wire.session.publish(thing.topic(), b'{"x": %d}' % number, 1)
        wire.flush()
        for _ in range(200):
            await wire.next(Acknowledged)
        assert await place.rest.values(thing, "auto~x") == list(range(1200))
        points = await place.rest.points(thing, "auto~x")
        assert iso(before) <= points[0]["timestamp"] <= points[-1]["timestamp"] <= iso(SystemClock().now_ms() + 1)

    async def test_a_time_of_its_own_is_kept_and_merges(self, place: Place, wire: Wire) -> None:
        thing = await place.rest.thing(await place.rest.application(CLIMATE))
        samples = [
            {"at": START_MS + 5, "room": {"temperature": 20}},
            {"at": START_MS + 5, "room": {"humidity": 40}},
            {"at": START_MS + 5, "room": {"temperature": 21}},
            {"at": START_MS + 4, "is_on": True, "tags": ["a", "b"]},
            {"at": START_MS + 6, "is_on": None},
        ]
        for sample in samples:
            assert (await told(wire, thing, json.dumps(sample).encode()))[0] == 200
        assert await place.rest.points(thing, "climate") == [
            {"timestamp": iso(START_MS + 4), "values": {"on": True, "tag": "a"}},
            {"timestamp": iso(START_MS + 5), "values": {"humidity": 40, "temperature": 21}},
            {"timestamp": iso(START_MS + 6), "values": {"on": None}},
        ]

    async def test_a_time_that_must_be_there_and_is_not_is_refused(self, place: Place, wire: Wire) -> None:
        timestamp = {"path": "at", "format": "iso8601", "fallback-strategy": "fail"}
        thing = await place.rest.thing(
            await place.rest.application({"time-series": {"timestamp": timestamp}, "retention": "3650d"})
        )
        for sample in ({"x": 1}, {"x": 1, "at": "soon"}, {"x": 1, "at": START_MS}, {"x": 1, "at": None}):
            assert (await told(wire, thing, json.dumps(sample).encode()))[0] == 400
        at = "2026-01-02T03:04:05.678+0200"
        assert (await told(wire, thing, json.dumps({"x": 2, "at": at}).encode()))[0] == 200
        assert await place.rest.points(thing, "auto~x") == [
            {"timestamp": "2026-01-02T01:04:05.678Z", "values": {"value": 2}}
        ]

    async def test_a_time_far_ahead_is_refused(self, place: Place, wire: Wire) -> None:
        thing = await place.rest.thing(await place.rest.application(CLIMATE))
        sample = {"at": NOW_MS + 400 * 24 * HOUR_MS, "room": {"temperature": 1}}
        assert (await told(wire, thing, json.dumps(sample).encode()))[0] == 400


class TestSettings:
    async def test_they_take_effect_without_a_restart(self, place: Place, wire: Wire) -> None:
        thing = await place.rest.thing()
        sample = b'{"room": {"temperature": 20.5, "humidity": 40}, "x": 1}'
        assert (await told(wire, thing, sample))[0] == 200
        assert await place.rest.last(thing) == {"auto~x": {"value": 1}}
        await place.rest.configure(thing.application, epts=CLIMATE)
        assert (await told(wire, thing, sample))[0] == 200
        assert (await place.rest.last(thing))["climate"] == {"temperature": 20.5, "humidity": 40}
        config = await place.rest.get("/epts/api/v1/time-series/config", applicationNames=thing.application)
        assert config == {
            thing.application: [
                {"name": "auto~x", "values": ["value"]},
                {"name": "climate", "values": ["temperature", "humidity", "tag", "on"]},
            ]
        }

    async def test_a_value_of_another_type_is_left_out(self, place: Place, wire: Wire) -> None:
        thing = await place.rest.thing(await place.rest.application(CLIMATE))
        sample = {"room": {"temperature": "warm", "humidity": 40}, "tags": [1], "is_on": "yes"}
        assert (await told(wire, thing, json.dumps(sample).encode()))[0] == 200
        assert (await place.rest.last(thing))["climate"] == {"humidity": 40}

    async def test_wrong_ones_are_refused_and_change_nothing(self, place: Place) -> None:
        application = await place.rest.application(CLIMATE)
        wrong = {"time-series": {"names": {"climate": {"values": [{"path": "a["}]}}}}
        path = f"/tekton/api/v1/app-configs/applications/{application}"
        body = {"epts": {"kaa": {"applications": {application: wrong}}}}
        assert (await place.rest.call("PUT", path, body)).status == 400
        kept = await place.rest.get(path, serviceInstanceName="epts")
        assert kept["epts"]["kaa"]["applications"][application] == CLIMATE

    async def test_those_of_a_version_go_before_those_of_the_application(self, place: Place, wire: Wire) -> None:
        thing = await place.rest.thing()
        version = f"{thing.application}-v1"
        tree = {"kaa": {"applications": {thing.application: {"versions": {version: CLIMATE}}}}}
        path = f"/tekton/api/v1/app-configs/applications/{thing.application}/app-versions/{version}"
        await place.rest.send("PUT", path, {"epts": tree})
        assert (await told(wire, thing, b'{"room": {"temperature": 1}, "x": 1}'))[0] == 200
        assert await place.rest.last(thing) == {"climate": {"temperature": 1}}


@pytest.fixture
async def climate(place: Place, wire: Wire) -> Thing:
    """An endpoint with a temperature every ten minutes for two hours: 0, 1, 2 …"""
    thing = await place.rest.thing(await place.rest.application(CLIMATE))
    samples = [{"at": START_MS + 600_000 * n, "room": {"temperature": n}} for n in range(12)]
    assert (await told(wire, thing, json.dumps(samples).encode()))[0] == 200
    return thing


async def temperatures(place: Place, thing: Thing, **params: Any) -> list[float]:
    return [point["values"]["temperature"] for point in await place.rest.points(thing, "climate", **params)]


class TestReading:
    @pytest.mark.parametrize(
        ("include", "expected"), [(None, [6, 7]), ("from", [6, 7]), ("to", [7, 8]), ("both", [6, 7, 8]), ("none", [7])]
    )
    async def test_a_window_says_which_of_its_ends_it_has(
        self, place: Place, climate: Thing, include: str | None, expected: list[float]
    ) -> None:
        window = {"fromDate": iso(START_MS + HOUR_MS), "toDate": START_MS + HOUR_MS + 1_200_000}
        window |= {"includeTime": include} if include else {}
        assert await temperatures(place, climate, **window) == expected

    async def test_it_may_be_sorted_and_cut(self, place: Place, climate: Thing) -> None:
        assert await temperatures(place, climate, sort="DESC", limit=3) == [11, 10, 9]
        assert await temperatures(place, climate, limit=2) == [0, 1]
        assert await temperatures(place, climate, sort="DESC") == list(range(11, -1, -1))
        assert await temperatures(place, climate, fromDate="now-7d", toDate="now", limit=1) == [0]

    @pytest.mark.parametrize(
        ("aggregate", "expected"),
        [
            ("avg", [2.5, 8.5]),
            ("min", [0, 6]),
            ("max", [5, 11]),
            ("sum", [15, 51]),
            ("count", [6, 6]),
            ("first", [0, 6]),
            ("last", [5, 11]),
        ],
    )
    async def test_it_may_be_aggregated(
        self, place: Place, climate: Thing, aggregate: str, expected: list[float]
    ) -> None:
        window = {"fromDate": "now-7d", "toDate": "now", "aggregate": aggregate}
        points = await place.rest.points(climate, "climate", period="PT1H", **window)
        assert [point["values"]["temperature"] for point in points] == expected
        assert [point["timestamp"] for point in points] == [iso(START_MS), iso(START_MS + HOUR_MS)]
        assert await temperatures(place, climate, period="1h", **window) == expected

    async def test_it_may_be_csv(self, place: Place, climate: Thing) -> None:
        reply = await place.rest.call(
            "GET",
            f"/epts/api/v1/applications/{climate.application}/time-series/data",
            params={"timeSeriesName": "climate", "fromDate": 0, "toDate": "now", "limit": 2},
            headers={"Accept": "text/csv"},
        )
        assert reply.headers["Content-Type"].startswith("text/csv")
        assert reply.data.decode().splitlines() == [
            "endpointId,timeSeriesName,timestamp,valueName,value",
            f"{climate.endpoint_id},climate,{iso(START_MS)},temperature,0",
            f"{climate.endpoint_id},climate,{iso(START_MS + 600_000)},temperature,1",
        ]

    async def test_get_and_post_answer_alike(self, place: Place, climate: Thing) -> None:
        base = f"/epts/api/v1/applications/{climate.application}/time-series"
        got = await place.rest.get(f"{base}/data", timeSeriesName="climate", fromDate=0, toDate="now")
        body = {"timeSeriesNames": ["climate"], "endpointIDs": [climate.endpoint_id], "fromDate": 0, "toDate": "now"}
        assert await place.rest.send("POST", f"{base}/data", body) == got
        assert list(got[0]) == [climate.endpoint_id]
        last = await place.rest.get(f"{base}/last")
        assert last == [
            {
                climate.endpoint_id: {
                    "climate": [{"timestamp": iso(START_MS + 6_600_000), "values": {"temperature": 11}}]
                }
            }
        ]
        assert await place.rest.send("POST", f"{base}/last") == last

    async def test_last_may_be_before_a_date(self, place: Place, climate: Thing) -> None:
        assert await place.rest.last(climate, beforeDate=START_MS + HOUR_MS) == {"climate": {"temperature": 5}}
        assert await place.rest.last(climate, beforeDate=START_MS) == {}

    async def test_where_there_is_nothing_there_is_an_empty_list(self, place: Place, climate: Thing) -> None:
        assert await place.rest.points(climate, "weather") == []
        base = f"/epts/api/v1/applications/{climate.application}/time-series"
        nobody = {"endpointId": "nobody", "timeSeriesName": "climate", "fromDate": 0, "toDate": "now"}
        assert await place.rest.get(f"{base}/data", **nobody) == []
        missing = "/epts/api/v1/applications/nothing/time-series/last"
        assert (await place.rest.call("GET", missing)).status == 404

    @pytest.mark.parametrize(
        "params",
        [
            {"fromDate": "now", "toDate": "now-1d"},
            {"fromDate": "yesterday"},
            {"limit": -1},
            {"sort": "UP"},
            {"includeTime": "all"},
            {"period": "often"},
            {"aggregate": "median", "period": "1h"},
            {"period": "1ms"},
        ],
    )
    async def test_a_question_that_is_wrong_is_told_so(
        self, place: Place, climate: Thing, params: dict[str, Any]
    ) -> None:
        asked = {"timeSeriesName": "climate", "fromDate": 0, "toDate": "now"} | params
        path = f"/epts/api/v1/applications/{climate.application}/time-series/data"
        reply = await place.rest.call("GET", path, params=asked)
        assert (reply.status, " " in reply.json["message"]) == (400, True)

    async def test_many_points_are_streamed_while_messages_go_on(self, place: Place, wire: Wire) -> None:
        thing = await place.rest.thing(await place.rest.application(CLIMATE))
        for part in range(20):
            samples = [{"at": START_MS + n, "room": {"temperature": n}} for n in range(part * 1000, part * 1000 + 1000)]
            assert (await told(wire, thing, json.dumps(samples).encode()))[0] == 200
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(temperatures(place, thing))
            for _ in range(20):
                assert (await told(wire, thing, b'{"x": 1}'))[0] == 200
        assert reading.result() == list(range(20_000))


class TestEditing:
    async def test_points_may_be_written(self, place: Place, climate: Thing) -> None:
        path = f"/epts/api/v1/app-versions/{climate.version}/time-series/data"
        point = {"timestamp": iso(START_MS), "values": {"temperature": -1, "note": "checked"}}
        await place.rest.send("PUT", path, {climate.endpoint_id: {"climate": [point]}})
        [first] = await place.rest.points(climate, "climate", limit=1)
        assert first == point
        for body, status in (
            ({"nobody": {"climate": [point]}}, 404),
            ({climate.endpoint_id: {"climate": [{"timestamp": "soon", "values": {"x": 1}}]}}, 400),
            ({climate.endpoint_id: {"climate": [{"timestamp": "now", "values": {}}]}}, 400),
            ({climate.endpoint_id: {"climate": [{"timestamp": "now", "values": {"time": 1}}]}}, 400),
        ):
            assert (await place.rest.call("PUT", path, body)).status == status

    async def test_points_of_a_window_may_be_deleted(self, place: Place, climate: Thing) -> None:
        path = f"/epts/api/v1/applications/{climate.application}/time-series/data"
        window = {"fromDate": START_MS + 600_000, "toDate": START_MS + HOUR_MS}
        reply = await place.rest.call(
            "DELETE", path, params={"timeSeriesName": "climate", "endpointId": climate.endpoint_id, **window}
        )
        assert (reply.status, reply.data) == (204, b"")
        assert await temperatures(place, climate) == [0, 6, 7, 8, 9, 10, 11]
        assert (await place.rest.call("DELETE", path)).status == 400, "which series must be said"

    async def test_a_series_may_be_deleted_and_begins_anew(self, place: Place, wire: Wire) -> None:
        thing = await place.rest.thing()
        await told(wire, thing, b'{"x": 1, "y": 2}')
        path = f"/epts/api/v1/applications/{thing.application}/time-series/auto~x"
        assert (await place.rest.call("DELETE", path)).status == 204
        assert await place.rest.last(thing) == {"auto~y": {"value": 2}}
        assert (await place.rest.call("DELETE", path)).status == 404
        await told(wire, thing, b'{"x": 3}')
        assert await place.rest.values(thing, "auto~x") == [3]

    async def test_an_endpoint_that_is_deleted_may_send_no_more(self, place: Place, connect: Connect) -> None:
        thing = await place.rest.thing()
        other = await place.rest.thing(thing.application)
        wire = await connect(Wire(place.mqtt, V5))
        assert (await told(wire, other, b'{"x": 1}'))[0] == 200
        assert (await told(wire, thing, b'{"x": 1}'))[0] == 200
        await place.rest.send("DELETE", f"/epr/api/v1/endpoints/{thing.endpoint_id}")

        async def is_refused() -> bool:
            return (await told(wire, thing, b'{"x": 2}'))[0] in {401, 403}

        await until(is_refused)


async def test_a_device_moves_to_the_version_that_it_speaks(place: Place, wire: Wire) -> None:
    thing = await place.rest.thing()
    await place.rest.send("POST", f"/tekton/api/v1/applications/{thing.application}/app-versions", {"nameSuffix": "v2"})
    moved = Thing(thing.application, f"{thing.application}-v2", thing.endpoint_id, thing.token)

    async def is_taken() -> bool:
        return (await told(wire, moved, b'{"x": 1}'))[0] == 200

    await until(is_taken)

    async def has_moved() -> bool:
        found = await place.rest.get(f"/epr/api/v1/endpoints/{thing.endpoint_id}")
        return bool(found["appVersion"]["name"] == moved.version)

    await until(has_moved)
    assert await place.rest.values(thing, "auto~x") != []
