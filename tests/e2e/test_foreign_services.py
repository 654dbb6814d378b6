"""Services that others have written: a few lines of nats-py and Apache Avro's library, with nothing of ours.

They meet KPC, DCX and EPTS on a real NATS server, and know of them what the RFCs say.
"""

import io
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import avro.io
import avro.schema
import nats
import pytest
from hosts import KaaProcess, Place
from mqtt_clients import V5, Paho
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats_server import NatsServer
from waiting import until

COMMON = [
    {"name": "correlationId", "type": "string"},
    {"name": "timestamp", "type": "long"},
    {"name": "timeout", "type": "long", "default": 0},
]


def record(name: str, *fields: tuple[str, Any]) -> Any:
    """Declare a message of 3/ISM."""
    listed = [{"name": field, "type": type_} for field, type_ in fields]
    return avro.schema.parse(json.dumps({"type": "record", "name": name, "fields": COMMON + listed}))


CLIENT_DATA = record(
    "ClientData",
    ("appVersionName", "string"),
    ("endpointId", ["string", "null"]),
    ("resourcePath", "string"),
    ("requestId", ["int", "null"]),
    ("payload", "bytes"),
    ("configName", ["null", "string"]),
)
EXTENSION_DATA = record(
    "ExtensionData",
    ("appVersionName", ["string", "null"]),
    ("extensionInstanceName", ["string", "null"]),
    ("endpointId", ["string", "null"]),
    ("resourcePath", "string"),
    ("requestId", ["int", "null"]),
    ("payload", ["bytes", "null"]),
    ("statusCode", "int"),
    ("reasonPhrase", ["null", "string"]),
)
VALUE = ["boolean", "int", "long", "float", "double", "string", "bytes", "null"]
DATA_POINT = {
    "type": "record",
    "name": "DataPoint",
    "fields": [
        {"name": "ingestionTimestamp", "type": "long"},
        {"name": "timestamp", "type": "long"},
        {"name": "values", "type": {"type": "map", "values": VALUE}},
    ],
}
TIME_SERIES = record(
    "TimeSeriesEvent",
    ("appVersionName", "string"),
    ("endpointId", "string"),
    ("timeSeriesName", "string"),
    ("dataPoints", {"type": "array", "items": DATA_POINT}),
)


def read(schema: Any, data: bytes) -> dict[str, Any]:
    return avro.io.DatumReader(schema).read(avro.io.BinaryDecoder(io.BytesIO(data)))


def written(schema: Any, value: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    avro.io.DatumWriter(schema).write(value, avro.io.BinaryEncoder(out))
    return out.getvalue()


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    made = NatsServer().start()
    yield made
    made.release()


@pytest.fixture(scope="module")
def kaa(tmp_path_factory: pytest.TempPathFactory, server: NatsServer) -> Iterator[KaaProcess]:
    theirs = {
        "kpc": {"extension-instances": {"dcx": {}, "shout": {}}},
        "epts": {"time-series-transmitters": ["epl", "meteo"]},
    }
    made = KaaProcess(tmp_path_factory.mktemp("kaa"), config={"instances": theirs}, nats=server).start()
    yield made
    made.stop()
    assert "Traceback" not in made.said


@pytest.fixture
async def place(kaa: KaaProcess) -> AsyncIterator[Place]:
    async with kaa.visited() as found:
        yield found


@pytest.fixture
async def stranger(server: NatsServer) -> AsyncIterator[Client]:
    client = await nats.connect(server.url)
    yield client
    await client.close()


async def test_an_extension_service_of_theirs_answers_and_pushes(
    place: Place, stranger: Client, connect: Callable[..., Any]
) -> None:
    async def shout(found: Msg) -> None:
        heard = read(CLIENT_DATA, found.data)
        answer = {key: value for key, value in heard.items() if key != "configName"} | {
            "extensionInstanceName": "shout",
            "payload": heard["payload"].upper(),
            "statusCode": 200,
            "reasonPhrase": None,
        }
        await found.respond(written(EXTENSION_DATA, answer))
        push = answer | {"correlationId": "a push of ours", "requestId": None, "payload": b"BY THE WAY"}
        await stranger.publish("kaa.v1.service.kpc.esp.ExtensionData", written(EXTENSION_DATA, push))

    await stranger.subscribe("kaa.v1.service.shout.esp.ClientData", queue="shout", cb=shout)
    await stranger.flush()
    thing = await place.rest.thing()
    device = await connect(Paho(place.mqtt, version=V5))
    await device.send(thing.topic("aloud", 7, extension="shout"), b"hello", 1)
    heard = {(one.topic, one.payload) for one in [await device.inbox.get(), await device.inbox.get()]}
    assert heard == {
        (thing.topic("aloud/7/status", extension="shout"), b"HELLO"),
        (thing.topic("aloud/status", extension="shout"), b"BY THE WAY"),
    }


async def test_while_their_extension_service_is_not_there_the_message_is_not_acknowledged(
    place: Place, connect: Callable[..., Any]
) -> None:
    thing = await place.rest.thing()
    device = await connect(Paho(place.mqtt, version=V5))
    sent = device.send(thing.topic("aloud", extension="shout"), b"hello", 1)
    await until(lambda: len(device.sessions_present) > 1, what="the connection was closed and opened again")
    assert not sent.done()


async def test_a_listener_of_theirs_hears_what_is_stored(
    place: Place, stranger: Client, connect: Callable[..., Any]
) -> None:
    heard: list[dict[str, Any]] = []

    async def listen(found: Msg) -> None:
        heard.append(read(TIME_SERIES, found.data))

    await stranger.subscribe("kaa.v1.events.epts.endpoint.data-collection.data-points-received.*", cb=listen)
    await stranger.flush()
    thing = await place.rest.thing()
    device = await connect(Paho(place.mqtt, version=V5))
    await device.send(thing.topic(), b'{"temperature": 21.5}', 1)
    await until(lambda: bool(heard))
    [event] = heard
    assert (event["endpointId"], event["timeSeriesName"]) == (thing.endpoint_id, "auto~temperature")
    assert [point["values"] for point in event["dataPoints"]] == [{"value": 21.5}]


async def test_a_series_of_theirs_is_kept(place: Place, stranger: Client) -> None:
    thing = await place.rest.thing(await place.rest.application({"retention": "36500d"}))
    then = 1_700_000_000_000
    point = {"ingestionTimestamp": then, "timestamp": then, "values": {"value": 42.0}}
    event = {
        "correlationId": "theirs",
        "timestamp": then,
        "timeout": 0,
        "appVersionName": thing.version,
        "endpointId": thing.endpoint_id,
        "timeSeriesName": "wind",
        "dataPoints": [point],
    }
    subject = "kaa.v1.events.meteo.endpoint.data-collection.data-points-received.wind"
    await stranger.publish(subject, written(TIME_SERIES, event))
    await stranger.flush()

    async def is_kept() -> bool:
        return await place.rest.values(thing, "wind") == [42.0]

    await until(is_kept)
