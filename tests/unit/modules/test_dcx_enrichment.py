"""DCX: samples with the metadata of their endpoint in them, for applications that want it."""

import asyncio
import json
from typing import Any

import pytest
from house import REPLICA, House
from hypothesis import given, settings
from hypothesis import strategies as st
from metadata_register import Register
from test_dcx import APPLICATIONS, Wiring
from waiting import until

from kaa.core.errors import TooLarge, Unavailable
from kaa.core.subjects import Subject
from kaa.modules.dcx.enrichment import enriched
from kaa.modules.dcx.module import MODULE as DCX
from kaa.protocols import elce, eme, epmmp
from kaa.protocols.dstp import DataSamplesEvent
from kaa.protocols.x_outbox import event_processed

ON = {"home": {"metadata-enrichment": {"enabled": True}}}
ASKED = epmmp.EndpointMetadataGetRequest
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def spliced(sample: bytes, metadata: bytes = b'{"floor":3}', member: str = "~ep-metadata") -> bytes:
    [found] = enriched((sample,), metadata, member=member, max_bytes=10_000)
    return found


class TestSplicing:
    @pytest.mark.parametrize(
        ("sample", "found"),
        [
            (b'{"t": 21.50}', b'{"t": 21.50,"~ep-metadata":{"floor":3}}'),
            (b'{"t":1} \n', b'{"t":1,"~ep-metadata":{"floor":3}}'),
            (b'{"t":1 }', b'{"t":1,"~ep-metadata":{"floor":3}}'),
            (b"{}", b'{"~ep-metadata":{"floor":3}}'),
            (b"{ \t}", b'{"~ep-metadata":{"floor":3}}'),
            (b'{"~ep-metadata":"mine"}', b'{"~ep-metadata":{"floor":3}}'),
            (b'{"a":1.10,"~ep-metadata":{"floor":9}}', b'{"a":1.10,"~ep-metadata":{"floor":3}}'),
            (rb'{"\u007eep-metadata":1,"b":2}', b'{"b":2,"~ep-metadata":{"floor":3}}'),
            (b'{"a":{"~ep-metadata":1}}', b'{"a":{"~ep-metadata":1},"~ep-metadata":{"floor":3}}'),
            (rb'{"a":"\n}"}', rb'{"a":"\n}","~ep-metadata":{"floor":3}}'),
        ],
    )
    def test_an_object_gets_a_member(self, sample: bytes, found: bytes) -> None:
        assert spliced(sample) == found

    @pytest.mark.parametrize("sample", [b"1", b'"{}"', b"null", b"[{}]", b"true", b"-1.5"])
    def test_what_is_no_object_stays_as_it_is(self, sample: bytes) -> None:
        assert spliced(sample) == sample

    @settings(deadline=None, max_examples=50)
    @given(st.dictionaries(st.sampled_from(["meta", "a", "ü", '"', "\\"]), JSON, max_size=3), JSON)
    def test_it_reads_as_if_it_had_been_set(self, sample: dict[str, Any], value: Any) -> None:
        metadata = {"k": value}
        for text in (json.dumps(sample), json.dumps(sample, ensure_ascii=False, indent=2)):
            found = spliced(text.encode(errors="replace"), json.dumps(metadata).encode(), "meta")
            pairs = json.loads(found, object_pairs_hook=list)
            assert [name for name, _ in pairs].count("meta") == 1
            if text.isprintable():
                assert json.loads(found) == sample | {"meta": metadata}

    def test_many_small_samples_do_not_become_a_mountain(self) -> None:
        samples = (b"{}",) * 1_000
        assert len(enriched(samples, b'{"a":1}', member="m", max_bytes=100_000)) == 1_000
        with pytest.raises(TooLarge):
            enriched(samples, b'{"a":"' + b"x" * 100 + b'"}', member="m", max_bytes=100_000)


async def start(house: House, told: Any = ON, **config: Any) -> tuple[Wiring, Register, list[DataSamplesEvent]]:
    register = await Register(house).open()
    register.add("dev-1", {"floor": 3})
    dcx = await Wiring(house).start(settings=told, config=config)
    heard = await dcx.receiver("epts", lambda _: (200, None))
    return dcx, register, heard


def metadata_of(event: DataSamplesEvent, member: str = "~ep-metadata") -> list[Any]:
    return [json.loads(sample).get(member) for sample in event.data_samples]


class TestEnrichment:
    async def test_it_is_off_unless_it_is_asked_for(self, house: House) -> None:
        dcx, register, heard = await start(house, {})
        assert await dcx.ask(b'{"t":1}') == (200, None)
        assert [event.data_samples for event in heard] == [(b'{"t":1}',)]
        assert register.asked == []

    async def test_objects_carry_the_metadata_and_other_samples_do_not(self, house: House) -> None:
        dcx, _, heard = await start(house)
        assert await dcx.ask(b'[{"t":1}, 2, {"t":3}]') == (200, None)
        first, second, third = heard[0].data_samples
        assert json.loads(first) == {"t": 1, "~ep-metadata": {"floor": 3}}
        assert json.loads(third) == {"t": 3, "~ep-metadata": {"floor": 3}}
        assert second == b"2"

    async def test_plain_metrics_too(self, house: House) -> None:
        dcx, _, heard = await start(house)
        assert await dcx.ask(b"21%", resource_path="/plain/humidity") == (200, None)
        assert metadata_of(heard[0]) == [{"floor": 3}]

    async def test_the_member_and_the_applications_are_a_setting(self, house: House) -> None:
        told = {"home": {"metadata-enrichment": {"enabled": True, "member": "about"}}}
        dcx, _, heard = await start(house, told)
        await dcx.ask(b"{}")
        await dcx.ask(b"{}", app_version_name="garden-v1")
        assert metadata_of(heard[0], "about") == [{"floor": 3}]
        assert heard[1].data_samples == (b"{}",)

    async def test_the_register_is_asked_once_until_the_metadata_changes(self, house: House) -> None:
        dcx, register, heard = await start(house)
        for _ in range(3):
            await dcx.ask(b"{}")
        assert len(register.questions(ASKED)) == 1
        register.change("dev-1", floor=4)
        register.tell_changed("dev-1")
        await house.quiet()
        await dcx.ask(b"{}")
        assert metadata_of(heard[-1]) == [{"floor": 4}]
        assert len(register.questions(ASKED)) == 2

    async def test_or_until_ten_minutes_have_gone_by(self, house: House) -> None:
        dcx, register, heard = await start(house)
        await dcx.ask(b"{}")
        register.change("dev-1", floor=4)  # and the event is lost
        await house.clock.advance(600_001)
        await dcx.ask(b"{}")
        assert metadata_of(heard[-1]) == [{"floor": 4}]

    async def test_a_burst_asks_once_for_each_endpoint_and_stays_in_order(self, house: House) -> None:
        dcx, register, heard = await start(house)
        register.add("dev-2", {"floor": 7})
        asked = [dcx.say(b'{"n":%d}' % n, endpoint_id=f"dev-{1 + n % 2}") for n in range(300)]
        for one in asked:
            assert (await dcx.answer_to(one)).status_code == 200
        assert len(register.questions(ASKED)) == 2
        for endpoint, floor in (("dev-1", 3), ("dev-2", 7)):
            samples = [json.loads(event.data_samples[0]) for event in heard if event.endpoint_id == endpoint]
            assert [sample["n"] for sample in samples] == list(range(int(endpoint == "dev-2"), 300, 2))
            assert {sample["~ep-metadata"]["floor"] for sample in samples} == {floor}

    async def test_messages_of_one_endpoint_do_not_overtake_each_other(self, house: House) -> None:
        dcx, register, heard = await start(house)
        gate = asyncio.Event()
        register.add("dev-2")
        register.on_ask = lambda request: gate.wait() if request.endpoint_id == "dev-2" else None
        first = [dcx.say(b'{"n":1}'), dcx.say(b"{}", endpoint_id="dev-2")]
        await until(lambda: len(register.questions(ASKED)) == 2)
        await house.handled(Subject(f"kaa.v1.replica.{REPLICA}.>", ASKED))  # what the first one needs is known now
        more = [dcx.say(b'{"n":%d}' % n) for n in (2, 3)]
        dcx.say(b"{}", app_version_name="garden-v1", endpoint_id="dev-3")  # which needs nothing, and comes behind them
        await until(lambda: "dev-3" in [event.endpoint_id for event in heard])
        gate.set()
        for one in first + more:
            assert (await dcx.answer_to(one)).status_code == 200
        of_first = [event for event in heard if event.endpoint_id == "dev-1"]
        assert [json.loads(event.data_samples[0])["n"] for event in of_first] == [1, 2, 3]

    async def test_those_who_need_none_do_not_wait(self, house: House) -> None:
        asked = await house.hear(epmmp.metadata("epr"), name="epr", status=None)
        dcx = await Wiring(house).start(settings=ON)
        heard = await dcx.receiver("epts", lambda _: (200, None))
        held = [dcx.say(b"{}"), dcx.say(b"{}", app_version_name="garden-v1")]
        await until(lambda: asked and heard)
        assert [event.app_version_name for event in heard] == ["garden-v1"]
        assert await dcx.ask(b"{}", app_version_name="garden-v1") == (200, None)
        await house.clock.advance(3_000)
        assert [(await dcx.answer_to(one)).status_code for one in held] == [504, 200]

    async def test_an_endpoint_without_metadata_has_an_empty_object(self, house: House) -> None:
        dcx, register, heard = await start(house)
        register.add("dev-2")
        await dcx.ask(b"{}", endpoint_id="dev-2")
        assert metadata_of(heard[0]) == [{}]

    async def test_and_so_has_one_that_was_unregistered_meanwhile(self, house: House) -> None:
        dcx, register, heard = await start(house)
        await dcx.ask(b"{}")
        register.remove("dev-1")
        await house.quiet()
        assert await dcx.ask(b"{}") == (200, None)
        assert metadata_of(heard[-1]) == [{}]

    async def test_while_the_register_is_away_samples_wait_at_the_device(self, house: House) -> None:
        dcx, register, heard = await start(house)

        def refuse(_: Any) -> None:
            raise Unavailable("away")

        register.on_ask = refuse
        assert await dcx.ask(b"{}") == (503, "away")
        register.on_ask = lambda _: None
        assert await dcx.ask(b"{}") == (200, None)
        assert len(heard) == 1

    async def test_an_empty_array_asks_nobody(self, house: House) -> None:
        dcx, register, _ = await start(house)
        assert await dcx.ask(b"[]") == (200, None)
        assert register.asked == []

    async def test_a_message_that_would_become_too_large_is_refused(self, house: House) -> None:
        dcx, _, heard = await start(house, **{"max-enriched": "1KiB"})
        assert (await dcx.ask(b"[" + b",".join([b"{}"] * 100) + b"]"))[0] == 413
        assert await dcx.ask(b"[{}]") == (200, None)
        assert len(heard) == 1

    async def test_what_is_remembered_is_bounded(self, house: House) -> None:
        dcx, register, _ = await start(house, **{"max-metadata-remembered": "1KiB"})
        for n in range(2, 12):
            register.add(f"dev-{n}", {"floor": n})
        for n in (*range(1, 12), 11, 1):
            assert await dcx.ask(b"{}", endpoint_id=f"dev-{n}") == (200, None)
        assert len(register.questions(ASKED)) == 12

    async def test_what_was_read_before_a_change_is_not_remembered(self, house: House) -> None:
        dcx, register, heard = await start(house)

        def change_behind(request: Any) -> None:
            register.on_ask = lambda _: None
            register.tell_changed("dev-1")

        register.on_ask = change_behind
        await dcx.ask(b"{}")
        await house.quiet()
        register.change("dev-1", floor=5)
        await dcx.ask(b"{}")
        assert metadata_of(heard[-1]) == [{"floor": 5}]

    @pytest.mark.parametrize("subject", [eme.metadata_updated("epr"), elce.unregistered("epr")], ids=str)
    async def test_changes_are_answered_by_the_replica(self, house: House, subject: Any) -> None:
        await start(house)
        reply_to = event_processed("test")
        answers = await house.hear(reply_to, name="test")
        fields: Any = {"removed": {}, "added": {}, "updated": {}} if subject == eme.metadata_updated("epr") else {}
        message = house.message(subject, app_version_name="home-v1", endpoint_id="dev-1", **fields)
        house.bus.publish(subject, message, reply_to=reply_to)
        await until(lambda: answers)
        assert house.bus.listeners(subject) == {answers[0].receiver_service_instance_name}
        assert (answers[0].correlation_id, answers[0].status_code) == (message.correlation_id, 200)

    @pytest.mark.parametrize(
        "enrichment", [{"enabled": "maybe"}, {"member": ""}, {"member": 'a"b'}, {"member": "a\\b"}, {"path": "x"}]
    )
    async def test_settings_that_make_no_sense_are_refused(self, house: House, enrichment: Any) -> None:
        with pytest.raises(ValueError):
            await house.start(DCX, applications=APPLICATIONS, settings={"home": {"metadata-enrichment": enrichment}})
