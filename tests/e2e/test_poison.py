"""A message that our own bug keeps from being stored is put aside after three times, whole, and holds nobody up."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hosts import Inside, Serve
from mqtt_clients import V5, V311, Gmqtt, Paho, Wire, heard, opened, sent

from kaa.modules.epts import ingest
from kaa.protocols import esp
from kaa.protocols.esp import ClientData, ExtensionData
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt.client import Acknowledged

Connect = Callable[..., Awaitable[Any]]

CLIENTS = [
    pytest.param(Paho, V311, id="paho-3.1.1"),
    pytest.param(Paho, V5, id="paho-5"),
    pytest.param(Gmqtt, V311, id="gmqtt-3.1.1"),
    pytest.param(Gmqtt, V5, id="gmqtt-5"),
]
WITH_WEATHER = {"instances": {"kpc": {"extension-instances": {"dcx": {}, "weather": {}}}}}
POISON = b'{"poison": 1, "more": "' + b"x" * 1000 + b'"}'


@pytest.fixture
def poisoned_epts(monkeypatch: pytest.MonkeyPatch) -> None:
    parse = ingest.parse

    def failing(sample: bytes) -> Any:
        if b"poison" in sample:
            raise RuntimeError("a bug of ours")
        return parse(sample)

    monkeypatch.setattr(ingest, "parse", failing)


@pytest.mark.usefixtures("poisoned_epts")
class TestInTheTimeSeries:
    @pytest.mark.parametrize(("library", "version"), CLIENTS)
    async def test_it_does_not_make_a_gateway_connect_for_ever(
        self, server: Inside, library: Any, version: int
    ) -> None:
        thing = await server.rest.thing()
        async with opened(library(server.mqtt, version, keeps_session=True)) as gateway:
            done = gateway.send(thing.topic("json", 7), POISON, 1)
            async with asyncio.timeout(10):
                await done
            answer = await heard(gateway)
            assert answer.topic == thing.topic("json", 7) + "/error"
            assert json.loads(answer.payload)["statusCode"] == 500
            assert gateway.sessions_present == [False, True, True]
            # it goes on with the rest on the connection that it has
            await sent(gateway, thing.topic("json", 8), b'{"x": 1}')
            assert (await heard(gateway)).topic == thing.topic("json", 8) + "/status"
            assert len(gateway.sessions_present) == 3
        assert await server.rest.values(thing, "auto~x") == [1]
        refusals = await server.rest.refusals(endpointId=thing.endpoint_id, statusCode=500)
        [kept] = [one for one in refusals if one["payload"] == POISON.decode()]  # of the earlier times only the head
        assert kept["payloadSize"] == len(POISON)
        assert kept["endpointId"] == thing.endpoint_id
        assert thing.token not in json.dumps(kept)
        assert " " in kept["reason"]

    async def test_until_then_it_is_not_acknowledged(self, server: Inside, connect: Connect) -> None:
        thing = await server.rest.thing()
        for delivery in (1, 2, 3):
            wire = await connect(Wire(server.mqtt, V5, client_id="gateway"))
            wire.publish(thing.topic(), POISON)
            if delivery < 3:
                [farewell] = await wire.hung_up()
                assert (type(farewell), farewell.reason_code) == (p.Disconnect, 0x83)
            else:
                assert (await wire.next(Acknowledged)).reason_code == 0x83
                assert (await wire.next(p.Publish)).topic == f"{thing.topic()}/error"

    async def test_at_qos_0_it_is_only_told(self, server: Inside, connect: Connect) -> None:
        thing = await server.rest.thing()
        wire = await connect(Wire(server.mqtt, V5))
        _, answer = await wire.answer(thing.topic("json", 1), POISON, 0)
        assert json.loads(answer.payload)["statusCode"] == 500
        assert (await wire.answer(thing.topic("json", 2), b'{"x": 1}'))[0] == 0

    async def test_others_whose_messages_come_with_it_do_not_notice(self, server: Inside, connect: Connect) -> None:
        application = await server.rest.application()
        culprit, victim = await server.rest.thing(application), await server.rest.thing(application)
        other = await connect(Wire(server.mqtt, V5))
        assert (await other.answer(victim.topic("json", 0), b'{"x": 0}'))[0] == 0
        for _ in range(3):
            wire = await connect(Wire(server.mqtt, V5))
            # in one read, so that they are handed on together
            for number in range(1, 20):
                other.session.publish(victim.topic(), b'{"x": %d}' % number, 1)
            wire.publish(culprit.topic(), POISON)
            other.flush()
            for _ in range(1, 20):
                assert (await other.next(Acknowledged)).reason_code == 0

    async def test_neighbours_on_the_same_connection_are_stored(self, server: Inside) -> None:
        thing = await server.rest.thing()
        async with opened(Paho(server.mqtt, V311, keeps_session=True)) as gateway:
            await sent(gateway, thing.topic(), b'{"x": 0}')
            waiting = []
            for number in range(1, 11):
                waiting.append(gateway.send(thing.topic(), b'{"x": %d}' % number, 1))
                if number == 5:
                    waiting.append(gateway.send(thing.topic(), POISON, 1))
            async with asyncio.timeout(10):
                for done in waiting:
                    await done
            assert len(gateway.sessions_present) <= 3
        assert set(await server.rest.values(thing, "auto~x")) == set(range(11))


async def test_an_extension_that_raises_does_not_either(serve: Serve) -> None:
    async with serve(WITH_WEATHER) as server:
        asked = 0

        async def on_client_data(message: ClientData) -> ExtensionData:
            nonlocal asked
            asked += 1
            raise RuntimeError("a bug of theirs")

        thing = await server.rest.thing()
        topic = thing.topic("now", 3, extension="weather")
        async with (
            server.core.bus.subscribe(esp.client_data("weather"), on_client_data, queue="weather"),
            opened(Paho(server.mqtt, V5, keeps_session=True)) as gateway,
        ):
            assert await sent(gateway, topic, b"sunny?") == 0x83
            answer = await heard(gateway)
            assert (answer.topic, json.loads(answer.payload)["statusCode"]) == (f"{topic}/error", 500)
            assert gateway.sessions_present == [False, True, True]
            assert asked == 3

        assert (await server.rest.refusals(endpointId=thing.endpoint_id))[0]["payload"] == "sunny?"


async def test_an_extension_that_does_not_answer_closes_the_connection(serve: Serve, connect: Connect) -> None:
    kpc = {"extension-instances": {"dcx": {}, "weather": {}}, "request-timeout": "300ms"}
    async with serve({"instances": {"kpc": kpc}}) as server:

        async def on_client_data(_: ClientData) -> None:
            """Say nothing."""

        thing = await server.rest.thing()
        topic = thing.topic("now", 3, extension="weather")
        async with server.core.bus.subscribe(esp.client_data("weather"), on_client_data, queue="weather"):
            wire = await connect(Wire(server.mqtt, V5))
            wire.publish(topic, b"sunny?", 0)
            answer = await wire.next(p.Publish)
            assert json.loads(answer.payload)["statusCode"] == 504
            wire.publish(topic, b"sunny?", 1)
            [farewell] = await wire.hung_up()
            assert farewell.reason_code == 0x83


async def test_an_extension_that_is_not_there_closes_the_connection(serve: Serve, connect: Connect) -> None:
    async with serve(WITH_WEATHER) as server:
        thing = await server.rest.thing()
        wire = await connect(Wire(server.mqtt, V5))
        wire.publish(thing.topic("now", extension="weather"), b"sunny?", 0)
        answer = await wire.next(p.Publish)
        assert json.loads(answer.payload)["statusCode"] == 503
        wire.publish(thing.topic("now", extension="weather"), b"sunny?", 1)
        [farewell] = await wire.hung_up()
        assert farewell.reason_code == 0x97
