"""CM: tokens, whose they are, and whether they are good."""

from typing import Any

import pytest
import sqlalchemy as sa
from fakes.clock import START_MS
from house import House, Reply
from waiting import until

from kaa.modules.cm.module import MODULE as CM
from kaa.modules.epr.module import MODULE as EPR
from kaa.protocols import ecap, elce, x_credentials

API = "/cm/api/v1"
NOW = "2025-11-24T16:00:00.000Z"
APPLICATIONS = {"home": ["home-v1"], "garden": ["garden-v1"]}
VALIDATE, MOVE, ISSUE = ecap.validate_token("cm"), ecap.move_token("cm"), x_credentials.issue_tokens("cm")


async def start(house: House) -> None:
    """Have CM and EPR run, and the endpoint `dev-1` of `home` with the token `first`."""
    await house.start(CM)
    await house.start(EPR, applications=APPLICATIONS)
    body = {"appVersion": {"name": "home-v1"}, "endpointId": "dev-1", "endpointToken": "first"}
    assert (await house.call("POST", "/epr/api/v1/endpoints", body)).status == 201


async def issue(house: House, *orders: tuple[str, str | None], app: str = "home") -> Any:
    made = tuple(x_credentials.TokenOrder(endpoint_id=endpoint, token=token) for endpoint, token in orders)
    return await house.request(ISSUE, app_name=app, orders=made)


async def verdict(house: House, token: str, app: str = "home") -> tuple[int, str | None, str | None]:
    reply = await house.request(VALIDATE, app_name=app, token=token)
    return reply.status_code, reply.endpoint_id, reply.reason_phrase


async def tokens(house: House, endpoint: str = "dev-1", **params: Any) -> list[dict[str, Any]]:
    return (await house.get(f"{API}/endpoints/{endpoint}/tokens", **params))["content"]


async def move(house: House, token_id: str, status: str, endpoint: str = "dev-1") -> Reply:
    return await house.call("PUT", f"{API}/endpoints/{endpoint}/tokens/{token_id}/status", {"status": status})


async def with_status(house: House, *path: str) -> str:
    """Bring the token `first` there by these steps, and give its id."""
    await start(house)
    [token] = await tokens(house)
    for status in path:
        assert (await move(house, token["endpointTokenId"], status)).status == 200
    return token["endpointTokenId"]


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


class TestListing:
    async def test_a_token_is_listed_without_its_value(self, house: House) -> None:
        await start(house)
        page = await house.get(f"{API}/endpoints/dev-1/tokens")
        [token] = page["content"]
        assert token == {
            "endpointTokenId": token["endpointTokenId"],
            "status": "Inactive",
            "createdDate": NOW,
            "updatedDate": NOW,
            "applicationName": "home",
        }
        assert page["totalElements"] == 1
        assert await house.get(f"{API}/endpoints/dev-1/tokens/{token['endpointTokenId']}") == token

    async def test_its_value_is_nowhere_on_the_disk(self, house: House) -> None:
        await start(house)
        await house.call("POST", f"{API}/endpoints/dev-1/tokens", {"applicationName": "home", "token": "s3cret-value"})
        await house.stop()
        assert not any(b"s3cret-value" in file.read_bytes() for file in house.directory.rglob("*") if file.is_file())
        await house.open()

    async def test_the_newest_comes_first_unless_it_is_said_otherwise(self, house: House) -> None:
        await start(house)
        for n in range(3):
            await house.clock.advance(1_000)
            body = {"applicationName": "home", "token": f"more-{n}"}
            await house.call("POST", f"{API}/endpoints/dev-1/tokens", body)
        dates = [f"2025-11-24T16:00:0{n}.000Z" for n in range(4)]
        assert [one["createdDate"] for one in await tokens(house)] == dates[::-1]
        assert [one["createdDate"] for one in await tokens(house, order="ASC")] == dates
        page = await house.get(f"{API}/endpoints/dev-1/tokens", order="ASC", offset=1, limit=2)
        assert ([one["createdDate"] for one in page["content"]], page["totalElements"]) == (dates[1:3], 4)

    async def test_they_are_narrowed_by_status(self, house: House) -> None:
        await with_status(house, "Active", "Suspended")
        await house.call("POST", f"{API}/endpoints/dev-1/tokens", {"applicationName": "home"})
        assert [one["status"] for one in await tokens(house, status="Suspended")] == ["Suspended"]
        assert len(await tokens(house, status="Suspended,Inactive")) == 2
        reply = await house.call("GET", f"{API}/endpoints/dev-1/tokens", params=[("status", "Active")])
        assert reply.json == {"content": [], "totalElements": 0}

    async def test_an_endpoint_without_tokens_has_an_empty_list(self, house: House) -> None:
        await start(house)
        assert await tokens(house, "dev-9") == []

    @pytest.mark.parametrize(
        ("name", "value"), [("status", "active"), ("order", "UP"), ("limit", "1001"), ("offset", "-1")]
    )
    async def test_parameters_that_make_no_sense_are_refused_by_name(self, house: House, name: str, value: str) -> None:
        await house.start(CM)
        reply = await house.call("GET", f"{API}/endpoints/dev-1/tokens", params={name: value})
        assert (reply.status, reply.message.startswith(f"query.{name}")) == (400, True)

    async def test_who_has_the_list_already_is_told_so_until_it_changes(self, house: House) -> None:
        await start(house)
        path = f"{API}/endpoints/dev-1/tokens"
        first = await house.call("GET", path)
        etag = first.headers["ETag"]
        assert len(etag) == 42
        same = await house.call("GET", path, headers={"If-None-Match": etag})
        assert (same.status, same.data, same.headers["ETag"]) == (304, b"", etag)
        await house.clock.advance(1)
        await move(house, first.json["content"][0]["endpointTokenId"], "Active")
        other = await house.call("GET", path, headers={"If-None-Match": etag})
        assert (other.status, other.headers["ETag"] != etag) == (200, True)


class TestIssuing:
    async def test_a_second_token_for_an_endpoint_is_shown_once_and_works_beside_the_first(self, house: House) -> None:
        await start(house)
        reply = await house.call("POST", f"{API}/endpoints/dev-1/tokens", {"applicationName": "home"})
        body = reply.json
        value = body.pop("token")
        assert (reply.status, len(value)) == (201, 22)
        assert body == {
            "endpointTokenId": body["endpointTokenId"],
            "status": "Inactive",
            "createdDate": NOW,
            "updatedDate": NOW,
            "applicationName": "home",
        }
        location = f"/cm/api/v1/endpoints/dev-1/tokens/{body['endpointTokenId']}"
        assert reply.headers["Location"].endswith(location)
        assert await house.get(location) == body
        assert (await verdict(house, value), await verdict(house, "first")) == ((200, "dev-1", None),) * 2

    async def test_a_value_may_be_given(self, house: House) -> None:
        await start(house)
        body = {"applicationName": "home", "token": "AA:BB:CC"}
        reply = await house.call("POST", f"{API}/endpoints/dev-1/tokens", body)
        assert (reply.status, reply.json["token"]) == (201, "AA:BB:CC")
        assert await verdict(house, "AA:BB:CC") == (200, "dev-1", None)

    @pytest.mark.parametrize("value", ["", "a+b", "a#b", "a/b", "a.b", "a\0b", "x" * 129])
    async def test_a_value_that_cannot_stand_in_a_topic_is_refused(self, house: House, value: str) -> None:
        await start(house)
        body = {"applicationName": "home", "token": value}
        reply = await house.call("POST", f"{API}/endpoints/dev-1/tokens", body)
        assert (reply.status, reply.message.split(":")[0]) == (400, "body.token")

    async def test_without_an_application_it_is_refused_by_field(self, house: House) -> None:
        await start(house)
        reply = await house.call("POST", f"{API}/endpoints/dev-1/tokens", {})
        assert (reply.status, reply.message.split(":")[0]) == (400, "body.applicationName")

    async def test_for_an_endpoint_that_is_not_there_it_is_not_found(self, house: House) -> None:
        await start(house)
        reply = await house.call("POST", f"{API}/endpoints/dev-9/tokens", {"applicationName": "home"})
        assert (reply.status, reply.message) == (404, "there is no endpoint 'dev-9'")

    async def test_for_an_endpoint_of_another_application_it_is_refused(self, house: House) -> None:
        await start(house)
        reply = await house.call("POST", f"{API}/endpoints/dev-1/tokens", {"applicationName": "garden"})
        assert (reply.status, reply.message) == (
            409,
            "applicationName: endpoint 'dev-1' belongs to application 'home'",
        )
        assert len(await tokens(house)) == 1

    async def test_a_value_that_is_taken_in_the_application_is_refused(self, house: House) -> None:
        await start(house)
        reply = await house.call("POST", f"{API}/endpoints/dev-1/tokens", {"applicationName": "home", "token": "first"})
        assert (reply.status, reply.message) == (409, "token: it is taken in application 'home'")

    async def test_without_epr_it_is_refused_for_now(self, house: House) -> None:
        await house.start(CM)
        reply = await house.call("POST", f"{API}/endpoints/dev-1/tokens", {"applicationName": "home"})
        assert reply.status == 503


class TestMoving:
    @pytest.mark.parametrize("to", ["Active", "Suspended", "Revoked"])
    @pytest.mark.parametrize("came_from", list(PATHS))
    async def test_by_hand_it_goes_where_its_life_allows(self, house: House, came_from: str, to: str) -> None:
        token_id = await with_status(house, *PATHS[came_from])
        heard = await house.hear(ecap.token_revoked("cm"))
        await house.clock.advance(1_000)
        reply = await move(house, token_id, to)
        [token] = await tokens(house)
        if (came_from, to) in ALLOWED:
            assert (reply.status, reply.json) == (200, token)
            assert (token["status"], token["updatedDate"]) == (to, "2025-11-24T16:00:01.000Z")
            assert token["createdDate"] == NOW
            expected = [("home", "dev-1", (token_id,))] if to in ("Suspended", "Revoked") else []
            assert [(one.app_name, one.endpoint_id, one.token_ids) for one in heard] == expected
        else:
            sentence = f"status: a token that is {came_from} cannot be made {to}"
            assert (reply.status, reply.message) == (409, sentence)
            assert token["status"] == came_from
            assert heard == []

    @pytest.mark.parametrize("status", ["Inactive", "active", "", None, 5])
    async def test_another_target_is_refused_by_field(self, house: House, status: Any) -> None:
        token_id = await with_status(house)
        reply = await house.call("PUT", f"{API}/endpoints/dev-1/tokens/{token_id}/status", {"status": status})
        assert (reply.status, reply.message.split(":")[0]) == (400, "body.status")

    async def test_a_token_of_another_endpoint_is_not_found(self, house: House) -> None:
        token_id = await with_status(house)
        for reply in (
            await move(house, token_id, "Active", endpoint="dev-2"),
            await move(house, "nothing", "Active"),
            await house.call("DELETE", f"{API}/endpoints/dev-2/tokens/{token_id}"),
            await house.call("GET", f"{API}/endpoints/dev-2/tokens/{token_id}"),
        ):
            assert (reply.status, "has no token" in reply.message) == (404, True)
        assert (await tokens(house))[0]["status"] == "Inactive"

    async def test_a_revocation_is_heard_before_it_is_answered(self, house: House) -> None:
        token_id = await with_status(house, "Active")
        heard = await house.hear(ecap.token_revoked("cm"))
        assert (await move(house, token_id, "Revoked")).status == 200
        assert len(heard) == 1
        assert await verdict(house, "first") == (403, "dev-1", "the token is revoked")
        await house.outbox_is_empty()

    async def test_a_suspended_token_is_good_again_when_it_is_active_again(self, house: House) -> None:
        token_id = await with_status(house, "Active", "Suspended")
        assert await verdict(house, "first") == (403, "dev-1", "the token is suspended")
        await move(house, token_id, "Active")
        assert await verdict(house, "first") == (200, "dev-1", None)

    async def test_a_revocation_that_nobody_answered_is_told_again_after_a_restart(self, house: House) -> None:
        token_id = await with_status(house, "Active")
        deaf = await house.hear(ecap.token_revoked("cm"), status=None)
        assert (await move(house, token_id, "Revoked")).status == 200
        await house.restart()
        heard = await house.hear(ecap.token_revoked("cm"))
        await house.start(CM)
        await house.outbox_is_empty()
        assert [event.correlation_id for event in heard] == [deaf[0].correlation_id]
        assert heard[0].token_ids == (token_id,)
        assert await verdict(house, "first") == (403, "dev-1", "the token is revoked")


class TestDeleting:
    @pytest.mark.parametrize("status", list(PATHS))
    async def test_it_is_gone_and_told_unless_it_had_been_revoked(self, house: House, status: str) -> None:
        token_id = await with_status(house, *PATHS[status])
        heard = await house.hear(ecap.token_revoked("cm"))
        reply = await house.call("DELETE", f"{API}/endpoints/dev-1/tokens/{token_id}")
        assert (reply.status, reply.data) == (204, b"")
        assert await tokens(house) == []
        assert await verdict(house, "first") == (401, None, "the token is unknown")
        assert [event.token_ids for event in heard] == ([] if status == "Revoked" else [(token_id,)])
        assert (await house.call("DELETE", f"{API}/endpoints/dev-1/tokens/{token_id}")).status == 404

    async def test_its_value_may_be_issued_again(self, house: House) -> None:
        token_id = await with_status(house)
        await house.call("DELETE", f"{API}/endpoints/dev-1/tokens/{token_id}")
        body = {"applicationName": "home", "token": "first"}
        assert (await house.call("POST", f"{API}/endpoints/dev-1/tokens", body)).status == 201


class TestValidation:
    async def test_an_unknown_token_is_unknown_and_so_is_one_of_another_application(self, house: House) -> None:
        await start(house)
        for token, app in (("other", "home"), ("first", "garden"), ("first", "nowhere"), ("", "home")):
            reply = await house.request(VALIDATE, app_name=app, token=token)
            assert (reply.status_code, reply.token_id, reply.endpoint_id) == (401, None, None)

    async def test_the_first_use_makes_it_active_for_good(self, house: House) -> None:
        token_id = await with_status(house)
        await house.clock.advance(1_000)
        reply = await house.request(VALIDATE, app_name="home", token="first")
        assert (reply.status_code, reply.token_id, reply.endpoint_id) == (200, token_id, "dev-1")
        await house.restart()
        await house.start(CM)
        [token] = await tokens(house)
        assert (token["status"], token["updatedDate"]) == ("Active", "2025-11-24T16:00:01.000Z")

    async def test_further_uses_write_nothing(self, house: House) -> None:
        await start(house)
        await verdict(house, "first")
        await house.outbox_is_empty()
        before = (await tokens(house), _writes(house))
        await house.clock.advance(1_000)
        for _ in range(5):
            assert await verdict(house, "first") == (200, "dev-1", None)
        assert (await tokens(house), _writes(house)) == before

    async def test_many_at_once_are_answered_with_one_read_in_their_order(self, house: House) -> None:
        await house.start(CM)
        await issue(house, *((f"dev-{n}", f"token-{n}") for n in range(200)))
        reads: list[str] = []
        sa.event.listen(
            house.storage._readers,
            "before_cursor_execute",
            lambda _, __, statement, *___: reads.append(statement),
        )
        answers: dict[str, Any] = {}
        asked = [house.message(VALIDATE, app_name="home", token=f"token-{n}") for n in range(0, 400, 2)]
        from kaa.core.subjects import Subject

        reply_to = Subject("test.replies", ecap.EndpointTokenValidationResponse)

        async def on_answer(answer: Any) -> None:
            answers[answer.correlation_id] = answer

        async with house.bus.subscribe(reply_to, on_answer, queue="test"):
            for message in asked:
                house.bus.publish(VALIDATE, message, reply_to=reply_to)
            await until(lambda: len(answers) == len(asked))
        assert list(answers) == [message.correlation_id for message in asked]
        found = [answers[message.correlation_id].endpoint_id for message in asked]
        assert found == [f"dev-{n}" if n < 200 else None for n in range(0, 400, 2)]
        assert len(reads) <= 2
        assert len(await tokens(house, "dev-0", status="Active")) == 1
        assert len(await tokens(house, "dev-1", status="Active")) == 0

    async def test_a_disk_that_takes_nothing_keeps_nobody_out(self, house: House) -> None:
        await start(house)

        async def refuse(*_: Any) -> None:
            from kaa.core.errors import StorageFull

            raise StorageFull("the disk is full; nothing was stored")

        write, house.storage.write = house.storage.write, refuse  # type: ignore[method-assign]
        assert await verdict(house, "first") == (200, "dev-1", None)
        house.storage.write = write  # type: ignore[method-assign]
        assert (await tokens(house))[0]["status"] == "Inactive"
        await verdict(house, "first")
        assert (await tokens(house))[0]["status"] == "Active"


def _writes(house: House) -> bytes:
    return next(line for line in house.metrics.render().splitlines() if line.startswith(b"kaa_storage_writes"))


class TestMovingOverTheBus:
    async def test_another_service_may_move_a_token_by_its_value(self, house: House) -> None:
        await with_status(house, "Active")
        heard = await house.hear(ecap.token_revoked("cm"))
        reply = await house.request(MOVE, app_name="home", token="first", target_status="Revoked")
        assert (reply.status_code, reply.reason_phrase) == (200, None)
        assert len(heard) == 1
        assert (await tokens(house))[0]["status"] == "Revoked"

    @pytest.mark.parametrize(
        ("token", "target", "code"),
        [("other", "Active", 404), ("first", "Revoked", 409), ("first", "Gone", 400), ("first", "Inactive", 409)],
    )
    async def test_what_cannot_be_done_is_refused(self, house: House, token: str, target: str, code: int) -> None:
        await start(house)
        reply = await house.request(MOVE, app_name="home", token=token, target_status=target)
        assert (reply.status_code, bool(reply.reason_phrase)) == (code, True)
        assert (await tokens(house))[0]["status"] == "Inactive"


class TestIssuingOverTheBus:
    async def test_many_are_issued_in_order_given_or_made_up(self, house: House) -> None:
        await house.start(CM)
        reply = await issue(house, ("a", "one"), ("b", None), ("c", "three"))
        assert reply.status_code == 200
        assert [(one.endpoint_id, one.status_code, one.status) for one in reply.tokens] == [
            ("a", 200, "Inactive"),
            ("b", 200, "Inactive"),
            ("c", 200, "Inactive"),
        ]
        assert [reply.tokens[0].token, reply.tokens[2].token] == ["one", "three"]
        assert await verdict(house, reply.tokens[1].token) == (200, "b", None)

    async def test_each_order_has_its_own_answer(self, house: House) -> None:
        await house.start(CM)
        await issue(house, ("a", "one"))
        reply = await issue(house, ("b", "one"), ("c", "a/b"), ("d", "two"), ("e", "two"), ("f", ""))
        assert [(one.endpoint_id, one.status_code, one.token) for one in reply.tokens] == [
            ("b", 409, None),
            ("c", 400, None),
            ("d", 200, "two"),
            ("e", 409, None),
            ("f", 400, None),
        ]
        assert (await verdict(house, "one"), await verdict(house, "two")) == ((200, "a", None), (200, "d", None))

    async def test_the_same_order_again_is_answered_like_the_first(self, house: House) -> None:
        await house.start(CM)
        first = await issue(house, ("a", "one"))
        again = await issue(house, ("a", "one"))
        assert first.tokens == again.tokens
        assert len(await tokens(house, "a")) == 1

    async def test_a_token_that_was_revoked_does_not_come_back(self, house: House) -> None:
        token_id = await with_status(house, "Active", "Revoked")
        reply = await issue(house, ("dev-1", "first"))
        assert reply.tokens[0].status_code == 409
        assert (await tokens(house))[0]["endpointTokenId"] == token_id
        assert await verdict(house, "first") == (403, "dev-1", "the token is revoked")

    async def test_more_than_a_thousand_are_refused_whole(self, house: House) -> None:
        await house.start(CM)
        orders = [(f"dev-{n}", f"token-{n}") for n in range(1_001)]
        assert (await issue(house, *orders)).status_code == 400
        assert await verdict(house, "token-0") == (401, None, "the token is unknown")
        reply = await issue(house, *orders[1:])
        assert {one.status_code for one in reply.tokens} == {200}
        assert len(reply.tokens) == 1_000


class TestEndpointsThatAreNoMore:
    GONE = elce.unregistered("epr")

    async def test_their_tokens_go_and_are_told(self, house: House) -> None:
        await house.start(CM)
        await issue(house, ("a", "one"), ("a", "two"), ("b", "three"))
        heard = await house.hear(ecap.token_revoked("cm"))
        house.publish(self.GONE, app_version_name="home-v1", endpoint_id="a")
        await until(lambda: heard)
        assert [(event.endpoint_id, len(event.token_ids)) for event in heard] == [("a", 2)]
        assert await tokens(house, "a") == []
        assert await verdict(house, "three") == (200, "b", None)
        await house.outbox_is_empty()

    async def test_the_same_event_again_does_nothing(self, house: House) -> None:
        await house.start(CM)
        await issue(house, ("a", "one"), ("b", "two"))
        heard = await house.hear(ecap.token_revoked("cm"))
        event = house.publish(self.GONE, app_version_name="home-v1", endpoint_id="a")
        house.bus.publish(self.GONE, event)
        house.publish(self.GONE, app_version_name="home-v1", endpoint_id="b")
        await until(lambda: len(heard) == 2)
        assert [one.endpoint_id for one in heard] == ["a", "b"]

    async def test_one_that_comes_late_leaves_what_was_issued_since(self, house: House) -> None:
        await house.start(CM)
        await issue(house, ("a", "old"))
        event = house.message(self.GONE, app_version_name="home-v1", endpoint_id="a")
        await house.clock.advance(1)
        await issue(house, ("a", "new"))
        heard = await house.hear(ecap.token_revoked("cm"))
        house.bus.publish(self.GONE, event)
        await until(lambda: heard)
        assert (await verdict(house, "old"), await verdict(house, "new")) == (
            (401, None, "the token is unknown"),
            (200, "a", None),
        )

    async def test_it_is_answered_in_the_instances_name(self, house: House) -> None:
        from kaa.core.subjects import Subject
        from kaa.protocols.x_outbox import EventProcessed

        await house.start(CM, name="cm_2", config={"register": "epr_2"})
        answers: list[EventProcessed] = []

        async def on_answer(answer: EventProcessed) -> None:
            answers.append(answer)

        reply_to = Subject("test.replies", EventProcessed)
        async with house.bus.subscribe(reply_to, on_answer, queue="test"):
            subject = elce.unregistered("epr_2")
            message = house.message(subject, app_version_name="home-v1", endpoint_id="a", timestamp_ms=START_MS)
            house.bus.publish(subject, message, reply_to=reply_to)
            await until(lambda: answers)
        [answer] = answers
        assert (answer.correlation_id, answer.receiver_service_instance_name, answer.status_code) == (
            message.correlation_id,
            "cm_2",
            200,
        )
