"""EPR's metadata: over REST with conditions and patches, over the bus (19/EPMMP), and what is told of it (15/EME)."""

import json
from typing import Any

import pytest
from house import House, Reply

from kaa.modules.cm.module import MODULE as CM
from kaa.modules.epr.module import MODULE as EPR
from kaa.protocols import elce, eme, epmmp

API = "/epr/api/v1"
ONE = f"{API}/endpoints/dev-1/metadata"
APPLICATIONS = {"home": ["home-v1", "home-v2"], "garden": ["garden-v1"]}
PATCH = {"Content-Type": "application/json-patch+json"}


@pytest.fixture
async def started(house: House) -> House:
    await begin(house)
    return house


async def begin(house: House) -> None:
    await house.start(CM)
    await house.start(EPR, applications=APPLICATIONS)


async def post(house: House, endpoint_id: str = "dev-1", **metadata: Any) -> None:
    body = {"appVersion": {"name": "home-v1"}, "endpointId": endpoint_id, "metadata": metadata}
    assert (await house.call("POST", f"{API}/endpoints", body)).status == 201


async def patch(house: House, operations: Any, **headers: str) -> Reply:
    return await house.call("PATCH", ONE, data=json.dumps(operations).encode(), headers=PATCH | headers)


def op(kind: str, path: str, value: Any = None) -> dict[str, Any]:
    return {"op": kind, "path": path} if kind == "remove" else {"op": kind, "path": path, "value": value}


class TestReading:
    async def test_the_whole_comes_with_a_tag_that_spares_reading_it_again(self, started: House) -> None:
        await post(started, floor=3, name=None)
        reply = await started.call("GET", ONE)
        assert (reply.status, reply.json) == (200, {"floor": 3, "name": None})
        tag = reply.headers["ETag"]
        again = await started.call("GET", ONE, headers={"If-None-Match": tag})
        assert (again.status, again.data) == (304, b"")

    async def test_keys_may_be_named_and_those_that_are_not_there_are_left_out(self, started: House) -> None:
        await post(started, a=1, b=2, c=3)
        assert await started.get(ONE, include="c,a,x") == {"a": 1, "c": 3}
        assert await started.get(ONE, include="x") == {}
        assert await started.get(f"{API}/endpoints/dev-1/metadata-keys") == ["a", "b", "c"]

    async def test_one_key_gives_its_value_and_null_is_one(self, started: House) -> None:
        await post(started, **{"a b/ü": [1, {"x": 2.5}], "nothing": None})
        assert await started.get(f"{ONE}/a%20b%2F%C3%BC") == [1, {"x": 2.5}]
        reply = await started.call("GET", f"{ONE}/nothing")
        assert (reply.status, reply.data) == (200, b"null")
        reply = await started.call("GET", f"{ONE}/other")
        assert (reply.status, reply.message) == (404, "there is no metadata key 'other'")

    @pytest.mark.parametrize("path", ["metadata", "metadata/a", "metadata-keys"])
    async def test_of_an_unknown_endpoint_nothing_is_found(self, started: House, path: str) -> None:
        reply = await started.call("GET", f"{API}/endpoints/nobody/{path}")
        assert (reply.status, reply.message) == (404, "there is no endpoint 'nobody'")


class TestReplacing:
    async def test_it_is_replaced_as_a_whole_and_dated(self, started: House) -> None:
        await post(started, a=1, b=2)
        await started.clock.advance(1_000)
        reply = await started.call("PUT", ONE, {"b": 3, "c": {}})
        assert (reply.status, reply.json) == (200, {"b": 3, "c": {}})
        read = await started.call("GET", ONE)
        assert (read.json, read.headers["ETag"]) == ({"b": 3, "c": {}}, reply.headers["ETag"])
        seen = await started.get(f"{API}/endpoints/dev-1", include="metadata")
        assert (seen["metadata"], seen["metadataUpdatedDate"]) == ({"b": 3, "c": {}}, "2025-11-24T16:00:01.000Z")

    async def test_what_changes_nothing_is_no_change(self, started: House) -> None:
        await post(started, a={"x": 1, "y": [True]}, b=None)
        tag = (await started.call("GET", ONE)).headers["ETag"]
        heard = await started.hear(eme.metadata_updated("epr"))
        await started.clock.advance(1_000)
        for reply in (
            await started.call("PUT", ONE, {"b": None, "a": {"y": [True], "x": 1}}),
            await patch(started, [op("replace", "/b"), op("add", "/c", 1), op("remove", "/c")]),
            await patch(started, []),
            await started.call("PUT", f"{ONE}/b", data=b"null"),
        ):
            assert reply.status in {200, 204}
        assert (await started.call("GET", ONE)).headers["ETag"] == tag
        assert "metadataUpdatedDate" not in await started.get(f"{API}/endpoints/dev-1")
        await started.call("PUT", f"{ONE}/last", 1)
        assert [list(event.added) for event in heard] == [["last"]]

    @pytest.mark.parametrize(("before", "after"), [(1, True), (0, False), ("1", 1), (None, False), ([1], [True])])
    async def test_values_that_python_takes_for_equal_are_told_apart(
        self, started: House, before: Any, after: Any
    ) -> None:
        await post(started, a=before)
        await started.call("PUT", f"{ONE}/a", data=json.dumps(after).encode())
        assert (await started.call("GET", f"{ONE}/a")).data == json.dumps(after, separators=(",", ":")).encode()

    @pytest.mark.parametrize(
        ("body", "sentence"),
        [
            (b"[]", "body: "),
            (b"null", "body: "),
            (b"{", "body: "),
            (b"", "body: there is none, and one is needed"),
            (b'{"a": NaN}', "body: "),
            (b'{"a": 1e999}', "body: a number is too large for a double"),
            (json.dumps({str(n): n for n in range(257)}).encode(), "metadata: more than 256 keys"),
            (json.dumps({"a": "x" * 65_536}).encode(), "metadata: more than 65536 bytes of JSON"),
            (json.dumps({"k" * 513: 1}).encode(), "metadata: the key 'kkk"),
            (b'{"deep": ' + b"[" * 33 + b"]" * 33 + b"}", "metadata.deep: nested deeper than 32 levels"),
            (b'{"deep": ' + b"[" * 900 + b"]" * 900 + b"}", "body: "),
        ],
        ids=["list", "null", "broken", "nothing", "nan", "huge", "keys", "bytes", "key", "deep", "deepest"],
    )
    async def test_what_is_no_metadata_is_refused_and_nothing_changes(
        self, started: House, body: bytes, sentence: str
    ) -> None:
        await post(started, a=1)
        reply = await started.call("PUT", ONE, data=body)
        assert (reply.status, reply.message[: len(sentence)]) == (400, sentence)
        assert await started.get(ONE) == {"a": 1}

    async def test_what_is_just_allowed_is_taken(self, started: House) -> None:
        await post(started)
        for body in (
            {str(n): n for n in range(256)},
            {"k" * 512: 1},
            {"a": "x" * (65_536 - len('{"a":""}'))},
            {"deep": json.loads("[" * 32 + "]" * 32)},
        ):
            assert (await started.call("PUT", ONE, body)).status == 200
            assert await started.get(ONE) == body

    async def test_a_viewer_may_read_and_not_write(self, started: House) -> None:
        from kaa.core.auth import Keys, Role
        from kaa.core.key_store import SqlKeyStore

        await post(started, a=1)
        keys = Keys(store=SqlKeyStore(started.storage), ids=started.ids, clock=started.clock)
        _, key = await keys.make(Role.VIEWER)
        headers = {"Authorization": f"Bearer {key}"}
        assert (await started.call("GET", ONE, headers=headers)).status == 200
        for method, path, body in (
            ("PUT", ONE, {}),
            ("PUT", f"{ONE}/a", 1),
            ("PATCH", ONE, []),
            ("DELETE", f"{ONE}/a", None),
        ):
            assert (await started.call(method, path, body, headers=headers)).status == 403


class TestPatching:
    @pytest.mark.parametrize(
        ("operations", "expected"),
        [
            ([op("add", "/c", None)], {"a": {"x": [1, 2]}, "b": True, "c": None}),
            ([op("add", "/a/x/-", 3)], {"a": {"x": [1, 2, 3]}, "b": True}),
            ([op("add", "/a/x/0", 0), op("remove", "/b")], {"a": {"x": [0, 1, 2]}}),
            ([op("replace", "", {})], {}),
            ([{"op": "move", "from": "/a/x", "path": "/x"}], {"a": {}, "b": True, "x": [1, 2]}),
            ([{"op": "copy", "from": "/a/x/1", "path": "/c"}], {"a": {"x": [1, 2]}, "b": True, "c": 2}),
            ([op("test", "/b", True), op("add", "/~1~0", 1)], {"a": {"x": [1, 2]}, "b": True, "/~": 1}),
            ([{**op("add", "/c", 1), "comment": "ignored"}], {"a": {"x": [1, 2]}, "b": True, "c": 1}),
        ],
    )
    async def test_a_patch_changes_places(self, started: House, operations: Any, expected: Any) -> None:
        await post(started, a={"x": [1, 2]}, b=True)
        reply = await patch(started, operations)
        assert (reply.status, reply.json) == (200, expected)
        read = await started.call("GET", ONE)
        assert (read.json, read.headers["ETag"]) == (expected, reply.headers["ETag"])

    @pytest.mark.parametrize(
        ("operations", "sentence"),
        [
            ([op("add", "/c", 1), op("test", "/b", 1)], "patch[1]: the test of '/b' has failed"),
            ([op("add", "/c", 1), op("remove", "/x")], "patch[1]: remove cannot be done at '/x': "),
            ([op("replace", "/x", 1)], "patch[0]: replace cannot be done at '/x': "),
            ([op("add", "/b/c", 1)], "patch[0]: add cannot be done at '/b/c': "),
            ([op("add", "/a/x/9", 1)], "patch[0]: add cannot be done at '/a/x/9': "),
            ([op("remove", "")], "patch[0]: remove cannot be done at '': "),
            ([{"op": "move", "from": "/a", "path": "/a/x/0"}], "patch[0]: move cannot be done at '/a/x/0': "),
            ([{"op": "copy", "from": "/y", "path": "/x"}], "patch[0]: copy cannot be done at '/x': "),
        ],
    )
    async def test_one_that_does_not_fit_is_a_conflict_and_none_of_it_is_done(
        self, started: House, operations: Any, sentence: str
    ) -> None:
        await post(started, a={"x": [1]}, b=True)
        reply = await patch(started, operations)
        assert (reply.status, reply.message[: len(sentence)]) == (409, sentence)
        assert await started.get(ONE) == {"a": {"x": [1]}, "b": True}

    @pytest.mark.parametrize(
        "operations",
        [
            {"a": 1},
            [1],
            [{"op": "add", "path": "/a"}],
            [{"op": "move", "path": "/a"}],
            [{"op": "append", "path": "/a", "value": "x"}],
            [op("add", "a", 1)],
            [op("add", "/a~9", 1)],
            [{"op": "copy", "from": "a", "path": "/b"}],
            [op("add", "/a" * 33, 1)],
            [op("replace", "", [1])],
            [op("add", f"/k{n}", n) for n in range(257)],
            [op("add", f"/k{n}", n) for n in range(256)],
            [{"op": "copy", "from": "/a", "path": f"/b{n}"} for n in range(9)],
            [{"op": "copy", "from": "", "path": f"/b{n}"} for n in range(8)],
            [op("add", "/deep", json.loads("[" * 33 + "]" * 33))],
        ],
    )
    async def test_what_is_no_patch_or_too_much_is_refused(self, started: House, operations: Any) -> None:
        await post(started, a="x" * 5_000)
        reply = await patch(started, operations)
        assert reply.status == 400
        assert list(await started.get(ONE)) == ["a"]

    async def test_a_body_that_is_too_large_is_refused_before_it_is_read(self, started: House) -> None:
        await post(started)
        assert (await patch(started, [op("add", "/a", "x" * 131_072)])).status == 413


class TestKeys:
    async def test_one_is_set_and_removed(self, started: House) -> None:
        await post(started, a=1)
        reply = await started.call("PUT", f"{ONE}/b%2Fc", {"x": 1})
        assert (reply.status, reply.data) == (204, b"")
        assert await started.get(ONE) == {"a": 1, "b/c": {"x": 1}}
        assert (await started.call("DELETE", f"{ONE}/a")).status == 204
        assert await started.get(ONE) == {"b/c": {"x": 1}}
        reply = await started.call("DELETE", f"{ONE}/a")
        assert (reply.status, reply.message) == (404, "there is no metadata key 'a'")

    async def test_what_is_wrong_is_refused(self, started: House) -> None:
        await post(started, **{str(n): n for n in range(256)})
        assert (await started.call("PUT", f"{ONE}/0", data=b"{")).status == 400
        assert (await started.call("PUT", f"{ONE}/0", data=b"")).status == 400
        assert (await started.call("PUT", f"{ONE}/more", 1)).message == "metadata: more than 256 keys"
        assert (await started.call("PUT", f"{API}/endpoints/nobody/metadata/a", 1)).status == 404
        assert (await started.call("DELETE", f"{API}/endpoints/nobody/metadata/a")).status == 404


class TestConditions:
    async def test_who_has_read_an_older_state_is_refused(self, started: House) -> None:
        await post(started, a=1)
        tag = (await started.call("GET", ONE)).headers["ETag"]
        await started.call("PUT", f"{ONE}/b", 1)
        old, new = {"If-Match": tag}, {"If-Match": (await started.call("GET", ONE)).headers["ETag"]}
        for headers, expected in ((old, {412}), (new, {200, 204})):
            replies = [
                await started.call("PUT", ONE, {"a": 1, "b": 1}, headers=headers),
                await patch(started, [op("test", "/a", 1)], **headers),
                await started.call("PUT", f"{ONE}/a", 1, headers=headers),
                await started.call("DELETE", f"{ONE}/{'a' if headers is old else 'b'}", headers=headers),
            ]
            assert {reply.status for reply in replies} <= expected
        assert await started.get(ONE) == {"a": 1}

    async def test_a_key_has_a_tag_of_its_own(self, started: House) -> None:
        await post(started, a=1, b=1)
        tag = (await started.call("GET", f"{ONE}/a")).headers["ETag"]
        await started.call("PUT", f"{ONE}/b", 2)
        reply = await started.call("PUT", f"{ONE}/a", 2, headers={"If-Match": tag})
        assert reply.status == 204
        assert reply.headers["ETag"] == (await started.call("GET", f"{ONE}/a")).headers["ETag"] != tag
        assert (await started.call("DELETE", f"{ONE}/a", headers={"If-Match": tag})).status == 412
        assert (await started.call("GET", f"{ONE}/a", headers={"If-None-Match": tag})).status == 200

    async def test_a_key_may_be_made_only_if_it_is_not_there_or_changed_only_if_it_is(self, started: House) -> None:
        await post(started)
        new, known = {"If-None-Match": "*"}, {"If-Match": "*"}
        assert (await started.call("PUT", f"{ONE}/a", 1, headers=known)).status == 412
        assert (await started.call("PUT", f"{ONE}/a", 1, headers=new)).status == 204
        assert (await started.call("PUT", f"{ONE}/a", 2, headers=new)).status == 412
        assert (await started.call("PUT", f"{ONE}/a", 3, headers=known)).status == 204
        assert (await started.call("PUT", ONE, {}, headers=new)).status == 412
        assert await started.get(ONE) == {"a": 3}


class TestWhatIsTold:
    async def test_a_change_is_told_by_its_three_maps(self, started: House) -> None:
        heard = await started.hear(eme.metadata_updated("epr"))
        await post(started, stays=1, goes={"b": 2, "a": None}, changes=None, empties="x")
        await started.call("PUT", ONE, {"stays": 1, "changes": [1.5], "empties": None, "comes": "ü"})
        [event] = heard
        assert (event.endpoint_id, event.app_version_name) == ("dev-1", "home-v1")
        assert event.removed == {"goes": '{"a":null,"b":2}'}
        assert event.added == {"comes": '"ü"'}
        assert {key: (dto.old_value, dto.new_value) for key, dto in event.updated.items()} == {
            "changes": (None, "[1.5]"),
            "empties": ('"x"', None),
        }
        await started.outbox_is_empty()

    async def test_what_nobody_has_answered_is_told_again_after_a_restart(self, house: House) -> None:
        await begin(house)
        await post(house)
        await house.hear(eme.metadata_updated("epr"), status=503)
        await house.call("PUT", f"{ONE}/a", 1)
        await house.restart()
        again = await house.hear(eme.metadata_updated("epr"))
        await begin(house)
        await house.outbox_is_empty()
        assert [event.added for event in again] == [{"a": "1"}]
        assert await house.get(ONE) == {"a": 1}

    async def test_a_refusal_and_a_registration_tell_nothing(self, started: House) -> None:
        heard = await started.hear(eme.metadata_updated("epr"))
        await post(started, a=1)
        await started.call("PUT", ONE, {"a": 2}, headers={"If-Match": '"other"'})
        await started.call("PUT", f"{ONE}/a", 3)
        assert [list(event.updated) for event in heard] == [["a"]]

    async def test_deleting_an_endpoint_takes_its_metadata_along(self, started: House) -> None:
        await post(started, a=1)
        await started.call("DELETE", f"{API}/endpoints/dev-1")
        assert (await started.call("GET", ONE)).status == 404
        await post(started)
        assert await started.get(ONE) == {}


class TestOverTheBus:
    async def test_metadata_is_read_with_tag_and_version(self, started: House) -> None:
        await post(started, a=1, b=None)
        tag = (await started.call("GET", ONE)).headers["ETag"].strip('"')
        for fields, payload in (
            ({}, {"a": 1, "b": None}),
            ({"include": ("b", "x")}, {"b": None}),
            ({"include_metadata": False}, None),
        ):
            reply = await started.request(epmmp.metadata("epr"), endpoint_id="dev-1", **fields)
            assert (reply.status_code, reply.e_tag, reply.app_version_name) == (200, tag, "home-v1")
            assert (None if reply.payload is None else json.loads(reply.payload)) == payload

    async def test_keys_are_read(self, started: House) -> None:
        await post(started, a=1, b=2)
        reply = await started.request(epmmp.metadata_keys("epr"), endpoint_id="dev-1")
        assert (reply.status_code, reply.keys) == (200, ("a", "b"))

    async def test_metadata_is_patched_if_it_is_as_it_is_said_to_be(self, started: House) -> None:
        await post(started, a=1)
        heard = await started.hear(eme.metadata_updated("epr"))
        tag = (await started.request(epmmp.metadata("epr"), endpoint_id="dev-1")).e_tag
        for if_match, status in (("other", 412), (f'"other", W/"{tag}"', 200), (tag, 412), ("*", 200), (None, 200)):
            reply = await started.request(
                epmmp.patch_metadata("epr"),
                endpoint_id="dev-1",
                if_match=if_match,
                patch=json.dumps([op("add", "/n", f"after {if_match}")]).encode(),
            )
            assert reply.status_code == status
        assert await started.get(ONE) == {"a": 1, "n": "after None"}
        assert len(heard) == 3

    @pytest.mark.parametrize(
        ("patch", "status"),
        [(b"{", 400), (b"[1]", 400), (b'[{"op": "remove", "path": "/x"}]', 409), (b" " * 131_073, 400)],
    )
    async def test_a_patch_that_is_none_or_does_not_fit_is_refused(
        self, started: House, patch: bytes, status: int
    ) -> None:
        await post(started)
        reply = await started.request(epmmp.patch_metadata("epr"), endpoint_id="dev-1", patch=patch)
        assert (reply.status_code, reply.reason_phrase[:5]) == (status, "patch")

    async def test_a_key_is_set(self, started: House) -> None:
        await post(started)
        set_key = epmmp.update_metadata_key("epr")
        for value, status in ((b"null", 200), (b"nul", 400), (b"NaN", 400), (b"1e999", 400), (b"[" * 900, 400)):
            reply = await started.request(set_key, endpoint_id="dev-1", metadata_key="a", metadata_value=value)
            assert reply.status_code == status, value
        assert await started.get(ONE) == {"a": None}

    async def test_nobody_is_not_found(self, started: House) -> None:
        for subject, fields in (
            (epmmp.metadata, {}),
            (epmmp.metadata_keys, {}),
            (epmmp.patch_metadata, {"patch": b"[]"}),
            (epmmp.update_metadata_key, {"metadata_key": "a", "metadata_value": b"1"}),
        ):
            reply = await started.request(subject("epr"), endpoint_id="nobody", **fields)
            assert (reply.status_code, reply.reason_phrase) == (404, "there is no endpoint 'nobody'")

    async def test_versions_are_given_for_those_that_are_there(self, started: House) -> None:
        await post(started, "a")
        await post(started, "b")
        reply = await started.request(epmmp.app_versions("epr"), endpoint_ids=("b", "x", "a"))
        assert (reply.status_code, reply.endpoint_ids) == (200, ("b", "x", "a"))
        assert {name: set(ids) for name, ids in reply.app_versions_to_endpoints.items()} == {"home-v1": {"a", "b"}}
        ids = tuple(map(str, range(10_001)))
        assert (await started.request(epmmp.app_versions("epr"), endpoint_ids=ids)).status_code == 400


def command(endpoint_id: str, key: str, value: bytes) -> epmmp.EndpointMetadataKeyUpdateCommand:
    return epmmp.EndpointMetadataKeyUpdateCommand(endpoint_id=endpoint_id, metadata_key=key, metadata_value=value)


class TestKeysOfMany:
    async def test_keys_of_many_endpoints_are_set_the_last_one_holds_and_each_endpoint_is_told_once(
        self, started: House
    ) -> None:
        heard = await started.hear(eme.metadata_updated("epr"))
        for endpoint_id in ("a", "b", "c"):
            await post(started, endpoint_id, is_on=False)
        commands = (
            command("a", "is_on", b"true"),
            command("b", "is_on", b"true"),
            command("a", "at", b"17"),
            command("b", "is_on", b"false"),
            command("c", "is_on", b"false"),
        )
        reply = await started.request(epmmp.update_metadata_keys("epr"), commands=commands)
        assert (reply.status_code, reply.reason_phrase) == (200, None)
        page = await started.get(f"{API}/endpoints", include="metadata")
        assert [one["metadata"] for one in page["content"]] == [
            {"is_on": True, "at": 17},
            {"is_on": False},
            {"is_on": False},
        ]
        await started.outbox_is_empty()
        assert [(event.endpoint_id, dict(event.added)) for event in heard] == [("a", {"at": "17"})]

    async def test_those_that_cannot_be_written_do_not_keep_the_others_from_it(self, started: House) -> None:
        await post(started, "full", **{str(n): n for n in range(256)})
        await post(started)
        commands = tuple(command(one, "on", b"true") for one in ("nobody", "full", "dev-1"))
        reply = await started.request(epmmp.update_metadata_keys("epr"), commands=commands)
        assert (reply.status_code, reply.reason_phrase) == (
            200,
            "2 endpoints were left alone: there is no endpoint 'nobody'; metadata: more than 256 keys",
        )
        assert await started.get(ONE) == {"on": True}

    async def test_what_is_wrong_in_itself_refuses_all_of_it(self, started: House, loop_watch: Any) -> None:
        loop_watch.is_on = False  # it takes long to encode as many as are too many
        await post(started)
        commands = (command("dev-1", "a", b"1"), command("dev-1", "b", b"x"))
        reply = await started.request(epmmp.update_metadata_keys("epr"), commands=commands)
        assert (reply.status_code, reply.reason_phrase[:29]) == (400, "commands[1].metadataValue: in")
        too_many = (command("dev-1", "a", b"1"),) * 10_001
        reply = await started.request(epmmp.update_metadata_keys("epr"), commands=too_many)
        assert (reply.status_code, reply.reason_phrase) == (400, "commands: more than 10000")
        assert await started.get(ONE) == {}

    async def test_many_are_a_few_commits(self, started: House) -> None:
        from kaa.modules.epr.repository import endpoint_table

        rows = [
            {"id": f"e{n}", "application": "home", "app_version": "home-v1", "version_since_ms": 1, "created_ms": 1}
            | {"metadata": b'{"is_on":false}'}
            for n in range(1_000)
        ]
        await started.storage.write(lambda connection: connection.execute(endpoint_table.insert(), rows) and None)
        jobs: list[int] = []
        apply = started.storage._apply
        started.storage._apply = lambda batch: jobs.append(len(batch)) or apply(batch)  # type: ignore[method-assign]
        commands = tuple(command(f"e{n}", "is_on", b"true") for n in range(1_000))
        reply = await started.request(epmmp.update_metadata_keys("epr"), commands=commands)
        assert reply.status_code == 200
        await started.outbox_is_empty()
        assert sum(jobs) <= 4 + 4, "those of the change, and those that clear the outbox"

    async def test_the_version_of_the_event_is_the_endpoints(self, started: House) -> None:
        heard = await started.hear(eme.metadata_updated("epr"))
        moved = await started.hear(elce.app_version_updated("epr"))
        await post(started)
        started.publish(elce.connected("kpc"), endpoints={"dev-1": "home-v2"})
        from waiting import until

        await until(lambda: moved)
        await started.request(epmmp.update_metadata_keys("epr"), commands=(command("dev-1", "a", b"1"),))
        await until(lambda: heard)
        assert heard[0].app_version_name == "home-v2"
