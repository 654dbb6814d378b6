"""ECR over REST: configurations of endpoints and versions, by name, with tags and schemas, and what is refused."""

import json
from hashlib import sha256
from typing import Any

import pytest
from configuring import API, NOW
from house import House
from keeping import ALL, BATCH, ONE, SIZED, Keeper

LATER = "2025-11-24T16:00:05.000Z"
NAMED = "7dcd4c54bbc2f6efb97c6e2a6fe5fcec23e1e02bc4cd7f61ddd16d7a51f6cb2c"


@pytest.fixture
async def ecr(house: House) -> Keeper:
    return await Keeper(house).open()


PLACES = pytest.mark.parametrize("path", [ONE, ALL], ids=["endpoint", "version"])


@PLACES
class TestOne:
    async def test_what_is_written_is_given_back_and_can_be_read_again(self, ecr: Keeper, path: str) -> None:
        reply = await ecr.call("PUT", path, {"b": [1, None], "a": "ü"})
        text = '{"a":"ü","b":[1,null]}'
        config_id = sha256(text.encode()).hexdigest()
        assert (reply.status, reply.headers["ETag"]) == (200, f'"{config_id}"')
        assert reply.json == {
            "configId": config_id,
            "name": "default",
            "config": text,
            "createdDate": NOW,
            "updatedDate": NOW,
        }
        again = await ecr.call("GET", path)
        assert (again.status, again.json, again.headers["ETag"]) == (200, reply.json, f'"{config_id}"')

    @pytest.mark.parametrize("value", [None, False, 0, 1.5, "", "text", [], {}, 2**70, [[[{}]]]])
    async def test_any_json_is_a_configuration(self, ecr: Keeper, path: str, value: Any) -> None:
        await ecr.put(path, value)
        assert await ecr.found(path) == value

    async def test_another_content_has_another_identifier_and_keeps_the_date_of_the_first(
        self, ecr: Keeper, path: str
    ) -> None:
        first = await ecr.put(path, 1)
        await ecr.house.clock.advance(5_000)
        second = (await ecr.call("PUT", path, 2)).json
        assert second["configId"] != first
        assert (second["createdDate"], second["updatedDate"]) == (NOW, LATER)
        assert (await ecr.call("GET", path)).json == second

    async def test_the_same_content_however_it_is_spelled_changes_nothing(self, ecr: Keeper, path: str) -> None:
        first = (await ecr.call("PUT", path, b'{"a": 1, "b": "\\u00fc"}')).json
        await ecr.devices.quiet()
        before = await ecr.kept()
        await ecr.house.clock.advance(5_000)
        assert (await ecr.call("PUT", path, ' {"b":"ü",\n"a":1}'.encode())).json == first
        await ecr.devices.quiet()
        assert await ecr.kept() == before

    async def test_after_it_is_deleted_there_is_none(self, ecr: Keeper, path: str) -> None:
        await ecr.put(path, 1)
        await ecr.delete(path)
        await ecr.refused(404, "has no configuration 'default'" if path == ALL else "no configuration", "GET", path)
        await ecr.refused(404, "no configuration 'default'", "DELETE", path)

    async def test_one_that_comes_back_is_a_new_one(self, ecr: Keeper, path: str) -> None:
        first = await ecr.put(path, 1)
        await ecr.delete(path)
        await ecr.house.clock.advance(5_000)
        again = (await ecr.call("PUT", path, 1)).json
        assert (again["configId"], again["createdDate"]) == (first, LATER)

    async def test_it_outlives_a_restart(self, ecr: Keeper, path: str) -> None:
        first = (await ecr.call("PUT", path, {"a": 1}, name="net")).json
        await ecr.restart()
        assert (await ecr.call("GET", path, name="net")).json == first


@PLACES
class TestNames:
    async def test_each_name_has_a_configuration_of_its_own(self, ecr: Keeper, path: str) -> None:
        await ecr.put(path, "nothing said")
        await ecr.put(path, "of the net", name="net-1_A")
        assert await ecr.found(path) == await ecr.found(path, name="default") == "nothing said"
        assert await ecr.found(path, name="net-1_A") == "of the net"
        await ecr.delete(path, name="net-1_A")
        assert await ecr.found(path) == "nothing said"

    async def test_the_identifier_tells_the_name(self, ecr: Keeper, path: str) -> None:
        ids = [await ecr.put(path, 1, name=name) for name in ("default", "net", "other")]
        assert len(set(ids)) == 3
        assert ids[:2] == [sha256(b"1").hexdigest(), sha256(b"net\n1").hexdigest()]

    async def test_all_are_listed_by_name(self, ecr: Keeper, path: str) -> None:
        assert await ecr.house.get(f"{API}{path}/configurations") == []
        for name in ("net", "a", "default"):
            await ecr.put(path, name, name=name)
        found = await ecr.house.get(f"{API}{path}/configurations")
        assert [(one["name"], one["config"]) for one in found] == [
            ("a", '"a"'),
            ("default", '"default"'),
            ("net", '"net"'),
        ]
        assert found[2] == (await ecr.call("GET", path, name="net")).json

    @pytest.mark.parametrize("name", ["", "42", "status", "error", "a/b", "a b", "ü", "x" * 65, "a\n", "٣"])
    async def test_one_that_could_not_stand_in_a_topic_is_refused(self, ecr: Keeper, path: str, name: str) -> None:
        await ecr.put(path, 1)
        for method in ("PUT", "GET", "DELETE"):
            body = {"body": 2} if method == "PUT" else {}
            await ecr.refused(400, f"name: {name!r} ", method, path, name=name, **body)
        assert await ecr.found(path) == 1

    @pytest.mark.parametrize("name", ["x" * 64, "4-2", "Status", "errors", "_", "-1"])
    async def test_one_that_is_nearly_so_is_taken(self, ecr: Keeper, path: str, name: str) -> None:
        await ecr.put(path, 1, name=name)
        assert await ecr.found(path, name=name) == 1

    async def test_one_name_at_a_time(self, ecr: Keeper, path: str) -> None:
        reply = await ecr.house.call("GET", API + path, params=[("name", "a"), ("name", "b")])
        assert (reply.status, reply.message) == (400, "query.name: given more than once")


@PLACES
class TestTags:
    @pytest.mark.parametrize("spelling", ['"{}"', "{}", 'W/"{}"', '"other", "{}"', "*"])
    async def test_a_change_of_the_state_that_is_named_is_made(self, ecr: Keeper, path: str, spelling: str) -> None:
        for method, body in (("PUT", {"body": 2}), ("DELETE", {})):
            config_id = await ecr.put(path, 1)
            reply = await ecr.call(method, path, headers={"If-Match": spelling.format(config_id)}, **body)
            assert reply.status in {200, 204}, (method, reply)
            assert (await ecr.call("GET", path)).status == (200 if method == "PUT" else 404)

    @pytest.mark.parametrize("named", ['"other"', "other", '""', '"*x"'])
    async def test_a_change_of_another_state_is_not(self, ecr: Keeper, path: str, named: str) -> None:
        await ecr.put(path, 1)
        for method, body in (("PUT", {"body": 2}), ("DELETE", {})):
            await ecr.refused(412, "If-Match", method, path, headers={"If-Match": named}, **body)
        assert await ecr.found(path) == 1

    async def test_nor_is_one_of_what_is_not_there(self, ecr: Keeper, path: str) -> None:
        await ecr.refused(412, "If-Match", "PUT", path, 1, headers={"If-Match": "*"})
        await ecr.refused(404, "no configuration", "DELETE", path, headers={"If-Match": "*"})

    async def test_of_two_that_read_the_same_state_one_may_change_it(self, ecr: Keeper, path: str) -> None:
        tag = {"If-Match": await ecr.put(path, "read by both")}
        statuses = [(await ecr.call("PUT", path, text, headers=tag)).status for text in ("mine", "yours")]
        assert statuses == [200, 412]
        assert await ecr.found(path) == "mine"

    async def test_who_has_it_is_spared_reading_it_again(self, ecr: Keeper, path: str) -> None:
        config_id = await ecr.put(path, 1)
        for named in (f'"{config_id}"', config_id, f'W/"{config_id}"', "*"):
            reply = await ecr.call("GET", path, headers={"If-None-Match": named})
            assert (reply.status, reply.data, reply.headers["ETag"]) == (304, b"", f'"{config_id}"')
        await ecr.put(path, 2)
        reply = await ecr.call("GET", path, headers={"If-None-Match": config_id})
        assert (reply.status, reply.json["config"]) == (200, "2")


class TestMany:
    async def test_endpoints_of_several_versions_get_one_configuration_in_one_step(self, ecr: Keeper) -> None:
        await ecr.batch({"a": 1}, {"home-v1": ["dev-1", "dev-2", "dev-1"], "home-v2": ["dev-3"]}, name="net")
        for path in (ONE, "/endpoints/dev-2/app-versions/home-v1", "/endpoints/dev-3/app-versions/home-v2"):
            assert await ecr.found(path, name="net") == {"a": 1}
        assert len((await ecr.kept())["ecr_content"]) == 1
        assert {one["endpointId"] for one in await ecr.statuses(status="PENDING")} == {"dev-1", "dev-2", "dev-3"}

    async def test_those_of_them_that_are_connected_are_told(self, ecr: Keeper) -> None:
        await ecr.devices.connect("dev-1", "dev-2")
        await ecr.batch(1, {"home-v1": ["dev-1"], "home-v2": ["dev-3"]})
        assert ecr.news() == [("dev-1", "home-v1", 1)]
        assert [await ecr.state("dev-1"), await ecr.state("dev-3")] == [{"1": "DISPATCHED"}, {"1": "PENDING"}]

    async def test_the_same_again_changes_nothing_also_of_what_has_become_of_it(self, ecr: Keeper) -> None:
        await ecr.batch(1, {"home-v1": ["dev-1", "dev-2"]})
        await ecr.report((await ecr.ask()).config_id or "")
        await ecr.put("/endpoints/dev-2/app-versions/home-v1", 2)
        await ecr.report(sha256(b"2").hexdigest(), "dev-2")  # of one that nobody has told it yet
        await ecr.house.clock.advance(5_000)
        before = (await ecr.kept())["ecr_config"]
        await ecr.batch(1, {"home-v1": ["dev-1"]})
        await ecr.batch(2, {"home-v1": ["dev-2"]})
        assert (await ecr.kept())["ecr_config"] == before
        assert [await ecr.state("dev-1"), (await ecr.state("dev-2"))["2"]] == [{"1": "APPLIED"}, "APPLIED"]

    async def test_a_thousand_are_taken(self, ecr: Keeper) -> None:
        crowd = [f"c-{number}" for number in range(1_000)]
        ecr.register.endpoints |= dict.fromkeys(crowd, ("home", "home-v1"))
        await ecr.batch(1, {"home-v1": crowd})
        assert len((await ecr.kept())["ecr_config"]) == 1_000
        ecr.register.endpoints["c-1000"] = ("home", "home-v1")
        body = {"configPayload": 2, "endpoints": {"home-v1": [*crowd, "c-1000"]}}
        await ecr.refused(400, "endpoints: 1001, and at most 1000 are taken", "PUT", BATCH, body)

    async def test_one_that_is_not_right_is_named_and_none_gets_it(self, ecr: Keeper) -> None:
        for status, words, endpoints in (
            (404, "endpoints: there is no 'x'", {"home-v1": ["dev-1", "x"]}),
            (404, "there is no 'x1', 'x2', 'x3' and 2 more", {"home-v1": ["x1", "x2", "dev-1", "x3", "x4", "x5"]}),
            (404, "there is no application version 'home-v9'", {"home-v1": ["dev-1"], "home-v9": ["dev-2"]}),
            (409, "endpoint 'plant-1' belongs to application 'garden'", {"home-v1": ["dev-1", "plant-1"]}),
            (400, "endpoints: there are none", {}),
            (400, "endpoints: there are none", {"home-v1": []}),
            (400, "body.endpoints: ", {f"v{number}": ["dev-1"] for number in range(101)}),
            (400, "body.endpoints.home-v1[1]: ", {"home-v1": ["dev-1", 7]}),
            (400, "body.endpoints.home-v1: ", {"home-v1": "dev-1"}),
            (400, "body.endpoints: ", ["dev-1"]),
            (400, "body.endpoints: ", None),
        ):
            await ecr.refused(status, words, "PUT", BATCH, {"configPayload": 1, "endpoints": endpoints})
        await ecr.refused(400, "body.endpoints: field required", "PUT", BATCH, {"configPayload": 1})
        await ecr.refused(
            400, "body.configPayload: field required", "PUT", BATCH, {"endpoints": {"home-v1": ["dev-1"]}}
        )
        good = {"configPayload": 1, "endpoints": {"home-v1": ["dev-1"]}}
        await ecr.refused(400, "name: 'status' ", "PUT", BATCH, good, name="status")

    async def test_null_is_a_configuration_also_for_many(self, ecr: Keeper) -> None:
        await ecr.batch(None, {"home-v1": ["dev-1"]})
        assert await ecr.found(ONE) is None


SCHEMAS = {
    "home": {"endpoint-configuration": {"schema": SIZED}},
    "home-v2": {"endpointConfigurationSchema": '{"type": "array", "items": {"type": "string", "maxLength": 3}}'},
}


class TestSchemas:
    async def test_the_one_of_the_version_counts_before_that_of_its_application(self, house: House) -> None:
        ecr = await Keeper(house, SCHEMAS).open()
        assert await house.get(f"{API}/app-versions/home-v1/schemas") == SIZED
        assert (await house.get(f"{API}/app-versions/home-v2/schemas"))["type"] == "array"
        await ecr.put(ALL, {"size": 1})
        await ecr.put("/app-versions/home-v2", ["abc"])
        await ecr.put("/app-versions/garden-v1", "anything")

    @pytest.mark.parametrize(
        ("name", "settings"),
        [
            ("home", {"endpoint-configuration": {"schema": SIZED}}),
            ("home", {"endpointConfigurationSchema": json.dumps(SIZED)}),
            ("home-v1", {"endpoint-configuration": {"schema": json.dumps(SIZED)}}),
            ("home-v1", {"endpointConfigurationSchema": SIZED}),
        ],
    )
    async def test_it_may_be_written_in_either_place_as_json_or_as_text(
        self, house: House, name: str, settings: dict[str, Any]
    ) -> None:
        ecr = await Keeper(house, {name: settings}).open()
        assert await house.get(f"{API}{ALL}/schemas") == SIZED
        await ecr.refused(400, "config: ", "PUT", ALL, 1)

    async def test_a_version_with_settings_of_its_own_is_still_held_to_that_of_its_application(
        self, house: House
    ) -> None:
        own = {"endpoint-configuration": {"schema-required": True}}
        ecr = await Keeper(house, {"home": SCHEMAS["home"], "home-v1": own}).open()
        assert await house.get(f"{API}{ALL}/schemas") == SIZED
        await ecr.put(ALL, {"size": 1})
        await ecr.refused(400, "config: ", "PUT", ALL, 1)

    async def test_what_it_does_not_take_is_refused_with_the_place(self, house: House) -> None:
        ecr = await Keeper(house, SCHEMAS).open()
        ecr.register.filters["f1"] = ["dev-1"]
        await ecr.put(ALL, {"size": 1})
        for path in (ONE, ALL, "/endpoints/filters/f1", f"{ALL}/schemas/validate"):
            await ecr.refused(400, "config.size: ", "PUT", path, {"size": "1"})
            await ecr.refused(400, 'config: "size" is a required property', "PUT", path, {})
        await ecr.refused(400, "config[1]: ", "PUT", "/app-versions/home-v2", ["a", "toolong"])
        both = {"home-v1": ["dev-1"], "home-v2": ["dev-3"]}
        await ecr.refused(400, "config: ", "PUT", BATCH, {"configPayload": {"size": 1}, "endpoints": both})
        await ecr.refused(400, "config: ", "PUT", "/endpoints/filters/f1", [], attach="true")

    async def test_a_configuration_can_be_held_against_it_and_nothing_is_stored(self, house: House) -> None:
        ecr = await Keeper(house, SCHEMAS).open()
        for headers in ({}, await ecr.viewer()):
            reply = await ecr.call("PUT", f"{ALL}/schemas/validate", {"size": 3}, headers=headers)
            assert (reply.status, reply.data) == (200, b"")
        assert not any((await ecr.kept()).values())

    async def test_where_there_is_none_there_is_nothing_to_hold_it_against(self, house: House) -> None:
        ecr = await Keeper(house, SCHEMAS).open()
        await ecr.refused(404, "has no schema", "PUT", "/app-versions/garden-v1/schemas/validate", 1)
        await ecr.refused(404, "has no schema", "GET", "/app-versions/garden-v1/schemas")
        await ecr.refused(404, "no application version 'x'", "PUT", "/app-versions/x/schemas/validate", 1)
        await ecr.refused(404, "no application version 'x'", "GET", "/app-versions/x/schemas")

    async def test_where_one_is_needed_nothing_is_taken_without_it(self, house: House) -> None:
        required = {"endpoint-configuration": {"schema-required": True}}
        ecr = await Keeper(house, {"home": required, "home-v2": SCHEMAS["home-v2"]}).open()
        ecr.register.filters["f1"] = ["dev-1"]
        for path in (ONE, ALL, "/endpoints/filters/f1"):
            await ecr.refused(404, "schema: application version 'home-v1' needs one, and has none", "PUT", path, 1)
        endpoints = {"home-v2": ["dev-3"], "home-v1": ["dev-1"]}
        await ecr.refused(404, "needs one", "PUT", BATCH, {"configPayload": [], "endpoints": endpoints})
        await ecr.put("/app-versions/home-v2", ["abc"])
        await ecr.refused(400, "config: ", "PUT", "/app-versions/home-v2", 1)

    async def test_a_schema_may_be_true_or_false(self, house: House) -> None:
        ecr = await Keeper(
            house,
            {
                "home-v1": {"endpoint-configuration": {"schema": True, "schema-required": True}},
                "home-v2": {"endpoint-configuration": {"schema": False}},
            },
        ).open()
        assert await house.get(f"{API}{ALL}/schemas") is True
        await ecr.put(ALL, 1)
        await ecr.refused(400, "config: ", "PUT", "/app-versions/home-v2", 1)

    async def test_what_was_stored_before_it_came_stays(self, house: House) -> None:
        ecr = await Keeper(house).open()
        await ecr.put(ONE, "no object")
        ecr.settings = SCHEMAS
        await ecr.restart()
        assert await ecr.found(ONE) == "no object"
        assert json.loads((await ecr.ask()).content or b"") == "no object"

    @pytest.mark.parametrize(
        ("schema", "words"),
        [
            ("{", "the text is not JSON"),
            ({"type": 7}, "not a JSON Schema: ['type']"),
            ([], "a JSON Schema is an object, true or false"),
            ({"$ref": "https://example.com/schema"}, "not a JSON Schema"),
            ({"const": "x" * (128 * 1024)}, "at most"),
        ],
    )
    async def test_settings_with_what_is_none_are_refused(self, house: House, schema: Any, words: str) -> None:
        from kaa.core.config.units import validate_written
        from kaa.modules.ecr.config import EcrSettings

        with pytest.raises(ValueError, match="chema") as error:
            validate_written(EcrSettings, {"endpointConfigurationSchema": schema})
        assert words in str(error.value)


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"", "body: there is none"),
            (b" \n", "body: there is none"),
            (b"{", "body: invalid JSON"),
            (b'{"a": 1,}', "body: invalid JSON"),
            (b"\xff", "body: invalid JSON"),
            (b"NaN", "body: invalid JSON"),
            (b"[Infinity]", "body: invalid JSON"),
            (b"1e999", "body: a number is too large"),
            (b"1" + b"0" * 5_000, "body: "),
            (b"[" * 1_000 + b"]" * 1_000, "body: invalid JSON"),
            (b'"\\ud800"', "body: "),
            (b"1 2", "body: invalid JSON"),
        ],
    )
    async def test_what_is_not_json_is_refused_wherever_it_comes(self, ecr: Keeper, body: bytes, words: str) -> None:
        ecr.register.filters["f1"] = ["dev-1"]
        for path in (ONE, ALL, BATCH, "/endpoints/filters/f1", f"{ALL}/schemas/validate"):
            await ecr.refused(400, words, "PUT", path, body)

    async def test_what_is_too_large_is_refused(self, house: House) -> None:
        ecr = await Keeper(house, config={"max-config": 1024}).open()
        ecr.register.filters["f1"] = ["dev-1"]
        await ecr.put(ONE, "x" * 1_022)
        await ecr.put(ONE, ["x" * 500, "\n"])
        for path in (ONE, ALL, "/endpoints/filters/f1"):
            words = "body: a configuration of 1025 bytes; at most 1024 are taken"
            await ecr.refused(413, words, "PUT", path, "x" * 1_023)
            await ecr.refused(413, "body: more than 6144 bytes", "PUT", path, b" " * 6_144 + b"1")
        body = {"configPayload": "x" * 1_023, "endpoints": {"home-v1": ["dev-1"]}}
        await ecr.refused(413, "1025 bytes", "PUT", BATCH, body)

    async def test_an_endpoint_or_version_that_is_not_there_is_named(self, ecr: Keeper) -> None:
        await ecr.refused(404, "there is no endpoint 'x'", "PUT", "/endpoints/x/app-versions/home-v1", 1)
        await ecr.refused(404, "no application version 'x'", "PUT", "/endpoints/dev-1/app-versions/x", 1)
        await ecr.refused(404, "no application version 'x'", "PUT", "/app-versions/x", 1)
        words = "endpoint 'x' has for application version 'home-v1' no configuration 'net'"
        for method in ("GET", "DELETE"):
            await ecr.refused(404, words, method, "/endpoints/x/app-versions/home-v1", name="net")
            await ecr.refused(
                404, "application version 'x' has no configuration 'net'", method, "/app-versions/x", name="net"
            )
        assert await ecr.house.get(f"{API}/app-versions/x/configurations") == []

    async def test_an_endpoint_of_another_application_is_refused(self, ecr: Keeper) -> None:
        words = "belongs to application 'garden', and application version 'home-v1' to 'home'"
        await ecr.refused(409, words, "PUT", "/endpoints/plant-1/app-versions/home-v1", 1)

    async def test_another_tenant_finds_nothing(self, ecr: Keeper) -> None:
        await ecr.put(ALL, 1)
        await ecr.refused(404, "there is no tenant 'other'", "GET", ALL, tenantId="other")
        assert await ecr.found(ALL, tenantId="kaa") == 1

    async def test_a_key_that_may_only_read_changes_nothing(self, ecr: Keeper) -> None:
        await ecr.put(ONE, 1)
        headers = await ecr.viewer()
        for method in ("PUT", "DELETE"):
            for path in (ONE, ALL, "/endpoints/filters/f1", BATCH):
                if (method, path) != ("DELETE", BATCH):
                    await ecr.refused(403, "the role of this key is viewer", method, path, b"1", headers=headers)
        assert (await ecr.call("GET", ONE, headers=headers)).status == 200
        reply = await ecr.house.call("GET", API + ONE, has_key=False)
        assert reply.status == 401

    async def test_a_method_that_a_path_does_not_take_is_told_which_it_does(self, ecr: Keeper) -> None:
        reply = await ecr.call("POST", ONE, 1)
        assert (reply.status, set(reply.headers["Allow"].split(","))) == (405, {"GET", "HEAD", "PUT", "DELETE"})


class TestWithoutTheRegister:
    async def test_what_needs_it_is_put_off_and_the_rest_goes_on(self, house: House) -> None:
        from configuring import APPLICATIONS

        from kaa.modules.ecr.module import MODULE

        ecr = Keeper(house)
        await house.start(MODULE, applications=APPLICATIONS)
        for path in (ONE, "/endpoints/filters/f1"):
            await ecr.refused(503, "the service epr cannot be reached", "PUT", path, 1)
        body = {"configPayload": 1, "endpoints": {"home-v1": ["dev-1"]}}
        await ecr.refused(503, "the service epr cannot be reached", "PUT", BATCH, body)
        await ecr.put(ALL, 1)
        assert await ecr.found(ALL) == 1
        assert (await ecr.ask()).content == b"1"
