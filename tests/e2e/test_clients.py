"""What a device sends is stored, answered and read back, whichever client library it is made with."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hosts import Place
from mqtt_clients import LIBRARIES, V5, V311, Message, Paho, Wire, heard, sent
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from waiting import until

from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt import properties as prop
from kaa.protocols.mqtt.client import Acknowledged

Connect = Callable[..., Awaitable[Any]]

EVERY_CLIENT = [
    pytest.param(library, version, id=f"{library}-{'5' if version == V5 else '3.1.1'}")
    for library in LIBRARIES
    for version in (V311, V5)
]
WIRES = [pytest.param(V311, id="3.1.1"), pytest.param(V5, id="5")]


def every_client(test: Any) -> Any:
    return pytest.mark.parametrize(("library", "version"), EVERY_CLIENT)(test)


def error(message: Message) -> tuple[int, str]:
    """Give status and sentence of an answer on `/error`."""
    told = json.loads(message.payload)
    assert set(told) == {"statusCode", "reasonPhrase"}
    assert " " in told["reasonPhrase"], "a sentence was expected"
    return told["statusCode"], told["reasonPhrase"]


@every_client
class TestEveryClient:
    @pytest.mark.parametrize("qos", [0, 1, 2])
    async def test_a_message_is_answered_and_read_back(
        self, place: Place, connect: Connect, library: str, version: int, qos: int
    ) -> None:
        thing = await place.rest.thing()
        device = await connect(LIBRARIES[library](place.mqtt, version))
        topic = thing.topic("json", 17)
        await sent(device, topic, b'{"temperature": 21.5, "humidity": 40}', qos)
        assert await heard(device) == Message(f"{topic}/status", b"", min(qos, 1))
        assert await place.rest.last(thing) == {
            "auto~temperature": {"value": 21.5},
            "auto~humidity": {"value": 40},
        }
        assert await place.rest.values(thing, "auto~temperature") == [21.5]

    @pytest.mark.parametrize("filters", [(), ("#",), ("exact",), ("#", "exact", "kp1/+/dcx/#")])
    async def test_an_answer_comes_once_whatever_was_subscribed(
        self, place: Place, connect: Connect, library: str, version: int, filters: tuple[str, ...]
    ) -> None:
        thing = await place.rest.thing()
        device = await connect(LIBRARIES[library](place.mqtt, version))
        topics = [thing.topic("json", number) for number in (1, 2, 3)]
        if filters:
            spelled = [f"{topics[0]}/status" if spelling == "exact" else spelling for spelling in filters]
            assert await device.subscribe(*spelled) == [1] * len(spelled)
        for topic in topics:
            await sent(device, topic, b'{"x": 1}')
        # one that came twice would stand before the next
        assert [(await heard(device)).topic for _ in topics] == [f"{topic}/status" for topic in topics]
        assert device.inbox.empty()

    async def test_json_that_is_wrong_is_told_with_a_sentence(
        self, place: Place, connect: Connect, library: str, version: int
    ) -> None:
        thing = await place.rest.thing()
        device = await connect(LIBRARIES[library](place.mqtt, version))
        topic = thing.topic("json", 4)
        await sent(device, topic, b'{"temperature": ')
        answer = await heard(device)
        assert answer.topic == f"{topic}/error"
        status, sentence = error(answer)
        assert (status, "JSON" in sentence) == (400, True)
        assert await place.rest.last(thing) == {}

    async def test_without_a_request_id_a_success_is_silent_and_a_failure_is_not(
        self, place: Place, connect: Connect, library: str, version: int
    ) -> None:
        thing = await place.rest.thing()
        device = await connect(LIBRARIES[library](place.mqtt, version))
        await sent(device, thing.topic(), b'{"x": 1}')
        await sent(device, thing.topic(), b"[1, 2")
        answer = await heard(device)
        assert (answer.topic, error(answer)[0]) == (f"{thing.topic()}/error", 400)
        assert await place.rest.values(thing, "auto~x") == [1]

    async def test_who_may_not_is_told_why(self, place: Place, connect: Connect, library: str, version: int) -> None:
        thing = await place.rest.thing()
        suspended = await place.rest.thing(thing.application)
        await place.rest.token_status(suspended, "Suspended")
        revoked = await place.rest.thing(thing.application)
        await place.rest.token_status(revoked, "Revoked")
        device = await connect(LIBRARIES[library](place.mqtt, version))
        refused = {
            suspended.topic("json", 1): 403,
            revoked.topic("json", 1): 403,
            thing.topic("json", 1).replace(thing.token, "nobody-knows-this-1"): 401,
            thing.topic("json", 1).replace("-v1", "-v9"): 404,
            thing.topic("json", 1, extension="weather"): 403,
            thing.topic("nowhere", 1): 404,
        }
        told = {}
        for topic in refused:
            await sent(device, topic, b'{"x": 1}')
            answer = await heard(device)
            told[answer.topic.removesuffix("/error")] = error(answer)[0]
        assert told == refused
        # and who may is not held up by it
        await sent(device, thing.topic("json", 2), b'{"x": 1}')
        assert (await heard(device)).topic == thing.topic("json", 2) + "/status"

    async def test_an_extension_that_the_application_does_not_allow_is_refused(
        self, place: Place, connect: Connect, library: str, version: int
    ) -> None:
        thing = await place.rest.thing()
        await place.rest.configure(thing.application, kpc={"allowed-extension-instances": ["cmx"]})
        device = await connect(LIBRARIES[library](place.mqtt, version))
        await sent(device, thing.topic("json", 1), b'{"x": 1}')
        assert error(await heard(device))[0] == 403

    async def test_what_is_published_elsewhere_is_acknowledged_and_disturbs_nobody(
        self, place: Place, connect: Connect, library: str, version: int
    ) -> None:
        thing = await place.rest.thing()
        device = await connect(LIBRARIES[library](place.mqtt, version))
        for qos in (1, 2):
            reason = await sent(device, "home/kitchen", b"hello", qos)
            if reason is not None and version == V5 and qos == 1:
                assert reason == 0x90
        await sent(device, thing.topic("json", 1), b'{"x": 1}')
        assert (await heard(device)).topic == thing.topic("json", 1) + "/status"

    async def test_subscriptions_are_granted_except_shared_ones(
        self, place: Place, connect: Connect, library: str, version: int
    ) -> None:
        device = await connect(LIBRARIES[library](place.mqtt, version))
        codes = await device.subscribe("a/+/b", "$share/group/a/#", "#")
        assert codes == [1, 0x9E if version == V5 else 0x80, 1]


@pytest.mark.parametrize("qos", [1, 2])
async def test_mqtt_5_tells_the_reason_with_the_acknowledgement(place: Place, connect: Connect, qos: int) -> None:
    thing = await place.rest.thing()
    suspended = await place.rest.thing(thing.application)
    await place.rest.token_status(suspended, "Suspended")
    wire = await connect(Wire(place.mqtt, V5))
    expected = {
        (thing.topic("json", 1), b'{"x": 1}'): 0x00,
        (thing.topic("json", 1), b"{"): 0x99,
        (thing.topic("json", 1).replace(thing.token, "nobody-knows-this-2"), b"{}"): 0x87,
        (suspended.topic("json", 1), b"{}"): 0x87,
        (thing.topic("json", 1, extension="weather"), b"{}"): 0x87,
        (thing.topic("json", 1).replace("-v1", "-v9"), b"{}"): 0x90,
    }
    told = {}
    for topic, payload in expected:
        wire.publish(topic, payload, qos)
        acknowledged = await wire.next(Acknowledged)
        told[topic, payload] = acknowledged.reason_code
        if acknowledged.reason_code:
            assert acknowledged.properties is not None
            assert " " in str(acknowledged.properties[prop.REASON_STRING])
        await wire.next(p.Publish)
    assert told == expected
    wire.publish("home/kitchen", b"", qos)
    assert (await wire.next(Acknowledged)).reason_code == 0x90


async def test_paho_is_told_the_reason_too(place: Place, connect: Connect) -> None:
    thing = await place.rest.thing()
    device = await connect(Paho(place.mqtt, V5))
    assert await sent(device, thing.topic("json", 1), b"{}") == 0x00
    assert await sent(device, thing.topic("json", 1), b"{") == 0x99


async def test_mqtt_5_has_its_answer_where_it_wants_it(place: Place, connect: Connect) -> None:
    thing = await place.rest.thing()
    device = await connect(Paho(place.mqtt, V5))
    wants = Properties(PacketTypes.PUBLISH)
    wants.ResponseTopic, wants.CorrelationData = "my/answers", b"\x00\x01"
    for payload, ending in ((b'{"x": 1}', "/status"), (b"{", "/error")):
        async with asyncio.timeout(10):
            await device.send(thing.topic("json", 1), payload, 1, wants)
        usual, besides = await heard(device), await heard(device)
        assert usual.topic == thing.topic("json", 1) + ending
        assert (besides.topic, besides.payload) == ("my/answers", usual.payload)
        assert besides.properties.CorrelationData == b"\x00\x01"
    assert device.inbox.empty()


async def test_mqtt_5_may_shorten_its_topic_to_an_alias(place: Place, connect: Connect) -> None:
    thing = await place.rest.thing()
    wire = await connect(Wire(place.mqtt, V5))
    assert wire.connack.properties[prop.TOPIC_ALIAS_MAXIMUM] >= 1
    topic = thing.topic("json", 1)
    await wire.answer(topic, b'{"x": 1}', properties={prop.TOPIC_ALIAS: 1})
    _, answer = await wire.answer("", b'{"x": 2}', properties={prop.TOPIC_ALIAS: 1})
    assert answer.topic == f"{topic}/status"
    assert await place.rest.values(thing, "auto~x") == [1, 2]


@pytest.mark.parametrize("version", WIRES)
async def test_publishing_right_behind_connect_works(place: Place, connect: Connect, version: int) -> None:
    thing = await place.rest.thing()
    wire = Wire(place.mqtt, version)
    await wire.dial()
    wire.session.connect()
    first = wire.session.publish(thing.topic("json", 1), b'{"x": 1}', 1)
    wire.session.publish(thing.topic("json", 2), b'{"x": 2}', 0)
    wire.flush()  # all in one segment
    assert (await wire.next(p.ConnAck)).reason_code == 0
    assert (await wire.next(Acknowledged)).packet_id == first
    topics = [(await wire.next(p.Publish)).topic for _ in (1, 2)]
    assert topics == [thing.topic("json", 1) + "/status", thing.topic("json", 2) + "/status"]
    assert await place.rest.values(thing, "auto~x") == [1, 2]
    await wire.close()


@pytest.mark.parametrize("version", WIRES)
async def test_acknowledgements_leave_in_the_order_of_the_messages(
    place: Place, connect: Connect, version: int
) -> None:
    thing = await place.rest.thing()
    wire = await connect(Wire(place.mqtt, version))
    ids = []
    for number in range(200):  # some known, some not, some broken: each takes another way
        topic = [thing.topic(), thing.topic("json", number), thing.topic().replace(thing.token, f"unknown-{number}")]
        payload = b"{" if number % 7 == 3 else b'{"x": %d}' % number
        ids.append(wire.session.publish(topic[number % 3 if number < 30 else number % 2], payload, 1))
    wire.flush()
    assert [(await wire.next(Acknowledged)).packet_id for _ in ids] == ids


async def test_a_burst_far_beyond_the_window_is_taken_in_order(place: Place, connect: Connect) -> None:
    thing = await place.rest.thing()
    wire = await connect(Wire(place.mqtt, V311))
    ids = [wire.session.publish(thing.topic(), b'{"x": %d}' % number, number % 2) for number in range(4000)]
    wire.flush()
    assert [(await wire.next(Acknowledged)).packet_id for _ in range(2000)] == [one for one in ids if one]
    assert await place.rest.values(thing, "auto~x") == list(range(4000))


async def test_mqtt_5_holds_a_client_to_the_window_that_it_was_told(place: Place, connect: Connect) -> None:
    thing = await place.rest.thing()
    wire = await connect(Wire(place.mqtt, V5))
    window = wire.connack.properties[prop.RECEIVE_MAXIMUM]
    for number in range(window + 50):
        wire.session.publish(thing.topic("json", number), b'{"x": 1}', 2)
    wire.flush()
    said = await wire.hung_up()
    assert said[-1].reason_code == 0x93


@pytest.mark.parametrize("version", WIRES)
async def test_a_will_is_stored_like_any_message(place: Place, version: int) -> None:
    thing = await place.rest.thing()
    wire = Wire(place.mqtt, version)
    await wire.open(will=p.Will(thing.topic(), b'{"gone": 1}', 1))
    await wire.close()
    assert await until(lambda: place.rest.values(thing, "auto~gone")) == [1]


@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto_pub is not installed")
@pytest.mark.parametrize("version", ["31", "311", "5"])
@pytest.mark.parametrize("qos", ["0", "1", "2"])
async def test_mosquitto_pub_delivers(place: Place, version: str, qos: str) -> None:
    thing = await place.rest.thing()
    host, port = place.mqtt
    command = ["mosquitto_pub", "-h", host, "-p", str(port), "-V", version, "-q", qos, "-i", f"m-{thing.endpoint_id}"]
    process = await asyncio.create_subprocess_exec(
        *command, "-t", thing.topic("json", 1), "-m", '{"temperature": 21.5}', stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(10):
        _, said = await process.communicate()
    assert (process.returncode, said) == (0, b"")
    assert await until(lambda: place.rest.last(thing)) == {"auto~temperature": {"value": 21.5}}
