"""CM: what clients connect with, and how it lives, whatever its kind."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from clients import (
    BASIC,
    NOW,
    X509,
    add_certificate,
    add_user,
    login,
    move,
    show,
    start,
)
from fakes.clock import START_MS
from house import House
from waiting import until

from kaa.core.auth import Role
from kaa.core.dates import iso
from kaa.core.errors import StorageFull
from kaa.protocols import cap, ecap


@dataclass(frozen=True)
class Way:
    """How one kind is made and asked about."""

    path: str
    kind: str
    add: Callable[..., Awaitable[Any]]
    ask: Callable[[House, Any], Awaitable[Any]]
    body: Any


async def _login(house: House, _: Any) -> Any:
    return await login(house)


BOTH = [
    pytest.param(Way(BASIC, "basic", add_user, _login, {"username": "other"}), id="basic"),
    pytest.param(Way(X509, "certificate", add_certificate, show, {}), id="certificate"),
]
both = pytest.mark.parametrize("way", BOTH)
PATHS = {
    "Inactive": (),
    "Active": ("Active",),
    "Suspended": ("Active", "Suspended"),
    "Revoked": ("Active", "Revoked"),
}
ALLOWED = {
    ("Inactive", "Active"),
    ("Active", "Suspended"),
    ("Active", "Revoked"),
    ("Suspended", "Active"),
    ("Suspended", "Revoked"),
}


async def with_state(house: House, way: Way, *path: str) -> Any:
    """Make one, and bring it there by these steps."""
    await start(house)
    made = await way.add(house)
    for state in path:
        assert (await move(house, way.path, made["id"], state)).status == 200
    return made


@both
class TestStates:
    async def test_by_hand_it_goes_where_its_life_allows(self, house: House, way: Way) -> None:
        await start(house)
        heard = await house.hear(cap.credentials_revoked())
        for number, (came_from, to) in enumerate(product(PATHS, ("Active", "Suspended", "Revoked"))):
            made = await way.add(house, **({"username": f"gateway-{number}"} if way.kind == "basic" else {}))
            for state in PATHS[came_from]:
                assert (await move(house, way.path, made["id"], state)).status == 200
            heard.clear()
            await house.clock.advance(1_000)
            reply = await move(house, way.path, made["id"], to)
            found = await house.get(f"{way.path}/{made['id']}")
            if (came_from, to) in ALLOWED:
                assert (reply.status, reply.json) == (200, found)
                assert (found["state"], found["updatedDate"]) == (to, iso(house.clock.now_ms()))
                assert found["createdDate"] == made["createdDate"]
                expected = [made["id"]] if to in ("Suspended", "Revoked") else []
                assert [event.credentials_id for event in heard] == expected
            else:
                sentence = f"state: a credential that is {came_from} cannot be made {to}"
                assert (reply.status, reply.message) == (409, sentence)
                assert found["state"] == came_from
                assert heard == []

    async def test_another_target_is_refused_by_field(self, house: House, way: Way) -> None:
        made = await with_state(house, way)
        for state in ("Inactive", "active", "", None, 5):
            reply = await house.call("PUT", f"{way.path}/{made['id']}/state", {"state": state})
            assert (reply.status, reply.message.split(":")[0]) == (400, "body.state")

    async def test_the_first_use_makes_it_active_for_good(self, house: House, way: Way) -> None:
        made = await with_state(house, way)
        assert made["state"] == "Inactive"
        await house.clock.advance(1_000)
        reply = await way.ask(house, made)
        assert (reply.status_code, reply.credentials_id, reply.reason_phrase) == (200, made["id"], None)
        await house.restart()
        await start(house)
        [found] = await house.get(way.path)
        assert (found["state"], found["updatedDate"]) == ("Active", "2025-11-24T16:00:01.000Z")

    @pytest.mark.parametrize(("state", "word"), [("Suspended", "suspended"), ("Revoked", "revoked")])
    async def test_a_bad_one_is_refused_and_named(self, house: House, way: Way, state: str, word: str) -> None:
        made = await with_state(house, way, *PATHS[state])
        reply = await way.ask(house, made)
        assert (reply.status_code, reply.credentials_id) == (403, made["id"])
        assert reply.reason_phrase == f"the credential is {word}"
        assert (await house.get(f"{way.path}/{made['id']}"))["lastUseDate"] is None

    async def test_a_suspended_one_is_good_again_when_it_is_active_again(self, house: House, way: Way) -> None:
        made = await with_state(house, way, "Active", "Suspended")
        assert (await way.ask(house, made)).status_code == 403
        await move(house, way.path, made["id"], "Active")
        assert (await way.ask(house, made)).status_code == 200

    async def test_a_disk_that_takes_nothing_keeps_nobody_out(self, house: House, way: Way) -> None:
        made = await with_state(house, way)

        async def refuse(*_: Any) -> None:
            raise StorageFull("the disk is full; nothing was stored")

        write, house.storage.write = house.storage.write, refuse  # type: ignore[method-assign]
        assert (await way.ask(house, made)).status_code == 200
        house.storage.write = write  # type: ignore[method-assign]
        assert (await house.get(f"{way.path}/{made['id']}"))["state"] == "Inactive"
        await way.ask(house, made)
        assert (await house.get(f"{way.path}/{made['id']}"))["state"] == "Active"


@both
class TestRevoking:
    async def test_it_is_told_both_ways_before_it_is_answered(self, house: House, way: Way) -> None:
        made = await with_state(house, way, "Active")
        heard = await house.hear(cap.credentials_revoked(way.kind, originator="cm"))
        others = {"basic": "certificate", "certificate": "basic"}
        elsewhere = await house.hear(cap.credentials_revoked(others[way.kind]), name="elsewhere")
        old = await house.hear(ecap.credential_revoked("cm"), name="old")
        assert (await move(house, way.path, made["id"], "Revoked")).status == 200
        [event] = heard
        assert (event.tenant_id, event.credentials_id, event.originator_replica_id) == ("kaa", made["id"], "replica-1")
        assert [one.credential_id for one in old] == [made["id"]]
        assert elsewhere == []
        await house.outbox_is_empty()

    @pytest.mark.parametrize("state", list(PATHS))
    async def test_what_is_deleted_is_gone_and_told_unless_it_had_been_revoked(
        self, house: House, way: Way, state: str
    ) -> None:
        made = await with_state(house, way, *PATHS[state])
        heard = await house.hear(cap.credentials_revoked())
        reply = await house.call("DELETE", f"{way.path}/{made['id']}")
        assert (reply.status, reply.data) == (204, b"")
        assert await house.get(way.path) == []
        reply = await way.ask(house, made)
        assert (reply.status_code, reply.credentials_id, reply.client_id) == (401, None, None)
        assert [event.credentials_id for event in heard] == ([] if state == "Revoked" else [made["id"]])
        assert (await house.call("DELETE", f"{way.path}/{made['id']}")).status == 404


@both
class TestLastUse:
    async def test_it_is_seen_at_once_and_written_by_and_by(self, house: House, way: Way) -> None:
        made = await with_state(house, way)
        assert made["lastUseDate"] is None
        await house.clock.advance(1_000)
        await way.ask(house, made)
        writes = _writes(house)
        for _ in range(5):
            assert (await way.ask(house, made)).status_code == 200
        assert _writes(house) == writes
        used = "2025-11-24T16:00:01.000Z"
        assert [one["lastUseDate"] for one in await house.get(way.path)] == [used]
        assert await _kept(house) == [None]
        await house.clock.advance(60_000)
        await _is_kept(house, START_MS + 1_000)
        assert (await house.get(f"{way.path}/{made['id']}"))["lastUseDate"] == used

    async def test_it_is_written_when_the_server_stops(self, house: House, way: Way) -> None:
        made = await with_state(house, way)
        await way.ask(house, made)
        await house.restart()
        await start(house)
        assert [one["lastUseDate"] for one in await house.get(way.path)] == [NOW]

    async def test_what_could_not_be_written_is_written_later(self, house: House, way: Way) -> None:
        made = await with_state(house, way)
        await way.ask(house, made)

        async def refuse(*_: Any) -> None:
            raise StorageFull("the disk is full; nothing was stored")

        write, house.storage.write = house.storage.write, refuse  # type: ignore[method-assign]
        await house.clock.advance(60_000)
        house.storage.write = write  # type: ignore[method-assign]
        assert await _kept(house) == [None]
        await house.clock.advance(60_000)
        await _is_kept(house, START_MS)


@both
class TestAsking:
    async def test_an_unknown_id_is_not_found_and_neither_is_one_of_the_other_kind(
        self, house: House, way: Way
    ) -> None:
        await start(house)
        ids = [(await add_user(house))["id"], (await add_certificate(house))["id"], "nothing"]
        found = []
        for client_id in ids:
            replies = [
                await house.call("GET", f"{way.path}/{client_id}"),
                await move(house, way.path, client_id, "Active"),
                await house.call("DELETE", f"{way.path}/{client_id}"),
            ]
            found.append({reply.status for reply in replies})
            assert all(repr(client_id) in reply.message for reply in replies if reply.status == 404)
        expected = [{404}, {404}, {404}]
        expected[["basic", "certificate"].index(way.kind)] = {200, 204}
        assert found == expected

    async def test_they_are_listed_oldest_first_and_by_state(self, house: House, way: Way) -> None:
        await start(house)
        made = []
        for number in range(3):
            body = {"username": f"gateway-{number}"} if way.kind == "basic" else {}
            made.append(await way.add(house, **body))
            await house.clock.advance(1)
        await move(house, way.path, made[1]["id"], "Active")
        assert [one["id"] for one in await house.get(way.path)] == [one["id"] for one in made]
        assert [one["id"] for one in await house.get(way.path, state="Active")] == [made[1]["id"]]
        assert len(await house.get(way.path, state="Active,Inactive")) == 3
        assert await house.get(way.path, state="Revoked") == []
        reply = await house.call("GET", way.path, params={"state": "active"})
        assert (reply.status, reply.message.split(":")[0]) == (400, "query.state[0]")

    async def test_the_same_is_there_under_ccm(self, house: House, way: Way) -> None:
        await start(house)
        path = way.path.replace("/cm/", "/ccm/")
        reply = await house.call("POST", path, way.body)
        assert reply.status == 201
        client_id = reply.json["id"]
        assert reply.headers["Location"].endswith(f"{path}/{client_id}")
        assert await house.get(path) == await house.get(way.path)
        assert (await move(house, path, client_id, "Active")).json["state"] == "Active"
        assert (await house.call("DELETE", f"{path}/{client_id}")).status == 204
        assert await house.get(way.path) == []

    async def test_another_tenant_has_none(self, house: House, way: Way) -> None:
        await start(house)
        await way.add(house)
        reply = await house.call("GET", way.path, params={"tenantId": "other"})
        assert reply.status == 404

    async def test_who_may_what(self, house: House, way: Way) -> None:
        made = await with_state(house, way)
        statuses = {}
        for role in (None, Role.VIEWER, Role.OPERATOR):
            headers = {}
            if role is not None:
                _, key = await house.site._keys.make(role)
                headers = {"Authorization": f"Bearer {key}"}
            asked = [("GET", way.path, None), ("POST", way.path, way.body)]
            asked += [("PUT", f"{way.path}/{made['id']}/state", {"state": "Active"})]
            statuses[role] = [
                (await house.call(method, path, body, headers=headers, has_key=False)).status
                for method, path, body in asked
            ]
        assert statuses == {None: [401, 401, 401], Role.VIEWER: [200, 403, 403], Role.OPERATOR: [200, 403, 200]}

    async def test_a_body_that_is_none_is_refused(self, house: House, way: Way) -> None:
        await start(house)
        for body in (b"[]", b"{", b'"x"', b"7", b"null", b'{"a": NaN}', b'{"username": "\xff"}'):
            reply = await house.call("POST", way.path, data=body)
            assert (reply.status, reply.message.startswith("body")) == (400, True)
        assert await house.get(way.path) == []


async def test_what_nobody_answered_is_told_again_after_a_restart(house: House) -> None:
    await start(house)
    made = await add_user(house)
    deaf = await house.hear(cap.credentials_revoked(), status=None)
    assert (await house.call("DELETE", f"{BASIC}/{made['id']}")).status == 204
    await house.restart()
    heard = await house.hear(cap.credentials_revoked())
    await start(house)
    await house.outbox_is_empty()
    assert [event.correlation_id for event in heard] == [deaf[0].correlation_id]


async def test_a_list_longer_than_a_page_is_whole(house: House) -> None:
    await start(house)
    rows = [f"('c{n:04d}', 'basic', 'Active', {n // 3}, 0, 'u{n}', 'x')" for n in range(1_203)]
    columns = "id, kind, status, created_ms, updated_ms, username, password_hash"
    statement = f"insert into cm_client ({columns}) values {', '.join(rows)}"
    await house.storage.write(lambda connection: connection.exec_driver_sql(statement) and None)
    assert [one["username"] for one in await house.get(BASIC)] == [f"u{n}" for n in range(1_203)]


async def _kept(house: House) -> list[int | None]:
    """Read from the disk when each was last used."""
    query = "select last_use_ms from cm_client"
    return await house.storage.read(lambda c: [row.last_use_ms for row in c.exec_driver_sql(query)])


async def _is_kept(house: House, at_ms: int) -> None:
    async def is_there() -> bool:
        return await _kept(house) == [at_ms]

    await until(is_there, what="the use is on the disk")


def _writes(house: House) -> bytes:
    return next(line for line in house.metrics.render().splitlines() if line.startswith(b"kaa_storage_writes"))
