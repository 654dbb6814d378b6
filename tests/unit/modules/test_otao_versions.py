"""OTAO over REST: software versions, their graph, and what is refused."""

from typing import Any

import pytest
from firmware import API, Orchestra, content
from house import House

NOW = "2025-11-24T16:00:00.000Z"
GENERAL = {"rolloutStrategy": "general"}

# little of it goes over the bus
pytestmark = pytest.mark.parametrize("house", [False], indirect=True, ids=["objects"])


@pytest.fixture
async def ota(house: House) -> Orchestra:
    return await Orchestra(house).open()


class TestMaking:
    async def test_a_version_is_made_and_read_again(self, ota: Orchestra) -> None:
        body = {
            "version": "1.4.0-rc.1",
            "specification": {"link": "https://files.example/a", "size": 1.5, "none": None},
            "metadata": {"note": "for the pilot"},
            "upgradableFrom": ["1.3.0", "1.2.0", "1.3.0"],
            "downgradableTo": ["1.3.0"],
            "rolloutStrategy": "targeted",
            "filters": [{"filterId": "f1", "rolloutDate": "2026-01-05T08:00:00Z"}, {"filterId": "f2"}],
            "compatibleWith": {"metadata.hardware": "B"},
        }
        reply = await ota.house.call("POST", API, body)
        assert reply.status == 201
        assert reply.headers["Location"].endswith(f"{API}/1.4.0-rc.1")
        shown = reply.json
        assert shown == {
            **body,
            "id": shown["id"],
            "upgradableFrom": ["1.3.0", "1.2.0"],
            "filters": [
                {"filterId": "f1", "rolloutDate": "2026-01-05T08:00:00Z"},
                {"filterId": "f2", "rolloutDate": None},
            ],
            "rollback": None,
            "createdDate": NOW,
            "updatedDate": NOW,
        }
        again = await ota.house.call("GET", f"{API}/1.4.0-rc.1")
        assert again.json == shown
        assert again.headers["ETag"] == reply.headers["ETag"]

    async def test_the_least_that_is_needed_is_version_and_strategy(self, ota: Orchestra) -> None:
        reply = await ota.house.call("POST", API, {"version": "1.0.0", **GENERAL})
        assert reply.status == 201
        assert reply.json["specification"] is None
        assert reply.json["upgradableFrom"] == []

    async def test_a_query_may_be_text_and_is_shown_as_an_object(self, ota: Orchestra) -> None:
        await ota.make("1.0.0", compatibleWith='{"metadata.hardware": "B"}')
        assert (await ota.made("1.0.0"))["compatibleWith"] == {"metadata.hardware": "B"}

    async def test_the_list_is_in_the_order_of_versions(self, ota: Orchestra) -> None:
        assert await ota.house.get(API) == []
        for version in ("1.10.0", "1.9.0", "1.10.0-beta", "1.10.0-2", "1.10.0-alpha.1", "0.1.0", "1.10.0-10"):
            await ota.make(version)
        listed = [one["version"] for one in await ota.house.get(API)]
        assert listed == ["0.1.0", "1.9.0", "1.10.0-2", "1.10.0-10", "1.10.0-alpha.1", "1.10.0-beta", "1.10.0"]

    async def test_applications_have_versions_of_their_own(self, ota: Orchestra) -> None:
        await ota.make("1.0.0")
        await ota.make("1.0.0", app="garden")
        assert len(await ota.house.get(API)) == 1

    async def test_versions_outlive_a_restart(self, ota: Orchestra) -> None:
        await ota.make("1.0.0")
        await ota.make("1.1.0", "1.0.0")
        before = await ota.house.get(API)
        again = await ota.restart()
        assert await again.house.get(API) == before
        assert await again.offer("dev-1", "1.0.0") == "1.1.0"


class TestRefusing:
    async def test_what_is_no_semantic_version(self, ota: Orchestra) -> None:
        words = ["1", "1.0", "v1.0.0", "1.0.0.0", "01.0.0", "1.0.0-01", "1.0.0-", "1.0.0+", "", " 1.0.0", "\uff11.0.0"]
        for version in words:
            reply = await ota.house.call("POST", API, {"version": version, **GENERAL})
            assert reply.status == 400, version
            assert "semantic version" in reply.message

    async def test_what_is_wrong_is_named(self, ota: Orchestra) -> None:
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"rolloutStrategy": "everybody"}, "rolloutStrategy"),
            ({"rolloutStrategy": None}, "rolloutStrategy"),
            ({"upgradableFrom": ["1.0"]}, "upgradableFrom[0]"),
            ({"upgradableFrom": "1.0.0"}, "upgradableFrom"),
            ({"upgradableFrom": ["1.0.0"] * 201}, "upgradableFrom"),
            ({"downgradableTo": [7]}, "downgradableTo"),
            ({"downgradableTo": ["x"]}, "downgradableTo[0]"),
            ({"filters": [{"rolloutDate": None}]}, "filterId"),
            ({"filters": [{"filterId": "f", "rolloutDate": "tomorrow"}]}, "rolloutDate"),
            ({"filters": [{"filterId": "f"}, {"filterId": "f"}]}, "filters"),
            ({"compatibleWith": {"$where": "1"}}, "compatibleWith"),
            ({"compatibleWith": "{"}, "compatibleWith"),
            ({"compatibleWith": "[]"}, "compatibleWith"),
            ({"specification": "x" * 140_000}, "specification"),
            ({"metadata": "x" * 40_000}, "metadata"),
            ({"version": "1." + "0" * 200}, "version"),
        ]
        for fields, place in wrong:
            reply = await ota.house.call("POST", API, {"version": "2.0.0", **GENERAL} | fields)
            assert reply.status == 400, fields
            assert place in reply.message
        assert await ota.house.get(API) == []

    async def test_what_is_nested_too_deep(self, ota: Orchestra) -> None:
        deep: Any = 1
        for _ in range(40):
            deep = [deep]
        reply = await ota.house.call("POST", API, {"version": "2.0.0", "specification": deep, **GENERAL})
        assert reply.status == 400
        assert reply.message.startswith("specification: nested deeper")

    async def test_what_is_no_json(self, ota: Orchestra) -> None:
        assert (await ota.house.call("POST", API, data=b"{")).status == 400
        assert (await ota.house.call("POST", API)).status == 400

    async def test_a_version_that_is_there_already(self, ota: Orchestra) -> None:
        await ota.make("1.0.0")
        for version in ("1.0.0", "1.0.0+another.build"):
            reply = await ota.house.call("POST", API, {"version": version, **GENERAL})
            assert (reply.status, reply.message) == (409, "version: application 'home' has 1.0.0 already")

    async def test_applications_and_versions_that_are_not_there(self, ota: Orchestra) -> None:
        nowhere = API.replace("home", "nowhere")
        assert (await ota.house.call("GET", nowhere)).status == 404
        assert (await ota.house.call("POST", nowhere, {"version": "1.0.0", **GENERAL})).status == 404
        for method, path, body in (
            ("GET", "", None),
            ("PUT", "", GENERAL),
            ("DELETE", "", None),
            ("POST", "/rollback", None),
            ("GET", "/rollback", None),
            ("DELETE", "/rollback", None),
        ):
            assert (await ota.house.call(method, f"{API}/9.9.9{path}", body)).status == 404, method

    async def test_whoever_has_no_key(self, ota: Orchestra) -> None:
        assert (await ota.house.call("GET", API, has_key=False)).status == 401


class TestTheGraph:
    async def test_a_version_cannot_be_installed_over_itself(self, ota: Orchestra) -> None:
        reply = await ota.house.call("POST", API, {"version": "1.0.0", "upgradableFrom": ["1.0.0"], **GENERAL})
        assert reply.status == 409
        assert "1.0.0 → 1.0.0" in reply.message

    async def test_a_circle_is_refused_and_leaves_everything_as_it_was(self, ota: Orchestra) -> None:
        await ota.make("1.0.0")
        await ota.make("1.1.0", "1.0.0")
        await ota.make("1.2.0", "1.1.0+build.7")
        before = await ota.house.get(API)
        reply = await ota.house.call("PUT", f"{API}/1.0.0", {"upgradableFrom": ["0.9.0", "1.2.0"], **GENERAL})
        assert (reply.status, reply.message) == (
            409,
            "upgradableFrom: 1.0.0 → 1.1.0 → 1.2.0 → 1.0.0 leads back to where it began",
        )
        assert await ota.house.get(API) == before

    async def test_two_ways_to_one_version_are_no_circle(self, ota: Orchestra) -> None:
        await ota.make("1.1.0", "1.0.0")
        await ota.make("1.2.0", "1.0.0", "1.1.0")
        await ota.make("1.3.0", "1.2.0", "1.1.0", "1.0.0")

    async def test_a_way_down_is_not_part_of_the_graph(self, ota: Orchestra) -> None:
        await ota.make("1.0.0")
        await ota.make("1.1.0", "1.0.0", downgradableTo=["1.0.0"])


class TestChanging:
    async def test_a_version_is_replaced(self, ota: Orchestra) -> None:
        made = (await ota.make("1.0.0")).json
        await ota.house.clock.advance(1_000)
        body = {"rolloutStrategy": "suspended", "specification": [1, 2], "version": "1.0.0"}
        reply = await ota.house.call("PUT", f"{API}/1.0.0", body)
        assert reply.status == 200
        assert reply.json == made | {
            "specification": [1, 2],
            "rolloutStrategy": "suspended",
            "updatedDate": "2025-11-24T16:00:01.000Z",
        }
        assert await ota.made("1.0.0") == reply.json

    async def test_the_same_again_changes_nothing(self, ota: Orchestra) -> None:
        made = await ota.make("1.1.0", "1.0.0")
        await ota.house.clock.advance(1_000)
        again = await ota.put("1.1.0")
        assert again.json == made.json
        assert again.headers["ETag"] == made.headers["ETag"]

    async def test_another_version_in_the_body_is_refused(self, ota: Orchestra) -> None:
        await ota.make("1.0.0")
        reply = await ota.house.call("PUT", f"{API}/1.0.0", {"version": "1.0.1", **GENERAL})
        assert reply.status == 400

    async def test_a_state_that_has_changed_meanwhile_is_not_overwritten(self, ota: Orchestra) -> None:
        old = (await ota.make("1.0.0")).headers["ETag"]
        new = (await ota.put("1.0.0", specification={"link": "b"})).headers["ETag"]
        for method, body in (("PUT", GENERAL), ("DELETE", None)):
            reply = await ota.house.call(method, f"{API}/1.0.0", body, headers={"If-Match": old})
            assert reply.status == 412
        assert (await ota.made("1.0.0"))["specification"] == {"link": "b"}
        assert (await ota.house.call("DELETE", f"{API}/1.0.0", headers={"If-Match": new})).status == 204

    async def test_what_the_caller_has_is_not_sent_again(self, ota: Orchestra) -> None:
        tag = (await ota.make("1.0.0")).headers["ETag"]
        assert (await ota.house.call("GET", f"{API}/1.0.0", headers={"If-None-Match": tag})).status == 304

    async def test_a_version_is_deleted(self, ota: Orchestra) -> None:
        await ota.make("1.1.0", "1.0.0")
        assert (await ota.house.call("DELETE", f"{API}/1.1.0")).status == 204
        assert (await ota.house.call("DELETE", f"{API}/1.1.0")).status == 404
        assert await ota.house.get(API) == []
        assert await ota.offer("dev-1", "1.0.0") is None

    async def test_build_metadata_does_not_count_in_a_path(self, ota: Orchestra) -> None:
        await ota.make("1.0.0+build.7")
        assert (await ota.made("1.0.0"))["version"] == "1.0.0+build.7"
        assert (await ota.made("1.0.0+build.7"))["version"] == "1.0.0+build.7"


async def test_a_version_without_a_specification_is_delivered_as_an_empty_object(ota: Orchestra) -> None:
    await ota.make("1.1.0", "1.0.0", specification=None)
    assert content(await ota.ask("dev-1", "1.0.0")) == {}
