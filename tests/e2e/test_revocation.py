"""A token that is revoked is felt at once, by the endpoint that it was for and by nobody else."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from hosts import Inside, Place
from mqtt_clients import V5, V311, Wire
from waiting import until

from kaa.protocols import elce
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt.client import Acknowledged

Connect = Callable[..., Awaitable[Any]]


@pytest.mark.parametrize("status", ["Suspended", "Revoked"])
@pytest.mark.parametrize("version", [V311, V5])
async def test_the_socket_of_the_only_endpoint_is_closed(
    place: Place, connect: Connect, version: int, status: str
) -> None:
    thing = await place.rest.thing()
    wire = await connect(Wire(place.mqtt, version))
    await wire.answer(thing.topic("json", 1), b'{"x": 1}')
    await place.rest.token_status(thing, status)
    said = await wire.hung_up()
    if version == V5:
        assert [type(packet) for packet in said] == [p.Disconnect]
        assert said[0].reason_code == 0x87


async def test_a_token_that_is_deleted_closes_it_too(place: Place, connect: Connect) -> None:
    thing = await place.rest.thing()
    wire = await connect(Wire(place.mqtt))
    await wire.answer(thing.topic("json", 1), b'{"x": 1}')
    path = f"/cm/api/v1/endpoints/{thing.endpoint_id}/tokens"
    [token] = (await place.rest.get(path))["content"]
    await place.rest.send("DELETE", f"{path}/{token['endpointTokenId']}")
    await wire.hung_up()


async def test_a_connection_with_another_endpoint_stays_open(place: Place, connect: Connect) -> None:
    one = await place.rest.thing()
    other = await place.rest.thing(one.application)
    wire = await connect(Wire(place.mqtt, V5))
    for thing in (one, other):
        await wire.answer(thing.topic("json", 1), b'{"x": 1}')
    await place.rest.token_status(one, "Suspended")
    reason, answer = await wire.answer(one.topic("json", 2), b'{"x": 2}')
    assert (reason, json.loads(answer.payload)["statusCode"]) == (0x87, 403)
    reason, _ = await wire.answer(other.topic("json", 2), b'{"x": 2}')
    assert reason == 0
    assert await place.rest.values(one, "auto~x") == [1]
    assert await place.rest.values(other, "auto~x") == [1, 2]
    # the last one goes, and the socket with it
    await place.rest.token_status(other, "Suspended")
    await wire.hung_up()


async def test_a_token_that_is_active_again_is_taken_again(place: Place, connect: Connect) -> None:
    thing = await place.rest.thing()
    await place.rest.token_status(thing, "Suspended")
    wire = await connect(Wire(place.mqtt, V5))
    assert (await wire.answer(thing.topic("json", 1), b'{"x": 1}'))[0] == 0x87
    await place.rest.token_status(thing, "Active")

    async def is_taken() -> bool:
        return (await wire.answer(thing.topic("json", 1), b'{"x": 1}'))[0] == 0

    await until(is_taken)


class TestConnectivity:
    @pytest.fixture
    async def told(self, server: Inside) -> AsyncIterator[list[tuple[str, frozenset[str]]]]:
        """What is told of endpoints that come and go."""
        heard: list[tuple[str, frozenset[str]]] = []

        async def on_connected(event: elce.ConnectedEvent) -> None:
            heard.append(("connected", frozenset(event.endpoints)))

        async def on_disconnected(event: elce.DisconnectedEvent) -> None:
            heard.append(("disconnected", frozenset(event.endpoints)))

        async with (
            server.core.bus.subscribe(elce.connected(), on_connected, queue="test"),
            server.core.bus.subscribe(elce.disconnected(), on_disconnected, queue="test"),
        ):
            yield heard

    @pytest.mark.parametrize("has_farewell", [False, True])
    async def test_a_gateway_that_goes_is_told_in_one_event(
        self, server: Inside, told: list[tuple[str, frozenset[str]]], *, has_farewell: bool
    ) -> None:
        application = await server.rest.application()
        things = [await server.rest.thing(application) for _ in range(50)]
        gateway = Wire(server.mqtt)
        await gateway.open()
        for thing in things:
            gateway.publish(thing.topic(), b'{"x": 1}')
        for _ in things:
            await gateway.next(Acknowledged)
        if has_farewell:
            gateway.session.disconnect()
            gateway.flush()
        await gateway.close()
        everybody = frozenset(thing.endpoint_id for thing in things)
        await until(lambda: told and told[-1][0] == "disconnected")
        assert told[-1] == ("disconnected", everybody)
        # another who comes and goes shows that nothing more was told of those
        other = await server.rest.thing(application)
        wire = Wire(server.mqtt)
        await wire.open()
        await wire.answer(other.topic("json", 1), b'{"x": 1}')
        await wire.close()
        await until(lambda: told[-1] == ("disconnected", frozenset({other.endpoint_id})))
        assert [event for event in told if event[0] == "disconnected"] == [
            ("disconnected", everybody),
            ("disconnected", frozenset({other.endpoint_id})),
        ]
        came = [endpoint_id for event, ids in told if event == "connected" for endpoint_id in ids]
        assert sorted(came) == sorted([*everybody, other.endpoint_id])

    async def test_an_endpoint_that_speaks_through_another_connection_has_left_the_first(
        self, server: Inside, told: list[tuple[str, frozenset[str]]]
    ) -> None:
        thing = await server.rest.thing()
        first, second = Wire(server.mqtt), Wire(server.mqtt)
        for wire in (first, second):
            await wire.open()
            await wire.answer(thing.topic("json", 1), b'{"x": 1}')
        await first.close()
        await second.close()
        it = frozenset({thing.endpoint_id})
        await until(lambda: len(told) == 4)
        assert told == [("connected", it), ("disconnected", it), ("connected", it), ("disconnected", it)]

    async def test_a_token_that_is_revoked_disconnects_its_endpoint(
        self, server: Inside, told: list[tuple[str, frozenset[str]]]
    ) -> None:
        thing = await server.rest.thing()
        wire = Wire(server.mqtt)
        await wire.open()
        await wire.answer(thing.topic("json", 1), b'{"x": 1}')
        await server.rest.token_status(thing, "Revoked")
        await until(lambda: len(told) == 2)
        assert told[-1] == ("disconnected", frozenset({thing.endpoint_id}))
        await wire.hung_up()
        await wire.close()
