"""EPR: registration that is whole or has not been, lists, versions that follow the device, deletion."""

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa
from fakes.clock import START_MS
from house import House, Reply
from waiting import until

from kaa.modules.cm.module import MODULE as CM
from kaa.modules.epr.models import Endpoint
from kaa.modules.epr.module import MODULE as EPR
from kaa.modules.epr.repository import Consequences, RegistrationRepository
from kaa.protocols import ecap, elce, x_credentials, x_register

API = "/epr/api/v1"
NOW = "2025-11-24T16:00:00.000Z"
APPLICATIONS = {"home": ["home-v1", "home-v2"], "garden": ["garden-v1"]}


class NoFilters:
    """Where no filter is, nothing matches."""

    def on_changed(self, connection: sa.Connection, after: Sequence[Endpoint]) -> list[Any]:
        return []

    def on_removed(self, connection: sa.Connection, gone: Sequence[Endpoint]) -> list[Any]:
        return []


async def start(house: House, **epr: Any) -> None:
    await house.start(CM)
    await house.start(EPR, applications=APPLICATIONS, **epr)


async def post(house: House, version: str = "home-v1", **rest: Any) -> Reply:
    return await house.call("POST", f"{API}/endpoints", {"appVersion": {"name": version}, **rest})


async def whose(house: House, token: str, app: str = "home") -> tuple[int, str | None]:
    verdict = await house.request(ecap.validate_token("cm"), app_name=app, token=token)
    return verdict.status_code, verdict.endpoint_id


async def registrations(house: House) -> int:
    query = "select count(*) from epr_registration"
    return await house.storage.read(lambda connection: connection.exec_driver_sql(query).scalar_one())


class TestRegistration:
    async def test_an_endpoint_is_made_with_a_token_that_is_shown_once(self, house: House) -> None:
        await start(house)
        reply = await post(house, metadata={"floor": 3})
        assert reply.status == 201
        body = reply.json
        endpoint_id, token = body["endpointId"], body.pop("token")
        assert body == {
            "endpointId": endpoint_id,
            "createdDate": NOW,
            "appVersion": {"name": "home-v1", "registeredDate": NOW},
            "metadata": {"floor": 3},
            "status": "Inactive",
        }
        assert len(token) == 22
        assert reply.headers["Location"].endswith(f"/epr/api/v1/endpoints/{endpoint_id}")
        assert await house.get(f"{API}/endpoints/{endpoint_id}") == {
            "endpointId": endpoint_id,
            "createdDate": NOW,
            "appVersion": {"name": "home-v1", "registeredDate": NOW},
        }
        assert await whose(house, token) == (200, endpoint_id)

    async def test_id_and_token_may_be_given(self, house: House) -> None:
        await start(house)
        reply = await post(house, endpointId="dev-1~a.b_C", endpointToken="Ünïcode token")
        assert (reply.status, reply.json["endpointId"], reply.json["token"]) == (201, "dev-1~a.b_C", "Ünïcode token")
        assert await whose(house, "Ünïcode token") == (200, "dev-1~a.b_C")
        assert (await house.get(f"{API}/endpoints/dev-1~a.b_C"))["endpointId"] == "dev-1~a.b_C"

    async def test_it_is_told(self, house: House) -> None:
        await start(house)
        heard = await house.hear(elce.registered("epr"))
        await post(house, endpointId="dev-1")
        assert [(event.endpoint_id, event.app_version_name, event.timestamp_ms) for event in heard] == [
            ("dev-1", "home-v1", START_MS)
        ]
        await house.outbox_is_empty()

    @pytest.mark.parametrize(
        ("body", "place"),
        [
            ({}, "body.appVersion"),
            ({"appVersion": "home-v1"}, "body.appVersion"),
            ({"appVersion": {}}, "body.appVersion.name"),
            ({"appVersion": {"name": "home-v1"}, "endpointId": "a/b"}, "body.endpointId"),
            ({"appVersion": {"name": "home-v1"}, "endpointId": ""}, "body.endpointId"),
            ({"appVersion": {"name": "home-v1"}, "endpointToken": ""}, "body.endpointToken"),
            ({"appVersion": {"name": "home-v1"}, "endpointToken": "a/b"}, "body.endpointToken"),
            ({"appVersion": {"name": "home-v1"}, "endpointToken": "a.b"}, "body.endpointToken"),
            ({"appVersion": {"name": "home-v1"}, "endpointToken": "a\n"}, "body.endpointToken"),
            ({"appVersion": {"name": "home-v1"}, "metadata": []}, "body.metadata"),
            ({"appVersion": {"name": "home-v1"}, "metadata": {str(n): n for n in range(257)}}, "metadata"),
            ({"appVersion": {"name": "home-v1"}, "metadata": {"a": "x" * 65_536}}, "metadata"),
        ],
    )
    async def test_what_is_wrong_is_refused_by_field_and_nothing_is_left(
        self, house: House, body: Any, place: str
    ) -> None:
        await start(house)
        reply = await house.call("POST", f"{API}/endpoints", body)
        assert (reply.status, reply.message.split(":")[0]) == (400, place)
        assert await registrations(house) == 0
        assert (await house.get(f"{API}/endpoints"))["totalElements"] == 0

    async def test_an_unknown_version_is_not_found(self, house: House) -> None:
        await start(house)
        reply = await post(house, "home-v9")
        assert (reply.status, reply.message) == (404, "there is no application version 'home-v9'")

    async def test_a_version_is_known_as_soon_as_tekton_has_answered(self, house: House) -> None:
        from kaa.modules.tekton.module import MODULE as TEKTON

        await house.start(TEKTON, CM, EPR)
        await house.call("POST", "/tekton/api/v1/applications", {"name": "home"})
        await house.call("POST", "/tekton/api/v1/applications/home/app-versions", {"nameSuffix": "v1"})
        assert (await post(house)).status == 201

    async def test_an_id_that_is_taken_is_refused_and_its_token_is_not_issued(self, house: House) -> None:
        await start(house)
        await post(house, endpointId="dev-1", endpointToken="one")
        reply = await post(house, endpointId="dev-1", endpointToken="two")
        assert (reply.status, reply.message) == (409, "endpointId: there is an endpoint 'dev-1' already")
        assert await whose(house, "two") == (401, None)
        assert await whose(house, "one") == (200, "dev-1")

    async def test_a_token_that_is_taken_is_refused_and_its_endpoint_is_not_made(self, house: House) -> None:
        await start(house)
        heard = await house.hear(elce.unregistered("epr"))
        await post(house, endpointId="dev-1", endpointToken="one")
        reply = await post(house, endpointId="dev-2", endpointToken="one")
        assert (reply.status, reply.message) == (409, "endpointToken: it is taken")
        assert (await house.call("GET", f"{API}/endpoints/dev-2")).status == 404
        assert await whose(house, "one") == (200, "dev-1")
        assert heard == []
        assert (await post(house, endpointId="dev-2", endpointToken="two")).status == 201

    async def test_a_token_may_be_used_again_in_another_application(self, house: House) -> None:
        await start(house)
        assert (await post(house, "home-v1", endpointId="dev-1", endpointToken="one")).status == 201
        assert (await post(house, "garden-v1", endpointId="dev-2", endpointToken="one")).status == 201
        assert await whose(house, "one", "garden") == (200, "dev-2")

    async def test_of_two_at_once_with_one_id_one_wins_and_has_the_only_token(self, house: House) -> None:
        await start(house)
        async with asyncio.TaskGroup() as group:
            both = [group.create_task(post(house, endpointId="dev-1", endpointToken=token)) for token in ("a", "b")]
        replies = {task.result().status: task.result() for task in both}
        assert set(replies) == {201, 409}
        winner = replies[201].json["token"]
        loser = {"a": "b", "b": "a"}[winner]
        assert (await whose(house, winner), await whose(house, loser)) == ((200, "dev-1"), (401, None))

    async def test_of_two_at_once_with_one_token_one_wins(self, house: House) -> None:
        await start(house)
        async with asyncio.TaskGroup() as group:
            both = [group.create_task(post(house, endpointId=one, endpointToken="a")) for one in ("dev-1", "dev-2")]
        [winner] = [task.result().json["endpointId"] for task in both if task.result().status == 201]
        assert [endpoint["endpointId"] for endpoint in (await house.get(f"{API}/endpoints"))["content"]] == [winner]
        assert await whose(house, "a") == (200, winner)

    async def test_a_viewer_may_not(self, house: House) -> None:
        from kaa.core.auth import Keys, Role
        from kaa.core.key_store import SqlKeyStore

        await start(house)
        _, key = await Keys(store=SqlKeyStore(house.storage), ids=house.ids, clock=house.clock).make(Role.VIEWER)
        body, headers = {"appVersion": {"name": "home-v1"}}, {"Authorization": f"Bearer {key}"}
        assert (await house.call("POST", f"{API}/endpoints", body, headers=headers)).status == 403
        assert (await house.call("GET", f"{API}/endpoints", headers=headers)).status == 200


class TestRegistrationCutShort:
    async def test_without_cm_it_is_refused_and_may_be_tried_again(self, house: House) -> None:
        await house.start(EPR, applications=APPLICATIONS)
        for _ in range(2):
            assert (await post(house, endpointId="dev-1", endpointToken="one")).status == 503
        assert await registrations(house) == 0
        await house.restart()
        await start(house)
        assert (await post(house, endpointId="dev-1", endpointToken="one")).status == 201

    async def test_if_cm_does_not_answer_it_is_refused_and_what_cm_may_have_done_is_undone(self, house: House) -> None:
        """CM has issued the token, and its answer is lost."""
        asked = asyncio.Event()

        async def issue_and_say_nothing(request: x_credentials.IssueTokensRequest) -> None:
            asked.set()

        await house.start(EPR, applications=APPLICATIONS)
        heard = await house.hear(elce.unregistered("epr"))
        async with house.bus.subscribe(x_credentials.issue_tokens("cm"), issue_and_say_nothing, queue="cm"):
            async with asyncio.TaskGroup() as group:
                posting = group.create_task(post(house, endpointId="dev-1", endpointToken="one"))
                await asked.wait()
                assert (await house.call("GET", f"{API}/endpoints/dev-1")).status == 404, "nobody sees it yet"
                await house.clock.advance(10_000)
            assert posting.result().status == 504
        await until(lambda: heard)
        assert [(event.endpoint_id, event.app_version_name) for event in heard] == [("dev-1", "home-v1")]
        assert await registrations(house) == 0

    async def test_a_crash_before_the_endpoint_was_made_leaves_neither_id_nor_token(self, house: House) -> None:
        """The server stops while EPR waits for CM, which has issued the token already."""
        issued = await self._stopped_between(house)
        assert (issued.status_code, await registrations(house)) == (200, 1)
        await start(house)
        assert await registrations(house) == 0
        await house.outbox_is_empty()
        assert await whose(house, "one") == (401, None)
        assert (await house.call("GET", f"{API}/endpoints/dev-1")).status == 404
        assert (await post(house, endpointId="dev-1", endpointToken="one")).status == 201
        assert await whose(house, "one") == (200, "dev-1")

    async def test_who_repeats_his_request_after_a_crash_keeps_his_token(self, house: House) -> None:
        """The clean-up's event comes to CM late, after the same request has been made again."""
        await self._stopped_between(house)
        await house.start(EPR, applications=APPLICATIONS)  # CM is not there: nobody hears the event
        late = house.message(elce.unregistered("epr"), app_version_name="home-v1", endpoint_id="dev-1")
        await house.restart()
        await start(house)
        await house.clock.advance(5_000)
        assert (await post(house, endpointId="dev-1", endpointToken="one")).status == 201
        house.bus.publish(elce.unregistered("epr"), late)
        await house.quiet()
        assert await whose(house, "one") == (200, "dev-1")

    async def test_what_could_not_be_given_back_is_given_back_within_two_minutes(self, house: House) -> None:
        await start(house)
        row = f"insert into epr_registration values ('dev-1', 'home-v1', {house.clock.now_ms()}, null)"
        await house.storage.write(lambda connection: connection.execute(sa.text(row)) and None)
        assert (await post(house, endpointId="dev-1")).status == 409
        await house.clock.advance(59_000)
        assert await registrations(house) == 1, "it may be under way"
        await house.clock.advance(1_000)

        async def is_gone() -> bool:
            await house.clock.advance(1_000)
            return await registrations(house) == 0

        await until(is_gone)
        assert (await post(house, endpointId="dev-1")).status == 201

    async def test_one_that_took_so_long_that_its_id_was_given_back_is_refused(self, house: House) -> None:
        async def give_back_and_issue(request: x_credentials.IssueTokensRequest) -> x_credentials.IssueTokensResponse:
            clear = sa.text("delete from epr_registration")
            await house.storage.write(lambda connection: connection.execute(clear) and None)
            [order] = request.orders
            issued = x_credentials.IssuedToken(
                endpoint_id=order.endpoint_id, token="one", status="Inactive", status_code=200
            )
            return x_credentials.IssueTokensResponse(
                correlation_id=request.correlation_id, timestamp_ms=0, tokens=(issued,), status_code=200
            )

        await house.start(EPR, applications=APPLICATIONS)
        heard = await house.hear(elce.unregistered("epr"))
        async with house.bus.subscribe(x_credentials.issue_tokens("cm"), give_back_and_issue, queue="cm"):
            assert (await post(house, endpointId="dev-1")).status == 503
        await until(lambda: heard)
        assert [event.endpoint_id for event in heard] == ["dev-1"]

    async def test_one_that_is_completed_while_it_is_cleaned_up_keeps_its_token(self, house: House) -> None:
        """The clean-up has found the reservation, and the endpoint is made before it is given back."""
        await start(house)
        heard = await house.hear(elce.unregistered("epr"))
        kept = RegistrationRepository(house.storage, Consequences(house.core.outboxes[-1], NoFilters()))
        await kept.add("left", "home-v1", at_ms=START_MS)
        await kept.add("made", "home-v1", at_ms=START_MS)
        found = await kept.find(before_ms=START_MS)
        endpoint = Endpoint("made", "home", "home-v1", START_MS, START_MS, {})
        registered, *told = (
            (subject("epr"), house.message(subject("epr"), app_version_name="home-v1", endpoint_id=endpoint_id))
            for subject, endpoint_id in (
                (elce.registered, "made"),
                *((elce.unregistered, endpoint_id) for endpoint_id, _ in found),
            )
        )
        await kept.complete(endpoint, (), registered, tell_related=lambda _: None)
        await kept.remove({event[1].endpoint_id: event for event in told})
        await house.outbox_is_empty()
        assert [event.endpoint_id for event in heard] == ["left"]
        assert await registrations(house) == 0

    @staticmethod
    async def _stopped_between(house: House) -> Any:
        """Stop the house after CM has issued the token and before EPR has heard of it."""
        await house.start(EPR, applications=APPLICATIONS, config={"credentials": "slow"})
        await house.start(CM)
        issued: list[Any] = []

        async def pass_on_and_hang(request: x_credentials.IssueTokensRequest) -> None:
            fields = {"app_name": request.app_name, "orders": request.orders}
            issued.extend((await house.request(x_credentials.issue_tokens("cm"), **fields)).tokens)

        await house._stack.enter_async_context(
            house.bus.subscribe(x_credentials.issue_tokens("slow"), pass_on_and_hang, queue="slow")
        )

        async def be_cut_off() -> None:
            with pytest.raises(aiohttp.ClientError):
                await post(house, endpointId="dev-1", endpointToken="one")

        async with asyncio.TaskGroup() as group:
            group.create_task(be_cut_off())
            await until(lambda: issued)
            await house.restart()
        return issued[0]


class TestListing:
    @pytest.fixture
    async def four(self, house: House) -> House:
        """`a` and `b` of home-v1, `c` of home-v2, `d` of garden-v1; the older first, `b` and `c` at the same time."""
        await start(house)
        for endpoint_id, version, later_ms in (
            ("d", "garden-v1", 0),
            ("c", "home-v2", 1),
            ("b", "home-v1", 0),
            ("a", "home-v1", 1),
        ):
            await house.clock.advance(later_ms)
            assert (await post(house, version, endpointId=endpoint_id, metadata={"is": endpoint_id})).status == 201
        return house

    async def ids(self, house: House, **params: Any) -> tuple[list[str], int]:
        page = await house.get(f"{API}/endpoints", **params)
        return [one["endpointId"] for one in page["content"]], page["totalElements"]

    async def test_the_oldest_comes_first_then_by_id(self, four: House) -> None:
        assert await self.ids(four) == (["d", "b", "c", "a"], 4)

    async def test_a_page_is_cut_out_and_the_whole_is_counted(self, four: House) -> None:
        assert await self.ids(four, offset=1, limit=2) == (["b", "c"], 4)
        assert await self.ids(four, offset=4) == ([], 4)
        assert await self.ids(four, limit=0) == ([], 4)

    async def test_filters_narrow_it_and_go_together(self, four: House) -> None:
        assert await self.ids(four, applicationName="home") == (["b", "c", "a"], 3)
        assert await self.ids(four, applicationVersionName="home-v1") == (["b", "a"], 2)
        assert await self.ids(four, applicationName="garden", applicationVersionName="home-v1") == ([], 0)
        assert await self.ids(four, endpointId="a,d,x") == (["d", "a"], 2)
        assert await self.ids(four, endpointId="a,d", applicationName="home", limit=1) == (["a"], 1)
        assert await self.ids(four, applicationName="nowhere") == ([], 0)
        assert await self.ids(four, tenantId="other") == ([], 0)

    async def test_the_parameter_may_be_repeated(self, four: House) -> None:
        reply = await four.call("GET", f"{API}/endpoints", params=[("endpointId", "a"), ("endpointId", "b")])
        assert reply.json["totalElements"] == 2

    async def test_metadata_comes_if_it_is_asked_for(self, four: House) -> None:
        page = await four.get(f"{API}/endpoints", endpointId="a", include="metadata")
        assert page["content"][0]["metadata"] == {"is": "a"}
        page = await four.get(f"{API}/endpoints", endpointId="a")
        assert "metadata" not in page["content"][0]
        assert (await four.get(f"{API}/endpoints/a", include="metadata"))["metadata"] == {"is": "a"}

    @pytest.mark.parametrize(
        ("name", "value"), [("offset", "-1"), ("limit", "1001"), ("limit", "x"), ("include", "everything")]
    )
    async def test_parameters_that_make_no_sense_are_refused_by_name(self, house: House, name: str, value: str) -> None:
        await start(house)
        reply = await house.call("GET", f"{API}/endpoints", params={name: value})
        assert (reply.status, reply.message.startswith(f"query.{name}")) == (400, True)

    async def test_one_that_is_not_there_is_not_found(self, four: House) -> None:
        for method, params in (("GET", {}), ("DELETE", {}), ("GET", {"tenantId": "other"})):
            path = "x" if not params else "a"
            reply = await four.call(method, f"{API}/endpoints/{path}", params=params)
            assert (reply.status, reply.message) == (404, f"there is no endpoint {path!r}")

    async def test_metadata_comes_back_as_it_went_in(self, house: House) -> None:
        await start(house)
        metadata = {"": None, "a b/ü": [1, 2.5, True, None, {"x": {}}], "big": 2**70, "null": None, "k" * 500: "v"}
        await post(house, endpointId="a", metadata=metadata)
        assert (await house.get(f"{API}/endpoints/a", include="metadata"))["metadata"] == metadata
        await post(house, endpointId="b")
        assert (await house.get(f"{API}/endpoints/b", include="metadata"))["metadata"] == {}

    async def test_a_page_of_a_hundred_thousand_is_read_off_an_index(self, house: House) -> None:
        """What takes time is to sort or to look at rows that are not wanted, and the plan shows neither."""
        await start(house)
        seen: list[str] = []
        sa.event.listen(house.storage._readers, "before_cursor_execute", _keep_statements(seen))
        for params in ({}, {"applicationName": "home"}, {"applicationVersionName": "home-v1"}):
            seen.clear()
            await house.get(f"{API}/endpoints", **params, offset=5, limit=20)
            [page, count] = [text for text in seen if "epr_endpoint" in text]

            def plan(connection: sa.Connection, statement: str) -> str:
                filled = statement.replace("?", "'1'")
                return "; ".join(row[3] for row in connection.exec_driver_sql(f"explain query plan {filled}"))

            page_plan = await house.storage.read(lambda connection, text=page: plan(connection, text))
            count_plan = await house.storage.read(lambda connection, text=count: plan(connection, text))
            assert "USING INDEX epr_endpoint_by_" in page_plan
            assert "TEMP B-TREE" not in page_plan
            assert "COVERING INDEX" in count_plan


def _keep_statements(seen: list[str]) -> Any:
    def keep(_: Any, __: Any, statement: str, *___: Any) -> None:
        seen.append(statement)

    return keep


class TestDeletion:
    async def test_the_endpoint_goes_and_its_tokens_and_both_are_told(self, house: House) -> None:
        await start(house)
        token = (await post(house, endpointId="dev-1")).json["token"]
        gone = await house.hear(elce.unregistered("epr"))
        revoked = await house.hear(ecap.token_revoked("cm"))
        reply = await house.call("DELETE", f"{API}/endpoints/dev-1")
        assert (reply.status, reply.data) == (204, b"")
        assert (await house.call("GET", f"{API}/endpoints/dev-1")).status == 404
        assert await whose(house, token) == (401, None)
        assert [(event.endpoint_id, event.app_version_name) for event in gone] == [("dev-1", "home-v1")]
        assert [(event.endpoint_id, event.app_name, len(event.token_ids)) for event in revoked] == [
            ("dev-1", "home", 1)
        ]
        await house.outbox_is_empty()

    async def test_the_id_is_free_again(self, house: House) -> None:
        await start(house)
        await post(house, endpointId="dev-1", endpointToken="one")
        await house.call("DELETE", f"{API}/endpoints/dev-1")
        assert (await post(house, "garden-v1", endpointId="dev-1", endpointToken="one")).status == 201
        assert (await whose(house, "one"), await whose(house, "one", "garden")) == ((401, None), (200, "dev-1"))

    async def test_one_that_nobody_could_hear_is_told_after_a_restart(self, house: House) -> None:
        await start(house)
        deaf = await house.hear(elce.unregistered("epr"), status=None)
        await post(house, endpointId="dev-1")
        assert (await house.call("DELETE", f"{API}/endpoints/dev-1")).status == 204
        await house.restart()
        heard = await house.hear(elce.unregistered("epr"))
        await start(house)
        await house.outbox_is_empty()
        assert [event.correlation_id for event in heard] == [deaf[0].correlation_id]


class TestVersionFollowsTheDevice:
    CONNECTED = elce.connected("kpc")

    async def moved(self, house: House, endpoints: dict[str, str]) -> None:
        """Say that endpoints have connected, and wait until EPR has dealt with it."""
        house.publish(self.CONNECTED, endpoints=endpoints)
        await until(lambda: not any(depth for depth, _ in house.bus.depths().values()))

    async def version(self, house: House, endpoint_id: str) -> dict[str, str]:
        return (await house.get(f"{API}/endpoints/{endpoint_id}"))["appVersion"]

    async def test_another_version_of_the_application_is_stored_and_told(self, house: House) -> None:
        await start(house)
        await post(house, endpointId="dev-1")
        heard = await house.hear(elce.app_version_updated("epr"))
        await house.clock.advance(2_000)
        house.publish(self.CONNECTED, endpoints={"dev-1": "home-v2"})
        await until(lambda: heard)
        assert await self.version(house, "dev-1") == {"name": "home-v2", "registeredDate": "2025-11-24T16:00:02.000Z"}
        [event] = heard
        told = event.endpoint_id, event.app_version_name, event.previous_app_version_name
        assert told == ("dev-1", "home-v2", "home-v1")
        assert (await house.get(f"{API}/endpoints", applicationVersionName="home-v2"))["totalElements"] == 1
        await house.outbox_is_empty()

    async def test_many_at_once_move_together(self, house: House) -> None:
        await start(house)
        for endpoint_id in ("a", "b", "c"):
            await post(house, endpointId=endpoint_id)
        heard = await house.hear(elce.app_version_updated("epr"))
        house.publish(self.CONNECTED, endpoints={"a": "home-v2", "b": "home-v1", "c": "home-v2"})
        await until(lambda: len(heard) == 2)
        assert {event.endpoint_id for event in heard} == {"a", "c"}

    async def test_the_last_report_of_a_burst_holds(self, house: House) -> None:
        await start(house)
        await post(house, endpointId="dev-1")
        for version in ("home-v2", "home-v1", "home-v2"):
            house.publish(self.CONNECTED, endpoints={"dev-1": version})

        async def has_moved() -> bool:
            return (await self.version(house, "dev-1"))["name"] == "home-v2"

        await until(has_moved)

    @pytest.mark.parametrize("reported", ["home-v1", "garden-v1", "home-v9", "nowhere-v1"])
    async def test_what_is_the_same_or_foreign_or_unknown_changes_nothing(self, house: House, reported: str) -> None:
        await start(house)
        await post(house, endpointId="dev-1")
        await post(house, endpointId="dev-2")
        heard = await house.hear(elce.app_version_updated("epr"))
        house.publish(self.CONNECTED, endpoints={"dev-1": reported, "nobody": "home-v1"})
        house.publish(self.CONNECTED, endpoints={"dev-2": "home-v2"})
        await until(lambda: heard)
        assert [event.endpoint_id for event in heard] == ["dev-2"]
        assert (await self.version(house, "dev-1"))["name"] == "home-v1"

    async def test_only_the_configured_service_is_believed(self, house: House) -> None:
        await start(house, config={"communication": "gateway"})
        await post(house, endpointId="dev-1")
        await post(house, endpointId="dev-2")
        heard = await house.hear(elce.app_version_updated("epr"))
        house.publish(elce.connected("kpc"), endpoints={"dev-1": "home-v2"})
        house.publish(elce.connected("gateway"), endpoints={"dev-2": "home-v2"})
        await until(lambda: heard)
        assert [event.endpoint_id for event in heard] == ["dev-2"]


class TestOverTheBus:
    async def test_endpoints_are_counted_by_application_and_version(self, house: House) -> None:
        await start(house)
        for version in ("home-v1", "home-v1", "home-v2", "garden-v1"):
            await post(house, version)
        count = x_register.count_endpoints("epr")
        for fields, expected in (
            ({"app_name": "home"}, 3),
            ({"app_name": "home", "app_version_name": "home-v1"}, 2),
            ({"app_name": "garden", "app_version_name": "home-v1"}, 0),
            ({"app_name": "nowhere"}, 0),
        ):
            reply = await house.request(count, **fields)
            assert (reply.status_code, reply.count) == (200, expected)

    async def test_endpoints_are_found_by_id(self, house: House) -> None:
        await start(house)
        await post(house, endpointId="a")
        await post(house, "garden-v1", endpointId="b")
        reply = await house.request(x_register.find_endpoints("epr"), endpoint_ids=("a", "x", "b"))
        assert reply.status_code == 200
        assert {(one.endpoint_id, one.app_name, one.app_version_name) for one in reply.endpoints} == {
            ("a", "home", "home-v1"),
            ("b", "garden", "garden-v1"),
        }

    async def test_more_than_a_thousand_ids_are_refused(self, house: House) -> None:
        await start(house)
        ids = tuple(map(str, range(1_001)))
        assert (await house.request(x_register.find_endpoints("epr"), endpoint_ids=ids)).status_code == 400
        assert (await house.request(x_register.find_endpoints("epr"), endpoint_ids=ids[1:])).status_code == 200
