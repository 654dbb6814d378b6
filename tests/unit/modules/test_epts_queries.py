"""EPTS over REST: the exact layout, windows, sorting, CSV, spans; points written and deleted by hand."""

import asyncio
import json
import random  # noqa: TID251  seeded: its numbers are always the same
from collections import defaultdict
from typing import Any

import pytest
from fakes.clock import START_MS
from house import House
from telemetry import API, Telemetry

from kaa.modules.epts.queries import iso
from kaa.modules.epts.repository import reading

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
DATA = f"{API}/applications/home/time-series/data"
LAST = f"{API}/applications/home/time-series/last"


def at(ms: int) -> str:
    """The time so many milliseconds after now, as REST writes it."""
    return iso(START_MS + ms)


class TestLayout:
    async def test_data_to_the_byte(self, house: House) -> None:
        epts = await Telemetry(house).start()
        await epts.put("t", (START_MS, 21.5), (START_MS + 1, None))
        await epts.put("t", (START_MS, True), endpoint="dev-2")
        await epts.put("place", (START_MS, {"lat": 1, "lon": -2.25}))
        params = {"timeSeriesName": "t,place", "fromDate": START_MS, "toDate": "now+1h"}
        reply = await house.call("GET", DATA, params=params)
        assert reply.headers["Content-Type"] == "application/json"
        assert reply.data == (
            b'[{"dev-1":{'
            b'"place":[{"timestamp":"2025-11-24T16:00:00.000Z","values":{"lat":1,"lon":-2.25}}],'
            b'"t":[{"timestamp":"2025-11-24T16:00:00.000Z","values":{"value":21.5}},'
            b'{"timestamp":"2025-11-24T16:00:00.001Z","values":{"value":null}}]}},'
            b'{"dev-2":{"t":[{"timestamp":"2025-11-24T16:00:00.000Z","values":{"value":true}}]}}]'
        )

    async def test_last_to_the_byte(self, house: House) -> None:
        epts = await Telemetry(house).start()
        await epts.put("t", (START_MS, 21.5), (START_MS + 1, "x"))
        await epts.put("t", (START_MS, False), endpoint="dev-2")
        await epts.put("u", (START_MS, 1))
        reply = await house.call("GET", LAST)
        assert reply.headers["Content-Type"] == "application/json"
        assert reply.data == (
            b'[{"dev-1":{"t":[{"timestamp":"2025-11-24T16:00:00.001Z","values":{"value":"x"}}],'
            b'"u":[{"timestamp":"2025-11-24T16:00:00.000Z","values":{"value":1}}]}},'
            b'{"dev-2":{"t":[{"timestamp":"2025-11-24T16:00:00.000Z","values":{"value":false}}]}}]'
        )

    async def test_where_there_is_nothing_the_array_is_empty(self, house: House) -> None:
        epts = await Telemetry(house).start()
        assert await epts.data("t") == []
        assert await epts.last() == []
        await epts.put("t", (START_MS, 1))
        assert await epts.data("other") == []
        assert await epts.data("t", endpointId="dev-9") == []
        assert await epts.data("t", end=START_MS) == []
        assert await epts.last(endpointId="dev-9") == []
        assert await epts.last(app="garden") == []

    async def test_config_names_series_and_their_values(self, house: House) -> None:
        names = {"place": {"values": [{"path": "lat", "name": "lat"}, {"path": "lon", "name": "lon"}]}}
        version = {"time-series": {"names": {"of_v2": {"values": [{"path": "x"}]}}}}
        settings = {"home": {"time-series": {"names": names}}, "home-v2": version}
        epts = await Telemetry(house).start(settings=settings)
        await epts.send('{"t": 1}')
        await epts.put("place", (START_MS, {"alt": 5}))
        path = f"{API}/time-series/config"
        home = [
            {"name": "auto~t", "values": ["value"]},
            {"name": "of_v2", "values": ["value"]},
            {"name": "place", "values": ["lat", "lon", "alt"]},
        ]
        assert await house.get(path) == {"garden": [], "home": home}
        assert await house.get(path, applicationNames="home,nowhere") == {"home": home, "nowhere": []}
        both = [("applicationNames", "garden"), ("applicationNames", "home")]
        assert (await house.call("GET", path, params=both)).json == {"garden": [], "home": home}

    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_an_unknown_application_is_not_found(self, house: House, method: str) -> None:
        await Telemetry(house).start()
        body = {"timeSeriesNames": ["t"], "fromDate": 0, "toDate": 1} if method == "POST" else None
        params = None if body else {"timeSeriesName": "t", "fromDate": 0, "toDate": 1}
        for what in ("data", "last"):
            sent = {key: body[key] for key in ("timeSeriesNames",)} if body and what == "last" else body
            reply = await house.call(method, f"{API}/applications/nowhere/time-series/{what}", sent, params=params)
            assert reply.status == 404
            assert "nowhere" in reply.message

    async def test_all_of_it_wants_a_key(self, house: House) -> None:
        await Telemetry(house).start()
        for path in (DATA, LAST, f"{API}/time-series/config"):
            assert (await house.call("GET", path, has_key=False)).status == 401


class TestLast:
    async def test_names_and_endpoints_narrow_it_repeated_or_with_commas(self, house: House) -> None:
        epts = await Telemetry(house).start()
        for endpoint in ("dev-1", "dev-2", "dev-3"):
            for series in ("a", "b", "c"):
                await epts.put(series, (START_MS, 1), endpoint=endpoint)

        def shape(found: Any) -> dict[str, list[str]]:
            return {endpoint: list(series) for element in found for endpoint, series in element.items()}

        wanted = {"dev-1": ["a", "c"], "dev-3": ["a", "c"]}
        assert shape(await epts.last(timeSeriesName="a,c", endpointId="dev-1,dev-3")) == wanted
        repeated = [("timeSeriesName", "a"), ("timeSeriesName", "c"), ("endpointId", "dev-3"), ("endpointId", "dev-1")]
        assert shape((await house.call("GET", LAST, params=repeated)).json) == wanted
        body = {"timeSeriesNames": ["a", "c"], "endpointIDs": ["dev-1", "dev-3"]}
        assert shape((await house.call("POST", LAST, body)).json) == wanted
        body = {"timeSeriesNames": ["a", "c"], "endpointIds": ["dev-1", "dev-3"]}
        assert shape((await house.call("POST", LAST, body)).json) == wanted
        assert len(shape((await house.call("POST", LAST)).json)) == 3

    async def test_offset_and_limit_count_endpoints(self, house: House) -> None:
        epts = await Telemetry(house).start()
        for endpoint in ("dev-1", "dev-2", "dev-3"):
            await epts.put("a", (START_MS, 1), endpoint=endpoint)
            await epts.put("b", (START_MS, 1), endpoint=endpoint)

        async def endpoints(**body: Any) -> list[str]:
            reply = await house.call("POST", LAST, body)
            return [endpoint for element in reply.json for endpoint in element]

        assert await endpoints(limit=2) == ["dev-1", "dev-2"]
        assert await endpoints(offset=1, limit=1) == ["dev-2"]
        assert await endpoints(offset=2) == ["dev-3"]
        assert await endpoints(offset=3) == []
        assert await endpoints(limit=0) == []

    async def test_before_date_leaves_out_what_is_at_it_or_later(self, house: House) -> None:
        epts = await Telemetry(house).start()
        old = START_MS - 30 * DAY_MS
        await epts.put("t", (old, "old"), (START_MS, "now"), (START_MS + 1, "later"))
        for before, value in (
            (START_MS + 2, "later"),
            (START_MS + 1, "now"),
            ("2025-11-24T16:00:00.001Z", "now"),
            (START_MS, "old"),
            ("now-7d", "old"),
        ):
            found = await epts.last(beforeDate=before)
            assert found[0]["dev-1"]["t"][0]["values"] == {"value": value}
        assert await epts.last(beforeDate=old) == []
        reply = await house.call("POST", LAST, {"beforeDate": START_MS})
        assert reply.json[0]["dev-1"]["t"][0]["values"] == {"value": "old"}

    async def test_the_last_point_has_only_the_values_of_its_own_time(self, house: House) -> None:
        epts = await Telemetry(house).start()
        await epts.put("p", (START_MS, {"a": 1, "b": 1}), (START_MS + 5, {"b": 2, "c": 2}), (START_MS + 3, {"a": 3}))
        assert await epts.last() == [{"dev-1": {"p": [{"timestamp": at(5), "values": {"b": 2, "c": 2}}]}}]


class TestWindow:
    @pytest.mark.parametrize(
        ("include", "values"), [(None, [0, 1]), ("from", [0, 1]), ("to", [1, 2]), ("both", [0, 1, 2]), ("none", [1])]
    )
    async def test_include_time_says_which_borders_count(
        self, house: House, include: str | None, values: list[int]
    ) -> None:
        epts = await Telemetry(house).start()
        await epts.put("t", *[(START_MS + n, n) for n in range(-1, 4)])
        more = {"includeTime": include} if include else {}
        assert await epts.values("t", start=START_MS, end=START_MS + 2, **more) == values

    async def test_a_time_of_receipt_counts_by_the_millisecond_that_is_shown(self, house: House) -> None:
        epts = await Telemetry(house).start()
        await epts.send('{"n": 1}')
        shown = START_MS
        assert await epts.values("auto~n", start=shown, end=shown, includeTime="both") == [1]
        assert await epts.values("auto~n", start=shown, end=shown + 1) == [1]
        assert await epts.values("auto~n", start=shown - 1, end=shown) == []
        assert await epts.values("auto~n", start=shown - 1, end=shown, includeTime="to") == [1]
        assert await epts.values("auto~n", start=shown, end=shown + 1, includeTime="none") == []

    async def test_sort_and_limit(self, house: House) -> None:
        epts = await Telemetry(house).start()
        await epts.put("t", *[(START_MS + n * 3 * DAY_MS, n) for n in range(6)])
        assert await epts.values("t") == [0, 1, 2, 3, 4, 5]
        assert await epts.values("t", sort="DESC") == [5, 4, 3, 2, 1, 0]
        assert await epts.values("t", limit=4) == [0, 1, 2, 3]
        assert await epts.values("t", limit=4, sort="DESC") == [5, 4, 3, 2]
        assert await epts.data("t", limit=0) == []

    async def test_many_points_over_pieces_and_files_come_once_and_in_order(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading, "_CHUNK", 7)
        house.period_ms = HOUR_MS
        epts = await Telemetry(house).start()
        dice = random.Random(4)
        times = sorted(dice.sample(range(0, 5 * HOUR_MS, 50_000), 200))
        await epts.put("t", *[(START_MS + time, time) for time in times])
        await epts.put(
            "p", *[(START_MS + t, {"a": t} if t % 3 else {"a": t, "b": -t}) for t in times], endpoint="dev-2"
        )
        assert len(epts.files()) > 4
        assert await epts.values("t") == times
        assert await epts.values("t", sort="DESC") == times[::-1]
        assert [v["a"] for v in await epts.values("p")] == times
        assert [v.get("b") for v in await epts.values("p", sort="DESC")] == [None if t % 3 else -t for t in times[::-1]]
        for start, end in ((0, HOUR_MS), (HOUR_MS - 1, HOUR_MS + 1), (times[50], times[150])):
            inside = [time for time in times if start <= time < end]
            assert await epts.values("t", start=START_MS + start, end=START_MS + end) == inside
        csv = await epts.csv("t,p")
        assert len(csv.splitlines()) == 1 + len(times) + sum(2 - bool(t % 3) for t in times)

    async def test_a_body_says_the_same_as_a_query(self, house: House) -> None:
        epts = await Telemetry(house).start()
        await epts.put("t", *[(START_MS + n, n) for n in range(4)])
        body = {
            "timeSeriesNames": ["t"],
            "fromDate": START_MS,
            "toDate": at(2),
            "includeTime": "both",
            "sort": "DESC",
            "limit": 2,
            "endpointIDs": ["dev-1"],
        }
        reply = await house.call("POST", DATA, body)
        assert [point["values"]["value"] for point in reply.json[0]["dev-1"]["t"]] == [2, 1]

    @pytest.mark.parametrize(
        ("wrong", "place"),
        [
            ({"timeSeriesName": None}, "timeSeriesName"),
            ({"fromDate": None}, "fromDate"),
            ({"toDate": None}, "toDate"),
            ({"fromDate": "yesterday"}, "fromDate"),
            ({"toDate": "2025-13-01T00:00:00Z"}, "toDate"),
            ({"includeTime": "some"}, "includeTime"),
            ({"sort": "asc"}, "sort"),
            ({"limit": "-1"}, "limit"),
            ({"limit": "x"}, "limit"),
            ({"period": "often"}, "period"),
            ({"period": "0"}, "period"),
            ({"period": "1ms"}, "period"),
            ({"period": "1h", "aggregate": "median"}, "aggregate"),
            ({"fromDate": str(START_MS + 1), "toDate": str(START_MS)}, "fromDate"),
        ],
    )
    async def test_what_is_wrong_is_refused_by_name(self, house: House, wrong: dict[str, Any], place: str) -> None:
        await Telemetry(house).start()
        params = {"timeSeriesName": "t", "fromDate": 0, "toDate": "now"} | wrong
        reply = await house.call("GET", DATA, params={key: value for key, value in params.items() if value is not None})
        assert reply.status == 400
        assert place in reply.message


class TestCsv:
    async def test_a_line_a_value(self, house: House) -> None:
        epts = await Telemetry(house).start()
        await epts.put("t", (START_MS, 21.5), (START_MS + 1, 'it\'s "so", ü'), (START_MS + 2, None))
        await epts.put("p", (START_MS, {"a": 1, "b": True}), endpoint="dev-2")
        assert await epts.csv("t,p") == (
            "endpointId,timeSeriesName,timestamp,valueName,value\n"
            f"dev-1,t,{at(0)},value,21.5\n"
            f'dev-1,t,{at(1)},value,"it\'s ""so"", ü"\n'
            f"dev-1,t,{at(2)},value,\n"
            f"dev-2,p,{at(0)},a,1\n"
            f"dev-2,p,{at(0)},b,true\n"
        )
        assert (await epts.csv("nothing")).count("\n") == 1


class TestSpans:
    async def test_spans_begin_at_multiples_of_the_period(self, house: House) -> None:
        epts = await Telemetry(house).start()
        values = [(0, 1), (299_999, 3), (300_000, 10), (1_200_000, -1)]
        await epts.put("t", *[(START_MS + ms, value) for ms, value in values])
        expected = {
            "avg": [2.0, 10.0, -1.0],
            "min": [1, 10, -1],
            "max": [3, 10, -1],
            "sum": [4.0, 10.0, -1.0],
            "count": [2, 1, 1],
            "first": [1, 10, -1],
            "last": [3, 10, -1],
        }
        for aggregate, listed in expected.items():
            for period in ("5m", "300s", "PT5M", "300000"):
                found = await epts.data("t", START_MS, START_MS + DAY_MS, period=period, aggregate=aggregate)
                points = found[0]["dev-1"]["t"]
                assert [p["timestamp"] for p in points] == [at(0), at(300_000), at(1_200_000)]
                assert [p["values"]["value"] for p in points] == listed
        assert [
            p["values"]["value"]
            for p in (await epts.data("t", START_MS, START_MS + DAY_MS, period="5m"))[0]["dev-1"]["t"]
        ] == [2, 10, -1]
        found = await epts.data("t", START_MS, START_MS + DAY_MS, period="5m", sort="DESC", limit=2)
        assert [p["timestamp"] for p in found[0]["dev-1"]["t"]] == [at(1_200_000), at(300_000)]

    async def test_what_is_no_number_does_not_count(self, house: House) -> None:
        epts = await Telemetry(house).start()
        await epts.put("t", (START_MS, "x"), (START_MS + 1, True), (START_MS + 2, None), (START_MS + 3, 5))
        found = await epts.data("t", START_MS, START_MS + DAY_MS, period="1h", aggregate="count")
        assert found == [{"dev-1": {"t": [{"timestamp": at(0), "values": {"value": 1}}]}}]
        assert await epts.data("t", START_MS, START_MS + 3, period="1h") == []

    async def test_across_files_they_are_what_a_naive_sum_gives(self, house: House) -> None:
        house.period_ms = HOUR_MS
        epts = await Telemetry(house).start()
        dice = random.Random(5)
        points = {time: dice.randint(-50, 50) for time in dice.sample(range(0, 6 * HOUR_MS, 1000), 150)}
        await epts.put("t", *[(START_MS + time, value) for time, value in points.items()])
        span = 5 * HOUR_MS // 2
        spans: dict[int, list[int]] = defaultdict(list)
        for time in sorted(points):
            spans[(START_MS + time) // span * span].append(points[time])
        for aggregate, of in (("sum", sum), ("max", max), ("count", len), ("first", lambda v: v[0])):
            found = (await epts.data("t", START_MS, START_MS + DAY_MS, period=str(span), aggregate=aggregate))[0][
                "dev-1"
            ]["t"]
            assert [(p["timestamp"], p["values"]["value"]) for p in found] == [
                (iso(start), of(listed)) for start, listed in sorted(spans.items())
            ]

    async def test_a_sum_that_no_double_holds_is_null(self, house: House) -> None:
        epts = await Telemetry(house).start()
        await epts.put("t", (START_MS, 1.5e308), (START_MS + 1, 1.5e308))
        found = await epts.data("t", START_MS, START_MS + DAY_MS, period="1h", aggregate="sum")
        assert found == [{"dev-1": {"t": [{"timestamp": at(0), "values": {"value": None}}]}}]

    async def test_too_many_of_them_are_refused(self, house: House) -> None:
        epts = await Telemetry(house).start()
        params = {"timeSeriesName": "t", "fromDate": START_MS, "toDate": START_MS + 200_000, "period": "1ms"}
        assert (await house.call("GET", DATA, params=params)).status == 400
        assert await epts.data("t", start=START_MS, end=START_MS + 90_000, period="1ms") == []


class TestPut:
    async def test_it_stores_and_says_200(self, house: House) -> None:
        epts = await Telemetry(house).start()
        body = {
            "dev-1": {"t": [{"timestamp": "2025-11-24T18:00:00.123+0200", "values": {"value": 1, "note": "x"}}]},
            "dev-2": {"t": [{"timestamp": START_MS, "values": {"value": 2}}], "u": []},
        }
        reply = await epts.put_all(body)
        assert (reply.status, reply.data) == (200, b"")
        assert await epts.data("t") == [
            {"dev-1": {"t": [{"timestamp": at(123), "values": {"note": "x", "value": 1}}]}},
            {"dev-2": {"t": [{"timestamp": at(0), "values": {"value": 2}}]}},
        ]
        assert (await epts.put_all({})).status == 200

    async def test_a_second_point_of_the_same_time_merges(self, house: House) -> None:
        epts = await Telemetry(house).start()
        await epts.put("p", (START_MS, {"a": 1, "b": 1}))
        await epts.put("p", (START_MS, {"b": 2, "c": 2}))
        assert (await epts.data("p"))[0]["dev-1"]["p"] == [{"timestamp": at(0), "values": {"a": 1, "b": 2, "c": 2}}]

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({"dev-9": {"t": [{"timestamp": 1, "values": {"value": 1}}]}}, 404),
            ({"plant-1": {"t": [{"timestamp": 1, "values": {"value": 1}}]}}, 404),
            ({"dev-1": {"a b": [{"timestamp": 1, "values": {"value": 1}}]}}, 400),
            ({"dev-1": {"": [{"timestamp": 1, "values": {"value": 1}}]}}, 400),
            ({"dev-1": {"t": [{"timestamp": 1, "values": {"a,b": 1}}]}}, 400),
            ({"dev-1": {"t": [{"timestamp": 1, "values": {"time": 1}}]}}, 400),
            ({"dev-1": {"t": [{"timestamp": 1, "values": {}}]}}, 400),
            ({"dev-1": {"t": [{"timestamp": 1, "values": {"value": [1]}}]}}, 400),
            ({"dev-1": {"t": [{"timestamp": 1, "values": {"value": 10**309}}]}}, 400),
            ({"dev-1": {"t": [{"timestamp": "soon", "values": {"value": 1}}]}}, 400),
            ({"dev-1": {"t": [{"timestamp": "1969-12-31T00:00:00Z", "values": {"value": 1}}]}}, 400),
            ({"dev-1": {"t": [{"timestamp": "now+2y", "values": {"value": 1}}]}}, 400),
            ({"dev-1": {"t": [{"values": {"value": 1}}]}}, 400),
            ({"dev-1": {"t": [{"timestamp": 1, "values": {"value": 1}, "more": 1}]}}, 400),
            ([{"dev-1": {"t": []}}], 400),
        ],
        ids=lambda found: json.dumps(found)[:60],
    )
    async def test_all_is_checked_before_anything_is_stored(self, house: House, body: Any, status: int) -> None:
        epts = await Telemetry(house).start()
        if isinstance(body, dict):
            body = {"dev-2": {"t": [{"timestamp": START_MS, "values": {"value": 1}}]}} | body
        reply = await epts.put_all(body)
        assert (reply.status, bool(reply.message)) == (status, True)
        assert epts.files() == []

    @pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b'"\\ud800"'])
    async def test_a_number_that_is_none_is_refused(self, house: House, number: bytes) -> None:
        epts = await Telemetry(house).start()
        data = b'{"dev-1":{"t":[{"timestamp":1,"values":{"value":' + number + b"}}]}}"
        path = f"{API}/app-versions/home-v1/time-series/data"
        reply = await house.call("PUT", path, data=data, headers={"Content-Type": "application/json"})
        assert reply.status == 400
        assert epts.files() == []

    async def test_an_unknown_version_is_not_found(self, house: House) -> None:
        epts = await Telemetry(house).start()
        assert (await epts.put("t", (START_MS, 1), version="home-v9")).status == 404

    async def test_without_a_register_it_is_503(self, house: House) -> None:
        epts = await Telemetry(house).start(config={"register": "epr_of_another"})
        assert (await epts.put("t", (START_MS, 1))).status == 503


class TestDelete:
    async def test_the_points_of_a_window_go_and_nothing_else(self, house: House) -> None:
        epts = await Telemetry(house).start()
        for series, endpoint in (("t", "dev-1"), ("t", "dev-2"), ("u", "dev-1")):
            await epts.put(series, *[(START_MS + n * 4 * DAY_MS, n) for n in range(5)], endpoint=endpoint)
        params = {
            "timeSeriesName": "t",
            "endpointId": "dev-1",
            "fromDate": START_MS + 4 * DAY_MS,
            "toDate": START_MS + 12 * DAY_MS,
        }
        reply = await house.call("DELETE", DATA, params=params)
        assert (reply.status, reply.data) == (204, b"")
        assert await epts.values("t", endpointId="dev-1") == [0, 3, 4]
        assert await epts.values("t", endpointId="dev-2") == [0, 1, 2, 3, 4]
        assert await epts.values("u") == [0, 1, 2, 3, 4]
        await house.call("DELETE", DATA, params={"timeSeriesName": "t,u", "toDate": START_MS + 8 * DAY_MS})
        assert await epts.values("t", endpointId="dev-1") == [3, 4]
        assert await epts.values("t", endpointId="dev-2") == [2, 3, 4]
        assert await epts.values("u") == [2, 3, 4]
        await house.call("DELETE", DATA, params={"timeSeriesName": "t"})
        assert await epts.data("t") == []
        assert (await house.call("DELETE", DATA, params={"timeSeriesName": "t"})).status == 204

    async def test_more_than_fits_one_transaction(self, house: House) -> None:
        epts = await Telemetry(house).start()
        await epts.send(*[f'{{"n": {n}}}' for n in range(2300)])
        await epts.put("auto~n", (START_MS + 60_000, "stays"))
        params = {"timeSeriesName": "auto~n", "fromDate": START_MS, "toDate": START_MS + 60_000}
        assert (await house.call("DELETE", DATA, params=params)).status == 204
        assert await epts.values("auto~n") == ["stays"]

    async def test_what_is_wrong_is_refused(self, house: House) -> None:
        await Telemetry(house).start()
        assert (await house.call("DELETE", DATA)).status == 400
        assert (await house.call("DELETE", DATA, params={"timeSeriesName": "t", "fromDate": "x"})).status == 400
        wrong_way = {"timeSeriesName": "t", "fromDate": 5, "toDate": 4}
        assert (await house.call("DELETE", DATA, params=wrong_way)).status == 400
        nowhere = f"{API}/applications/nowhere/time-series/data"
        assert (await house.call("DELETE", nowhere, params={"timeSeriesName": "t"})).status == 404

    async def test_a_series_goes_with_its_name_and_can_come_again(self, house: House) -> None:
        epts = await Telemetry(house).start()
        await epts.send('{"n": 1, "m": 1}')
        await epts.send('{"n": 1}', endpoint_id="dev-2")
        path = f"{API}/applications/home/time-series/auto~n"
        assert (await house.call("DELETE", path)).status == 204
        assert await epts.data("auto~n") == []
        assert [s["name"] for s in (await house.get(f"{API}/time-series/config"))["home"]] == ["auto~m"]
        assert (await house.call("DELETE", path)).status == 404
        assert (await epts.send('{"n": 2, "m": 2}')).status_code == 200
        assert await epts.values("auto~n") == [2]
        assert await epts.values("auto~m") == [1, 2]
        assert len(epts.rows()) == 3

    async def test_points_that_arrive_while_a_series_is_deleted_are_kept_or_gone_but_never_refused(
        self, house: House
    ) -> None:
        epts = await Telemetry(house).start()
        await epts.send('{"n": 0}')
        path = f"{API}/applications/home/time-series/auto~n"
        deleting = asyncio.ensure_future(house.call("DELETE", path))  # noqa: TID251  beside what follows
        answers = []
        while not deleting.done():
            answers.append(await epts.send('{"n": 1}'))
        assert deleting.result().status == 204
        assert {answer.status_code for answer in answers} <= {200}
        await epts.send('{"n": 2}')
        assert (await epts.values("auto~n"))[-1] == 2
