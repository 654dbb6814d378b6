"""EPTS, the way in: what is stored, under which time, what is refused, and what is told."""

import asyncio
import math
from typing import Any

import pytest
from fakes.clock import START_MS
from house import House
from telemetry import APPLICATIONS, Telemetry
from waiting import until

from kaa.core.applications import Application, Version
from kaa.core.config.units import validate_written
from kaa.modules.epts.settings import EptsSettings
from kaa.protocols import tstp

NOW = "2025-11-24T16:00:00.000Z"
DAY_MS = 86_400_000
OWN_TIME = {"home": {"time-series": {"timestamp": {"path": "at"}}}}


def point(value: Any, at: str = NOW) -> dict[str, Any]:
    return {"timestamp": at, "values": {"value": value}}


class TestStoring:
    async def test_what_was_answered_with_200_can_be_read_and_lies_in_the_file(self, house: House) -> None:
        epts = await Telemetry(house).start()
        answer = await epts.send('{"temperature": 21.5, "humidity": 40}')
        assert (answer.status_code, answer.reason_phrase) == (200, None)
        assert answer.receiver_service_instance_name == "epts"
        assert len(epts.rows()) == 2
        assert await epts.last() == [
            {"dev-1": {"auto~humidity": [point(40)], "auto~temperature": [point(21.5)]}},
        ]

    async def test_a_burst_of_messages_is_answered_each(self, house: House) -> None:
        epts = await Telemetry(house).start()
        answers = await epts.send_all(*[[f'{{"n": {n}}}'] for n in range(1000)])
        assert {answer.status_code for answer in answers} == {200}
        assert await epts.values("auto~n") == list(range(1000))

    async def test_a_message_without_samples_or_without_numbers_is_a_success(self, house: House) -> None:
        epts = await Telemetry(house).start()
        answers = await epts.send_all([], ["{}"], ['"text"'], ["[1, 2]"], ['{"a b": 1, "s": "x"}'])
        assert [answer.status_code for answer in answers] == [200] * 5
        assert epts.files() == []

    async def test_of_several_instances_each_keeps_its_own(self, house: House) -> None:
        from kaa.modules.epts.module import MODULE as EPTS

        epts = await Telemetry(house).start()
        await house.start(EPTS, name="epts_slow", config={"transmitters": ["dcx"]}, applications=APPLICATIONS)
        await epts.send('{"t": 1}')
        await until(lambda: list((house.directory / "epts_slow").glob("*.db")))

        async def is_stored() -> bool:
            return await epts.values("auto~t") == [1]

        await until(is_stored)

    async def test_an_endpoint_that_was_registered_again_elsewhere_has_its_series_there(self, house: House) -> None:
        epts = await Telemetry(house).start()
        await epts.send('{"t": 1}')
        await epts.send('{"t": 2}', app_version_name="garden-v1")
        await epts.send('{"t": 3}')
        assert await epts.values("auto~t") == [1, 3]
        assert await epts.values("auto~t", app="garden") == [2]


class TestTimeOfReceipt:
    async def test_it_is_in_microseconds_strictly_increasing_and_never_a_whole_millisecond(self, house: House) -> None:
        epts = await Telemetry(house).start()
        samples = [f'{{"n": {n}}}' for n in range(2500)]
        answers = await epts.send_all(samples[:1200], samples[1200:1201], samples[1201:2400], samples[2400:])
        assert [answer.status_code for answer in answers] == [200] * 4
        times = [at_us for _, at_us, _ in epts.rows()]
        assert len(times) == len(set(times)) == 2500
        assert [value for _, _, value in sorted(epts.rows(), key=lambda row: row[1])] == list(range(2500))
        assert all(at_us % 1000 for at_us in times)
        assert min(times) > START_MS * 1000
        assert await epts.values("auto~n") == list(range(2500))

    async def test_it_goes_on_after_a_restart_even_if_the_clock_went_back(self, house: House) -> None:
        epts = await Telemetry(house).start()
        await epts.send(*['{"n": 1}'] * 5)
        before = max(at_us for _, at_us, _ in epts.rows())
        await house.restart()
        house.clock.set(START_MS - 3 * DAY_MS)
        epts = await Telemetry(house).start()
        await epts.send('{"n": 2}', '{"n": 3}')
        times = sorted(at_us for _, at_us, _ in epts.rows())
        assert times[-3] == before < times[-2] < times[-1]
        assert await epts.values("auto~n") == [1] * 5 + [2, 3]

    async def test_it_goes_on_where_only_old_times_of_their_own_were_stored_since(self, house: House) -> None:
        settings = {"home-v2": {"time-series": {"timestamp": {"path": "at"}}}}
        epts = await Telemetry(house).start(settings=settings)
        await epts.send('{"n": 1}')
        await epts.send(f'{{"n": 0, "at": {START_MS - 100 * DAY_MS}}}', app_version_name="home-v2")
        before = max(at_us for _, at_us, _ in epts.rows())
        await house.restart()
        house.clock.set(START_MS - DAY_MS)
        epts = await Telemetry(house).start(settings=settings)
        await epts.send('{"n": 2}')
        assert max(at_us for _, at_us, _ in epts.rows()) > before

    async def test_a_sample_with_a_time_of_its_own_never_meets_it(self, house: House) -> None:
        epts = await Telemetry(house).start(settings=OWN_TIME)
        await epts.send('{"n": 1}', f'{{"n": 2, "at": {START_MS}}}', '{"n": 3}')
        assert await epts.values("auto~n") == [2, 1, 3]

    async def test_rest_shows_milliseconds(self, house: House) -> None:
        epts = await Telemetry(house).start()
        await epts.send('{"n": 1}', '{"n": 2}')
        assert await epts.data("auto~n") == [{"dev-1": {"auto~n": [point(1), point(2)]}}]


class TestTimeOfItsOwn:
    async def test_it_is_kept_and_the_later_value_of_the_same_name_wins(self, house: House) -> None:
        names = {
            "place": {"values": [{"path": "lat", "name": "lat"}, {"path": "lon", "name": "lon"}]},
        }
        settings = {"home": {"time-series": {"auto-extract": False, "names": names, "timestamp": {"path": "at"}}}}
        epts = await Telemetry(house).start(settings=settings)
        first = f'{{"at": {START_MS - 5}, "lat": 1, "lon": 2}}'
        again = f'{{"at": {START_MS - 5}, "lat": 3}}'
        await epts.send(first)
        await epts.send(again)
        at = "2025-11-24T15:59:59.995Z"
        merged = [{"dev-1": {"place": [{"timestamp": at, "values": {"lat": 3, "lon": 2}}]}}]
        assert await epts.data("place") == merged
        await epts.send(f'{{"at": {START_MS - 5}, "lat": 4}}', f'{{"at": {START_MS - 5}, "lat": 5, "lon": null}}')
        merged[0]["dev-1"]["place"][0]["values"] = {"lat": 5, "lon": None}
        assert await epts.data("place") == merged

    async def test_an_old_one_goes_into_the_file_of_its_period(self, house: House) -> None:
        epts = await Telemetry(house).start(settings=OWN_TIME)
        weeks = [START_MS - 7 * DAY_MS * n for n in (0, 1, 10, 2)]
        answer = await epts.send(*[f'{{"n": {at}, "at": {at}}}' for at in weeks])
        assert answer.status_code == 200
        assert epts.files() == [
            "20250911T0000-20250918T0000.db",
            "20251106T0000-20251113T0000.db",
            "20251113T0000-20251120T0000.db",
            "20251120T0000-20251127T0000.db",
        ]
        assert await epts.values("auto~n") == sorted(weeks)

    async def test_one_that_is_more_than_a_year_ahead_is_refused(self, house: House) -> None:
        epts = await Telemetry(house).start(settings=OWN_TIME)
        near, far = START_MS + 366 * DAY_MS, START_MS + 366 * DAY_MS + 1
        answers = await epts.send_all([f'{{"n": 1, "at": {near}}}'], [f'{{"n": 1, "at": {far}}}'])
        assert [answer.status_code for answer in answers] == [200, 400]
        assert "more than a year ahead" in answers[1].reason_phrase

    async def test_a_message_whose_times_lie_in_many_periods_is_refused(self, house: House) -> None:
        epts = await Telemetry(house).start(settings={"home": OWN_TIME["home"] | {"retention": "3650d"}})
        weeks = [f'{{"n": {n}, "at": {START_MS - n * 7 * DAY_MS}}}' for n in range(17)]
        answers = await epts.send_all(weeks, weeks[:16])
        assert [answer.status_code for answer in answers] == [400, 200]
        assert "send it in parts" in answers[0].reason_phrase

    async def test_where_it_must_be_there_a_sample_without_refuses_the_whole_message(self, house: House) -> None:
        timestamp = {"path": "at", "fallback-strategy": "fail"}
        epts = await Telemetry(house).start(settings={"home": {"time-series": {"timestamp": timestamp}}})
        answers = await epts.send_all([f'{{"n": 1, "at": {START_MS}}}', '{"n": 2}'], [f'{{"n": 3, "at": {START_MS}}}'])
        assert [answer.status_code for answer in answers] == [400, 200]
        assert await epts.values("auto~n") == [3]


class TestValues:
    async def test_numbers_are_kept_as_documented(self, house: House) -> None:
        epts = await Telemetry(house).start()
        numbers = ["0", "-1", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "1e308", "0.1"]
        await epts.send(*[f'{{"n": {number}}}' for number in numbers])
        found = await epts.values("auto~n")
        assert found == [0, -1, 2**63 - 1, -(2**63), 2.0**63, 1e308, 0.1]
        assert [type(value) for value in found] == [int, int, int, int, float, float, float]

    @pytest.mark.parametrize(
        "bad",
        ['{"n": NaN}', '{"n": Infinity}', '{"n": 1e999}', '{"n": "\\ud800"}', '{"n": ' + "9" * 400 + "}"]
        + ["[" * 100_000 + "]" * 100_000, '{"n": 1', "", b"\xff"],
        ids=lambda bad: str(bad)[:20],
    )
    async def test_one_bad_message_in_a_batch_refuses_one_message(self, house: House, bad: str | bytes) -> None:
        epts = await Telemetry(house).start()
        answers = await epts.send_all(['{"n": 1}'], ['{"n": 2}', bad], ['{"n": 3}'])
        assert [answer.status_code for answer in answers] == [200, 400, 200]
        assert answers[1].reason_phrase
        assert await epts.values("auto~n") == [1, 3]

    async def test_text_booleans_and_null_of_configured_series(self, house: House) -> None:
        names = {"s": {"values": [{"path": path, "name": path} for path in ("text", "yes", "one", "none")]}}
        epts = await Telemetry(house).start(settings={"home": {"time-series": {"auto-extract": False, "names": names}}})
        texts = [
            "",
            'it\'s "quoted"',
            "\u0000\u0001\u001f\u007f",
            "tab\tline\n",
            "Ünï😀",
            "\\",
            "</script>",
            "a,b;c",
            "true",
        ]
        from json import dumps, loads

        for text in texts:
            await epts.send(dumps({"text": text, "yes": True, "one": 1, "none": None}))
        found = [p["values"] for p in (await epts.data("s"))[0]["dev-1"]["s"]]
        assert found == [{"text": text, "yes": True, "one": 1, "none": None} for text in texts]
        assert all(type(values["yes"]) is bool and type(values["one"]) is int for values in found)
        last = (await epts.last())[0]["dev-1"]["s"][0]["values"]
        assert last == found[-1]
        assert loads(dumps(last)) == last

    async def test_an_endpoint_may_have_so_many_values_and_no_more(self, house: House) -> None:
        epts = await Telemetry(house).start(config={"max-values-per-endpoint": 3})
        answers = await epts.send_all(['{"a": 1, "b": 1, "c": 1}'], ['{"d": 1}'], ['{"a": 2, "d": 2}'], ['{"b": 3}'])
        assert [answer.status_code for answer in answers] == [200, 400, 400, 200]
        assert "3 values" in answers[1].reason_phrase
        assert (await epts.send('{"d": 1}', endpoint_id="dev-2")).status_code == 200
        assert await epts.values("auto~b") == [1, 3]
        config = await house.get("/epts/api/v1/time-series/config", applicationNames="home")
        assert [series["name"] for series in config["home"]] == ["auto~a", "auto~b", "auto~c", "auto~d"]

    async def test_more_endpoints_than_are_remembered_lose_nothing(self, house: House) -> None:
        epts = await Telemetry(house).start(config={"max-endpoints-remembered": 1000})

        def message(n: int) -> dict[str, Any]:
            return {"endpoint_id": f"e-{n:04d}", "data_samples": (b'{"n": 1}',)}

        for numbers in (range(500), range(500, 1000)):
            await epts.send_events(*map(message, numbers))
        # one batch of endpoints that are known and of new ones, which push the known ones out
        mixed = [*range(128), *range(1000, 1256), *range(256, 384)]
        answers = await epts.send_events(*map(message, mixed))
        assert {answer.status_code for answer in answers} == {200}
        assert len(epts.rows()) == 1000 + len(mixed)


class TestRefusals:
    async def test_an_unknown_application_version_is_refused(self, house: House) -> None:
        epts = await Telemetry(house).start()
        answers = await epts.send_events(
            {"data_samples": (b'{"n": 1}',), "app_version_name": "home-v9"}, {"data_samples": (b'{"n": 1}',)}
        )
        assert [answer.status_code for answer in answers] == [400, 200]

    async def test_at_the_reserve_telemetry_is_refused_with_507_and_rest_goes_on(self, house: House) -> None:
        epts = await Telemetry(house).start()
        await epts.send('{"n": 1}')
        house.budget._max_bytes = 1
        await house.budget.look()
        assert [a.status_code for a in await epts.send_all(['{"n": 2}'], ['{"n": 3}'])] == [507, 507]
        assert (await epts.put("auto~n", (START_MS, 4))).status == 507
        assert await epts.values("auto~n") == [1]
        house.budget._max_bytes = None
        await house.budget.look()
        assert (await epts.send('{"n": 5}')).status_code == 200
        assert await epts.values("auto~n") == [1, 5]

    async def test_where_the_disk_fails_nothing_is_acknowledged_and_nothing_told(self, house: House) -> None:
        epts = await Telemetry(house).start()
        told = await house.hear(tstp.data_points_received("epts"))
        (house.directory / "epts" / "20251120T0000-20251127T0000.db").mkdir()
        answers = await epts.send_all(['{"n": 1}'], ['{"n": 2}'])
        assert [answer.status_code for answer in answers] == [503, 503]
        (house.directory / "epts" / "20251120T0000-20251127T0000.db").rmdir()
        assert (await epts.send('{"n": 3}')).status_code == 200
        await until(lambda: told)
        assert [p.values for event in told for p in event.data_points] == [{"value": 3}]
        assert await epts.values("auto~n") == [3]


class TestSettings:
    async def test_a_version_has_settings_of_its_own_or_those_of_the_application(self, house: House) -> None:
        def one(path: str) -> dict[str, Any]:
            return {"time-series": {"auto-extract": False, "names": {"s": {"values": [{"path": path}]}}}}

        epts = await Telemetry(house).start(settings={"home": one("a"), "home-v2": one("b")})
        await epts.send('{"a": 1, "b": 2}')
        await epts.send('{"a": 1, "b": 2}', app_version_name="home-v2")
        await epts.send('{"a": 1, "b": 2}', app_version_name="garden-v1", endpoint_id="plant-1")
        assert await epts.values("s") == [1, 2]
        assert await epts.values("auto~b", app="garden") == [2]

    async def test_a_change_takes_effect_at_run_time(self, house: House) -> None:
        epts = await Telemetry(house).start()
        await epts.send('{"a": 1}')
        changed = validate_written(
            EptsSettings, {"time-series": {"auto-extract": False, "names": {"s": {"values": [{"path": "a"}]}}}}
        )
        versions = {"home-v1": Version("home-v1", "home", changed)}
        house.instances["epts"].applications.replace([Application("home", changed, versions)], only="home")
        await epts.send('{"a": 2}')
        assert await epts.values("auto~a") == [1]
        assert await epts.values("s") == [2]
        assert (await epts.send('{"a": 3}', app_version_name="home-v2")).status_code == 400

    async def test_tekton_s_word_arrives_too(self, house: House) -> None:
        from kaa.modules.tekton.module import MODULE as TEKTON

        await house.start(TEKTON)
        epts = await Telemetry(house).start(applications=None)
        await house.call("POST", "/tekton/api/v1/applications", {"name": "home"})
        await house.call("POST", "/tekton/api/v1/applications/home/app-versions", {"nameSuffix": "v1"})
        written = {"time-series": {"auto-extract": False, "names": {"s": {"values": [{"path": "a"}]}}}}
        envelope = {"epts": {"kaa": {"applications": {"home": written}}}}
        reply = await house.call("PUT", "/tekton/api/v1/app-configs/applications/home", envelope)
        assert reply.status < 300, reply

        async def is_stored() -> bool:
            await epts.send('{"a": 1}')
            return bool(await epts.data("s"))

        await until(is_stored)


class TestTold:
    async def test_points_are_told_by_endpoint_and_series(self, house: House) -> None:
        epts = await Telemetry(house).start(settings=OWN_TIME)
        heard = await house.hear(tstp.data_points_received("epts"))
        at = START_MS - 1000
        await epts.send(f'{{"t": 1.5, "n": 1, "at": {at}}}', '{"t": 2}')
        await until(lambda: len(heard) == 3)
        by_series = {event.time_series_name: event for event in heard}
        assert set(by_series) == {"auto~t", "auto~n", "auto~at"}
        event = by_series["auto~t"]
        assert (event.app_version_name, event.endpoint_id, event.timestamp_ms) == ("home-v1", "dev-1", START_MS)
        assert [(p.ingestion_timestamp_ms, p.timestamp_ms, p.values) for p in event.data_points] == [
            (START_MS, at, {"value": 1.5}),
            (START_MS, START_MS, {"value": 2}),
        ]
        assert len({event.correlation_id for event in heard}) == 3

    async def test_only_what_somebody_hears_is_told(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        epts = await Telemetry(house).start()
        published = []
        publish = house.bus.publish

        def noted(subject: Any, *args: Any, **more: Any) -> None:
            published.append(subject.name)
            publish(subject, *args, **more)

        monkeypatch.setattr(house.bus, "publish", noted)
        prefix = "kaa.v1.events.epts.endpoint.data-collection.data-points-received."
        await epts.send('{"a": 1, "b": 1}')
        assert [name for name in published if name.startswith(prefix)] == []
        heard = await house.hear(tstp.data_points_received("epts", "auto~b"))
        await epts.send('{"a": 2, "b": 2}')
        await until(lambda: heard)
        assert [name for name in published if name.startswith(prefix)] == [prefix + "auto~b"]

    async def test_a_refused_message_is_not_told(self, house: House) -> None:
        epts = await Telemetry(house).start()
        heard = await house.hear(tstp.data_points_received("epts"))
        await epts.send_all(['{"n": 1}'], ['{"n": 2}', "x"], ['{"n": 3}'])
        await until(lambda: heard)
        assert [p.values for event in heard for p in event.data_points] == [{"value": 1}, {"value": 3}]

    async def test_points_written_by_hand_are_told(self, house: House) -> None:
        epts = await Telemetry(house).start()
        heard = await house.hear(tstp.data_points_received("epts", "s"))
        assert (await epts.put("s", (START_MS, True), (START_MS + 1, "x"), (START_MS + 2, 2**64))).status == 200
        await until(lambda: heard)
        assert [(p.timestamp_ms, p.values) for p in heard[0].data_points] == [
            (START_MS, {"value": True}),
            (START_MS + 1, {"value": "x"}),
            (START_MS + 2, {"value": 2.0**64}),
        ]


class TestTimeSeriesOfOthers:
    async def ask(self, house: House, *points: Any, **fields: Any) -> Any:
        answers = await house.hear(self.reply_to, name=f"answers-{house.ids.short()}")
        subject = tstp.data_points_received("epl", fields.pop("subject_series", "connectivity"))
        common = {"app_version_name": "home-v1", "endpoint_id": "dev-1", "time_series_name": "connectivity"}
        made = tuple(tstp.DataPoint(timestamp_ms=at, values=values) for at, values in points)
        message = house.message(subject, data_points=made, **(common | fields))
        house.bus.publish(subject, message, reply_to=self.reply_to)
        await until(lambda: answers)
        return answers[0]

    @property
    def reply_to(self) -> Any:
        from kaa.core.subjects import Subject

        return Subject("kaa.v1.replica.epl-of-the-test.tstp.processed", tstp.TimeSeriesProcessed)

    async def test_they_are_stored_answered_and_told_again(self, house: House) -> None:
        epts = await Telemetry(house).start()
        told = await house.hear(tstp.data_points_received("epts", "connectivity"))
        values = {"state": "up", "since": 1.5, "n": 3, "good": True, "none": None}
        answer = await self.ask(house, (START_MS, values), (START_MS + 5, {"state": "down"}))
        assert answer.status_code == 200
        found = (await epts.data("connectivity"))[0]["dev-1"]["connectivity"]
        assert found == [
            {"timestamp": NOW, "values": values},
            {"timestamp": "2025-11-24T16:00:00.005Z", "values": {"state": "down"}},
        ]
        await until(lambda: told)
        assert [(p.timestamp_ms, p.values) for p in told[0].data_points] == [
            (START_MS, values),
            (START_MS + 5, {"state": "down"}),
        ]

    @pytest.mark.parametrize(
        ("values", "fields"),
        [
            ({"v": b"\x00"}, {}),
            ({"v": math.nan}, {}),
            ({"v": math.inf}, {}),
            ({"v": -math.inf}, {}),
            ({"a,b": 1}, {}),
            ({"time": 1}, {}),
            ({"": 1}, {}),
            ({"v": 1}, {"time_series_name": "it's"}),
            ({"v": 1}, {"time_series_name": ""}),
            ({"v": 1}, {"endpoint_id": "it's"}),
            ({"v": 1}, {"app_version_name": "home-v9"}),
        ],
        ids=repr,
    )
    async def test_what_cannot_be_kept_is_refused(self, house: House, values: Any, fields: Any) -> None:
        epts = await Telemetry(house).start()
        answer = await self.ask(house, (START_MS, values), **fields)
        assert answer.status_code in {400, 404}
        assert answer.reason_phrase
        assert epts.files() == []

    @pytest.mark.parametrize("at_ms", [-1, START_MS + 367 * DAY_MS, 2**62])
    async def test_a_time_that_cannot_be_kept_is_refused(self, house: House, at_ms: int) -> None:
        epts = await Telemetry(house).start()
        assert (await self.ask(house, (at_ms, {"v": 1}))).status_code == 400
        assert epts.files() == []

    async def test_points_of_who_is_no_transmitter_are_not_heard(self, house: House) -> None:
        epts = await Telemetry(house).start(config={"time-series-transmitters": []})
        house.publish(
            tstp.data_points_received("epl", "s"),
            app_version_name="home-v1",
            endpoint_id="dev-1",
            time_series_name="s",
            data_points=(tstp.DataPoint(timestamp_ms=START_MS, values={"v": 1}),),
        )
        for _ in range(20):
            await asyncio.sleep(0)
        assert (await epts.send('{"n": 1}')).status_code == 200
        assert len(epts.rows()) == 1
