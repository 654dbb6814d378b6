"""EPR's relations: which endpoints contain which (24/EPRMP)."""

from typing import Any

import pytest
from house import House, Reply

from kaa.modules.cm.module import MODULE as CM
from kaa.modules.epr.module import MODULE as EPR
from kaa.protocols import eprmp

API = "/epr/api/v1"
APPLICATIONS = {"home": ["home-v1"], "garden": ["garden-v1"]}


@pytest.fixture
async def five(house: House) -> House:
    """Endpoints `a` to `e`, not related."""
    await begin(house)
    for one in "abcde":
        assert (await post(house, one)).status == 201
    return house


async def begin(house: House) -> None:
    await house.start(CM)
    await house.start(EPR, applications=APPLICATIONS)


async def post(house: House, endpoint_id: str, *relations: Any) -> Reply:
    body = {"appVersion": {"name": "home-v1"}, "endpointId": endpoint_id, "relations": relations}
    return await house.call("POST", f"{API}/endpoints", body)


async def link(house: House, *pairs: str, to: str = "link") -> Reply:
    body = [{"type": "contains", "from": pair[0], "to": pair[1:]} for pair in pairs]
    return await house.call("PUT", f"{API}/relations/{to}", body)


async def relations(house: House, endpoint_id: str, **params: Any) -> tuple[list[str], int]:
    page = await house.get(f"{API}/endpoints/{endpoint_id}/relations", **params)
    assert {one["type"] for one in page["content"]} <= {"contains"}
    return [one["from"] + one["to"] for one in page["content"]], page["totalElements"]


async def test_endpoints_are_linked_and_both_ways_are_found(five: House) -> None:
    heard = await five.hear(eprmp.relations_updated("epr"))
    reply = await link(five, "ab", "ac", "da")
    assert (reply.status, reply.data) == (204, b"")
    assert await relations(five, "a") == (["ab", "ac", "da"], 3)
    assert await relations(five, "a", relation="contains") == (["ab", "ac"], 2)
    assert await relations(five, "a", relation="!contains") == (["da"], 1)
    assert await relations(five, "a", offset=1, limit=1) == (["ac"], 3)
    assert await relations(five, "e") == ([], 0)
    assert [event.endpoint_ids for event in heard] == [("a", "b", "c", "d")]
    await five.outbox_is_empty()


async def test_linking_again_changes_nothing_and_tells_nothing(five: House) -> None:
    await link(five, "ab")
    heard = await five.hear(eprmp.relations_updated("epr"))
    assert (await link(five, "ab", "ab", "ac")).status == 204
    assert (await link(five, "ab")).status == 204
    assert await relations(five, "a") == (["ab", "ac"], 2)
    assert [event.endpoint_ids for event in heard] == [("a", "c")]


async def test_unlinking_takes_away_what_is_there(five: House) -> None:
    await link(five, "ab", "ac")
    heard = await five.hear(eprmp.relations_updated("epr"))
    assert (await link(five, "ab", "ax", "ba", to="unlink")).status == 204
    assert (await link(five, "ab", to="unlink")).status == 204
    assert await relations(five, "a") == (["ac"], 1)
    assert [event.endpoint_ids for event in heard] == [("a", "b")]


async def test_all_are_linked_or_none(five: House) -> None:
    reply = await link(five, "ab", "ax")
    assert (reply.status, reply.message) == (404, "there is no endpoint 'x'")
    assert await relations(five, "a") == ([], 0)


async def test_one_may_have_only_so_many(five: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from kaa.modules.epr.repository import relations as repository

    monkeypatch.setattr(repository, "_MAX_OF_ONE", 2)
    assert (await link(five, "ab", "ac")).status == 204
    reply = await link(five, "da")
    assert (reply.status, reply.message) == (409, "endpoint 'a' has 2 relations, and may have no more")
    assert await relations(five, "d") == ([], 0)


@pytest.mark.parametrize("to", ["link", "unlink"])
@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "body"),
        ([1], "body[0]"),
        ([{"type": "owns", "from": "a", "to": "b"}], "body[0].type"),
        ([{"type": "contains", "from": "a"}], "body[0].to"),
        ([{"type": "contains", "from": "a", "to": "a"}], "relations[0]"),
        ([{"type": "contains", "from": "a", "to": "b"}] * 1_001, "body"),
    ],
)
async def test_what_is_no_relation_is_refused_by_place(five: House, to: str, body: Any, place: str) -> None:
    reply = await five.call("PUT", f"{API}/relations/{to}", body)
    assert (reply.status, reply.message.split(": ")[0]) == (400, place)


async def test_a_new_endpoint_comes_with_its_relations(five: House) -> None:
    heard = await five.hear(eprmp.relations_updated("epr"))
    new = await post(five, "n", {"type": "contains", "from": "a"}, {"type": "contains", "to": "b"})
    assert new.status == 201
    assert await relations(five, "n") == (["an", "nb"], 2)
    assert [set(event.endpoint_ids) for event in heard] == [{"a", "b", "n"}]
    made_up = await five.call(
        "POST",
        f"{API}/endpoints",
        {"appVersion": {"name": "home-v1"}, "relations": [{"type": "contains", "from": "c"}]},
    )
    assert await relations(five, "c") == (["c" + made_up.json["endpointId"]], 1)


@pytest.mark.parametrize(
    ("relation", "status"),
    [
        ({"type": "contains"}, 400),
        ({"type": "contains", "from": "a", "to": "b"}, 400),
        ({"type": "owns", "from": "a"}, 400),
        ({"type": "contains", "from": "n"}, 400),
        ({"type": "contains", "from": "x"}, 404),
    ],
)
async def test_one_whose_relations_cannot_be_is_not_made(five: House, relation: Any, status: int) -> None:
    assert (await post(five, "n", relation)).status == status
    assert (await five.call("GET", f"{API}/endpoints/n")).status == 404
    assert (await post(five, "n")).status == 201


async def test_relations_go_with_their_endpoint(five: House) -> None:
    await link(five, "ab", "ca", "cd")
    heard = await five.hear(eprmp.relations_updated("epr"))
    await five.call("DELETE", f"{API}/endpoints/a")
    assert [set(event.endpoint_ids) for event in heard] == [{"a", "b", "c"}]
    assert await relations(five, "c") == (["cd"], 1)
    await post(five, "a")
    assert await relations(five, "a") == ([], 0)


async def test_who_asks_for_the_relations_of_nobody_finds_nothing(five: House) -> None:
    assert (await five.call("GET", f"{API}/endpoints/x/relations")).status == 404
    assert (await five.call("GET", f"{API}/endpoints/a/relations", params={"relation": "owns"})).status == 400


async def test_they_are_read_over_the_bus(five: House) -> None:
    await link(five, "ab", "ac", "da")
    for relation, expected in (("contains", ("b", "c")), ("!contains", ("d",))):
        reply = await five.request(eprmp.relations("epr"), endpoint_id="a", relation=relation)
        assert (reply.status_code, reply.endpoint_ids) == (200, expected)
    assert (await five.request(eprmp.relations("epr"), endpoint_id="x", relation="contains")).status_code == 404
    assert (await five.request(eprmp.relations("epr"), endpoint_id="a", relation="owns")).status_code == 400


async def test_they_outlive_a_restart(house: House) -> None:
    await begin(house)
    await post(house, "a")
    await post(house, "b", {"type": "contains", "from": "a"})
    await house.restart()
    await begin(house)
    assert await relations(house, "b", relation="!contains") == (["ab"], 1)
