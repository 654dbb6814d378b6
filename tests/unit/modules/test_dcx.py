"""DCX: from a payload to samples, told to all, and answered when every reliable receiver has them."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from fakes.clock import START_MS
from house import House
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import until

from kaa.core.errors import InvalidInput, NotFound
from kaa.modules.dcx.module import MODULE as DCX
from kaa.modules.dcx.samples import samples
from kaa.protocols import dstp, esp
from kaa.protocols.dstp import DataSamplesEvent, DataSamplesProcessed
from kaa.protocols.esp import ExtensionData

APPLICATIONS = {"home": ["home-v1"], "garden": ["garden-v1"]}
ANSWERED = dstp.data_samples_processed("replica-1")


def split(payload: bytes, path: str = "/json", *, is_relaxed: bool = False) -> tuple[bytes, ...]:
    return samples(path, payload, is_relaxed=is_relaxed)


class TestJson:
    @pytest.mark.parametrize(
        ("payload", "found"),
        [
            (b'{"t": 21.5}', (b'{"t": 21.5}',)),
            (b' \n{"t":1}\t', (b'{"t":1}',)),
            (b'[{"t": 1}, {"t" :2}]', (b'{"t": 1}', b'{"t" :2}')),
            (b' [1 , "a", null,true, [2], {}] ', (b"1", b'"a"', b"null", b"true", b"[2]", b"{}")),
            (b"[]", ()),
            (b"[ ]", ()),
            ('{"ü": "😀"}'.encode(), ('{"ü": "😀"}'.encode(),)),
            (b'{"a":1,"a":2}', (b'{"a":1,"a":2}',)),
        ],
    )
    def test_each_sample_is_the_text_that_the_device_wrote(self, payload: bytes, found: tuple[bytes, ...]) -> None:
        assert split(payload) == found

    @pytest.mark.parametrize(
        "payload",
        [b"", b" ", b"1", b'"text"', b"null", b"true", b"x", b"{", b"[", b"[1,]", b"[1 2]", b"{'a':1}", b'{"a":1}}']
        + [b'{"a":NaN}', b"[NaN]", b'{"a":Infinity}', b'{"a":-Infinity}', b'{"a":01}', b"[1]x", b"[1][2]", b"{}{}"]
        + [
            b'{"a":"\xff"}',
            b'["\xed\xa0\x80"]',
            b"\xef\xbb\xbf{}",
            b"[" * 100_000,
            b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
        ],
        ids=lambda payload: repr(payload[:20]),
    )
    def test_anything_else_is_refused_with_a_sentence(self, payload: bytes) -> None:
        with pytest.raises(InvalidInput) as error:
            split(payload)
        assert "payload" in error.value.reason

    @pytest.mark.parametrize(
        "path", ["/", "/jso", "/jsonx", "/json/", "/json/a", "/plain", "/plai/x", "/JSON", "//json"]
    )
    def test_another_resource_is_not_found(self, path: str) -> None:
        with pytest.raises(NotFound):
            split(b"{}", path)

    @pytest.mark.parametrize("path", ["/json", "/jsonx", "/json/", "/json/a/b"])
    def test_relaxed_paths_take_what_begins_like_it(self, path: str) -> None:
        assert split(b"[1]", path, is_relaxed=True) == (b"1",)
        with pytest.raises(NotFound):
            split(b"[1]", "/other", is_relaxed=True)

    @settings(deadline=None)
    @given(
        st.lists(
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.floats(allow_nan=False, allow_infinity=False)
                | st.text(),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                max_leaves=6,
            )
        )
    )
    def test_a_batch_comes_apart_into_what_it_was_made_of(self, found: list[Any]) -> None:
        for text in (json.dumps(found), json.dumps(found, ensure_ascii=False, indent=1)):
            try:
                payload = text.encode()
            except UnicodeEncodeError:
                continue
            assert [json.loads(sample) for sample in split(payload)] == found

    @settings(deadline=None)
    @given(st.binary(max_size=60), st.sampled_from(["/json", "/plain/x", "/plain/", "/"]))
    def test_any_bytes_are_samples_or_refused(self, payload: bytes, path: str) -> None:
        with suppress(InvalidInput, NotFound):
            assert all(type(sample) is bytes for sample in split(payload, path))


class TestPlain:
    @pytest.mark.parametrize(
        ("payload", "value", "unit"),
        [
            (b"2061", 2061, "number"),
            (b"47%", 47, "%"),
            (b"2061m", 2061, "m"),
            (b"-3.5C", -3.5, "C"),
            (b"+5", 5, "number"),
            (b".5", 0.5, "number"),
            (b"5.", 5.0, "number"),
            (b"1e3", 1000.0, "number"),
            (b"1E-3V", 0.001, "V"),
            (b" 21 \n", 21, "number"),
            ("21°C".encode(), 21, "°C"),
            (b"12m/s", 12, "m/s"),
            (b"0", 0, "number"),
        ],
    )
    def test_a_number_and_its_unit_become_a_sample(self, payload: bytes, value: float, unit: str) -> None:
        (sample,) = split(payload, "/plain/altitude")
        found = json.loads(sample)
        assert found == {"altitude-value": value, "altitude-unit": unit}
        assert type(found["altitude-value"]) is type(value)

    @pytest.mark.parametrize(
        "payload",
        [b"", b"abc", b"%47", b"NaN", b"inf", b"--1", b"1e999", b"\xff", b"1 \x00", b"1" + b"m" * 40, b"9" * 5000]
        + [b"1e" + b"9" * 5000, b"{}"],
        ids=lambda payload: repr(payload[:20]),
    )
    def test_anything_else_is_refused(self, payload: bytes) -> None:
        with pytest.raises(InvalidInput):
            split(payload, "/plain/altitude")

    @pytest.mark.parametrize("metric", ["", "a b", "a/b", "ü", "x" * 65, "a.b"])
    def test_a_metric_must_have_a_name(self, metric: str) -> None:
        with pytest.raises(InvalidInput):
            split(b"1", f"/plain/{metric}")


class Wiring:
    """A DCX, somebody who sends it what devices said, and receivers."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._reply_to = esp.extension_data_to_replica("kpc-of-the-test")

    async def start(self, *, config: Any = None, settings: Any = None) -> "Wiring":
        await self.house.start(DCX, config=config, applications=APPLICATIONS, settings=settings)
        self.answers: list[ExtensionData] = await self.house.hear(self._reply_to, name="kpc-of-the-test")
        return self

    async def receiver(
        self, name: str, answer: Callable[[DataSamplesEvent], tuple[int, str | None] | None]
    ) -> list[DataSamplesEvent]:
        """Have somebody hear the samples and answer with status and reason, or None for nothing at all."""
        heard: list[DataSamplesEvent] = []

        async def on_samples(event: DataSamplesEvent) -> DataSamplesProcessed | None:
            heard.append(event)
            said = answer(event)
            if said is None:
                return None
            return DataSamplesProcessed(
                correlation_id=event.correlation_id,
                timestamp_ms=self.house.clock.now_ms(),
                receiver_service_instance_name=name,
                status_code=said[0],
                reason_phrase=said[1],
            )

        subject = dstp.data_samples_received("dcx")
        await self.house._stack.enter_async_context(self.house.bus.subscribe(subject, on_samples, queue=name))
        return heard

    def say(self, payload: bytes = b'{"t":1}', **fields: Any) -> str:
        common = {
            "app_version_name": "home-v1",
            "endpoint_id": "dev-1",
            "resource_path": "/json",
            "request_id": 7,
            "payload": payload,
        }
        subject = esp.client_data("dcx")
        message = self.house.message(subject, **(common | fields))
        self.house.bus.publish(subject, message, reply_to=self._reply_to)
        return message.correlation_id  # type: ignore[no-any-return]

    async def answer_to(self, correlation_id: str) -> ExtensionData:
        found: ExtensionData = await until(
            lambda: next((a for a in self.answers if a.correlation_id == correlation_id), None), what="an answer"
        )
        return found

    async def ask(self, payload: bytes = b'{"t":1}', **fields: Any) -> tuple[int, str | None]:
        found = await self.answer_to(self.say(payload, **fields))
        return found.status_code, found.reason_phrase


class TestTelling:
    async def test_samples_are_told_with_the_message_s_time_and_correlation(self, house: House) -> None:
        dcx = await Wiring(house).start()
        heard = await dcx.receiver("epts", lambda _: (200, None))
        correlation_id = dcx.say(b'[{"t": 1}, 2]', timestamp_ms=START_MS - 5)
        answer = await dcx.answer_to(correlation_id)
        assert [
            (e.correlation_id, e.timestamp_ms, e.app_version_name, e.endpoint_id, e.content_type, e.data_samples)
            for e in heard
        ] == [(correlation_id, START_MS - 5, "home-v1", "dev-1", "application/json", (b'{"t": 1}', b"2"))]
        assert (answer.status_code, answer.payload, answer.reason_phrase) == (200, None, None)
        assert (answer.resource_path, answer.request_id) == ("/json", 7)
        assert (answer.app_version_name, answer.endpoint_id) == ("home-v1", "dev-1")

    async def test_plain_metrics_too(self, house: House) -> None:
        dcx = await Wiring(house).start()
        heard = await dcx.receiver("epts", lambda _: (200, None))
        assert await dcx.ask(b"21%", resource_path="/plain/humidity") == (200, None)
        assert heard[0].data_samples == (b'{"humidity-value":21,"humidity-unit":"%"}',)

    async def test_every_receiver_hears_it_reliable_or_not(self, house: House) -> None:
        dcx = await Wiring(house).start()
        reliable = await dcx.receiver("epts", lambda _: (200, None))
        other = await dcx.receiver("kdca", lambda _: (500, "does not matter"))
        assert await dcx.ask() == (200, None)
        assert len(reliable) == len(other) == 1

    async def test_an_empty_array_is_a_success_and_told_to_nobody(self, house: House) -> None:
        dcx = await Wiring(house).start()
        heard = await dcx.receiver("epts", lambda _: (200, None))
        assert await dcx.ask(b"[]") == (200, None)
        assert heard == []

    async def test_relaxed_paths_are_a_setting_of_the_application(self, house: House) -> None:
        dcx = await Wiring(house).start(settings={"home": {"relaxed-paths": True}})
        await dcx.receiver("epts", lambda _: (200, None))
        assert await dcx.ask(resource_path="/json/anything") == (200, None)
        status, reason = await dcx.ask(resource_path="/json/anything", app_version_name="garden-v1")
        assert status == 404
        assert "/json/anything" in str(reason)

    async def test_several_instances_have_subjects_of_their_own(self, house: House) -> None:
        await house.start(DCX, name="dcx_slow", config={"reliable": []}, applications=APPLICATIONS)
        heard = await house.hear(dstp.data_samples_received("dcx_slow"), name="epts")
        house.publish(
            esp.client_data("dcx_slow"),
            app_version_name="home-v1",
            endpoint_id="dev-1",
            resource_path="/json",
            request_id=None,
            payload=b"{}",
        )
        await until(lambda: heard)


class TestRefusals:
    async def test_one_bad_message_in_a_burst_refuses_one_message(self, house: House) -> None:
        dcx = await Wiring(house).start()
        heard = await dcx.receiver("epts", lambda _: (200, None))
        payloads = [b'{"t":1}', b"{", b'{"t":2}', b"1", b'{"t":3}']
        asked = [dcx.say(payload) for payload in payloads]
        assert [(await dcx.answer_to(one)).status_code for one in asked] == [200, 400, 200, 400, 200]
        assert [event.data_samples for event in heard] == [(b'{"t":1}',), (b'{"t":2}',), (b'{"t":3}',)]

    async def test_a_number_with_more_digits_than_python_reads_refuses_one_message(self, house: House) -> None:
        dcx = await Wiring(house).start()
        await dcx.receiver("epts", lambda _: (200, None))
        asked = [dcx.say(b"1", resource_path="/plain/a"), dcx.say(b"9" * 5000, resource_path="/plain/a"), dcx.say()]
        assert [(await dcx.answer_to(one)).status_code for one in asked] == [200, 400, 200]

    async def test_a_message_without_an_endpoint_refuses_itself_only(self, house: House) -> None:
        dcx = await Wiring(house).start()
        await dcx.receiver("epts", lambda _: (200, None))
        asked = [dcx.say(), dcx.say(endpoint_id=None), dcx.say()]
        assert [(await dcx.answer_to(one)).status_code for one in asked] == [200, 400, 200]


class TestReliableReceivers:
    async def test_the_receiver_s_refusal_is_the_answer(self, house: House) -> None:
        dcx = await Wiring(house).start()
        await dcx.receiver("epts", lambda event: (507, "full") if b"2" in event.data_samples[0] else (200, None))
        assert await dcx.ask(b'{"t":1}') == (200, None)
        assert await dcx.ask(b'{"t":2}') == (507, "full")

    async def test_without_a_reason_the_receiver_is_named(self, house: House) -> None:
        dcx = await Wiring(house).start()
        await dcx.receiver("epts", lambda _: (500, None))
        status, reason = await dcx.ask()
        assert status == 500
        assert "epts" in str(reason)

    async def test_it_is_awaited_without_a_request_id_too(self, house: House) -> None:
        dcx = await Wiring(house).start()
        await dcx.receiver("epts", lambda _: (400, "no"))
        assert await dcx.ask(request_id=None) == (400, "no")

    async def test_all_of_several_must_have_answered(self, house: House) -> None:
        dcx = await Wiring(house).start(config={"reliable": ["epts", "kdca"]})
        await dcx.receiver("epts", lambda _: (200, None))
        await dcx.receiver("kdca", lambda event: (200, None) if b"1" in event.data_samples[0] else (503, "later"))
        assert await dcx.ask(b'{"t":1}') == (200, None)
        assert await dcx.ask(b'{"t":2}') == (503, "later")

    async def test_one_who_does_not_answer_is_given_up_and_named(self, house: House) -> None:
        dcx = await Wiring(house).start(config={"reliable": ["epts", "kdca"], "receivers-timeout": "3s"})
        both = [await dcx.receiver("epts", lambda _: (200, None)), await dcx.receiver("kdca", lambda _: None)]
        asked = dcx.say()
        await until(lambda: all(both))
        await house.handled(ANSWERED)
        await house.clock.advance(2_999)
        assert dcx.answers == []
        await house.clock.advance(1)
        answer = await dcx.answer_to(asked)
        assert answer.status_code == 504
        assert "kdca" in str(answer.reason_phrase)
        assert "epts" not in str(answer.reason_phrase)

    async def test_an_answer_that_comes_too_late_is_nobody_s(self, house: House) -> None:
        dcx = await Wiring(house).start(config={"receivers-timeout": "1s"})
        heard = await dcx.receiver("epts", lambda _: None)
        asked = dcx.say()
        await until(lambda: heard)
        await house.clock.advance(1_000)
        assert (await dcx.answer_to(asked)).status_code == 504
        house.publish(
            ANSWERED, correlation_id=heard[0].correlation_id, receiver_service_instance_name="epts", status_code=200
        )
        await house.quiet()
        assert len(dcx.answers) == 1

    async def test_a_slow_message_does_not_hold_up_those_of_other_bursts(self, house: House) -> None:
        dcx = await Wiring(house).start()
        heard = await dcx.receiver("epts", lambda event: None if b"slow" in event.data_samples[0] else (200, None))
        slow = dcx.say(b'["slow"]')
        await until(lambda: heard)
        assert await dcx.ask(b"[1]") == (200, None)
        assert [answer.correlation_id for answer in dcx.answers] != [slow]
        await house.clock.advance(9_000)
        assert (await dcx.answer_to(slow)).status_code == 504

    async def test_where_nobody_listens_it_is_refused_at_once(self, house: House) -> None:
        dcx = await Wiring(house).start()
        status, reason = await dcx.ask()
        assert status == 503
        assert "epts" in str(reason)

    async def test_answers_of_who_is_not_reliable_do_not_count(self, house: House) -> None:
        dcx = await Wiring(house).start(config={"receivers-timeout": "1s"})
        heard = await dcx.receiver("kdca", lambda _: (200, None))
        asked = dcx.say()
        await until(lambda: heard)
        await house.handled(ANSWERED)
        await house.clock.advance(1_000)
        assert (await dcx.answer_to(asked)).status_code == 504

    async def test_without_any_a_message_is_answered_when_it_has_been_told(self, house: House) -> None:
        dcx = await Wiring(house).start(config={"reliable": []})
        assert await dcx.ask() == (200, None)
        heard = await dcx.receiver("kdca", lambda _: (500, "no"))
        assert await dcx.ask() == (200, None)
        await until(lambda: heard)
