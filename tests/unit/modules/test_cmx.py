"""CMX: configurations reach devices, and what devices say of them is kept."""

import asyncio
import json
from dataclasses import fields
from typing import Any

from configuring import APPLICATIONS, NOW, Devices, World
from house import House
from waiting import until

from kaa.modules.cm.module import MODULE as CM
from kaa.modules.cmx.module import MODULE as CMX
from kaa.modules.ecr.module import MODULE as ECR
from kaa.modules.epr.module import MODULE as EPR
from kaa.protocols import cdtp, elce, esp, x_configurations

ONE = "/endpoints/dev-1/app-versions/home-v1"
ALL = "/app-versions/home-v1"
NOTHING = {"configId": "", "config": None, "statusCode": 200, "reasonPhrase": "OK"}


async def count(house: House, table: str) -> int:
    query = f"select count(*) from {table}"
    return await house.storage.read(lambda connection: connection.exec_driver_sql(query).scalar_one())


def response(request: cdtp.ConfigRequest, config_id: str, content: bytes) -> cdtp.ConfigResponse:
    return cdtp.ConfigResponse(
        correlation_id=request.correlation_id,
        timestamp_ms=1,
        app_version_name=request.app_version_name,
        endpoint_id=request.endpoint_id,
        config_id=config_id,
        content=content,
        status_code=200,
    )


class TestTheWholeWay:
    async def test_a_configuration_that_is_written_is_pulled_and_its_application_noted(self, house: House) -> None:
        world = await World(house).open()
        config_id = await world.put(ONE, {"period": 60})
        assert await world.state() == {'{"period":60}': "PENDING"}
        assert await world.devices.pull() == {
            "configId": config_id,
            "config": {"period": 60},
            "statusCode": 200,
            "reasonPhrase": "OK",
        }
        assert await world.state() == {'{"period":60}': "DISPATCHED"}
        answer = await world.devices.applied(config_id)
        assert (answer.status_code, answer.payload, answer.request_id) == (200, None, 7)
        assert await world.state() == {'{"period":60}': "APPLIED"}

    async def test_a_configuration_that_is_written_is_pushed_to_a_device_that_is_there(self, house: House) -> None:
        world = await World(house).open()
        await world.devices.connect("dev-1")
        config_id = await world.put(ONE, {"period": 60})
        await world.devices.quiet()
        [push] = world.devices.pushed
        assert (push.endpoint_id, push.app_version_name, push.resource_path, push.request_id, push.status_code) == (
            "dev-1",
            "home-v1",
            "/config/json",
            None,
            200,
        )
        assert push.extension_instance_name == "cmx"
        assert push.payload == (
            b'{"configId":"%s","config":{"period":60},"statusCode":200,"reasonPhrase":"OK"}' % config_id.encode()
        )
        assert await world.state() == {'{"period":60}': "DISPATCHED"}

    async def test_what_was_acknowledged_is_pushed_after_a_crash(self, house: House) -> None:
        world = await World(house).open()
        config_id = await world.put(ONE, 1)
        await world.restart()
        await world.devices.connect("dev-1")
        assert world.devices.pushes() == [("dev-1", "/config/json", 1)]
        await world.devices.applied(config_id)
        await world.restart()
        await world.devices.connect("dev-1")
        assert world.devices.pushes() == []
        assert await world.state() == {"1": "APPLIED"}

    async def test_with_the_real_register_a_deleted_endpoint_leaves_nothing(self, house: House) -> None:
        world = World(house)
        await world.devices.open()
        await house.start(CM)
        await house.start(EPR, applications=APPLICATIONS)
        await house.start(ECR, applications=APPLICATIONS)
        await house.start(CMX, applications=APPLICATIONS)
        body = {"appVersion": {"name": "home-v1"}, "endpointId": "dev-1"}
        assert (await house.call("POST", "/epr/api/v1/endpoints", body)).status == 201
        await house.clock.advance(1)
        config_id = await world.put(ONE, 1)
        await world.devices.pull({"observe": False})
        await world.devices.applied(config_id)
        await house.clock.advance(1)
        assert (await house.call("DELETE", "/epr/api/v1/endpoints/dev-1")).status == 204
        await world.devices.quiet()
        for table in ("ecr_config", "ecr_status", "ecr_told", "cmx_state"):
            assert await count(house, table) == 0
        assert (await house.call("POST", "/epr/api/v1/endpoints", body)).status == 201
        assert await world.devices.pull() == NOTHING


class TestPulling:
    async def test_a_device_that_has_the_current_one_is_told_so(self, house: House) -> None:
        world = await World(house).open()
        config_id = await world.put(ONE, [1, "a", None])
        assert await world.devices.pull({"configId": config_id}) == {"statusCode": 200, "reasonPhrase": "OK"}
        assert (await world.devices.pull({"configId": "another"}))["config"] == [1, "a", None]

    async def test_and_counts_as_one_that_has_applied_it(self, house: House) -> None:
        world = await World(house).open()
        config_id = await world.put(ONE, 1)
        await world.devices.pull({"configId": config_id})
        await world.devices.quiet()
        [status] = await world.statuses(endpointId="dev-1")
        assert (status["status"], status["confirmationStatusCode"]) == ("APPLIED", 200)
        assert status["confirmationReasonPhrase"] == "Implicitly applied"

    async def test_which_is_told_once(self, house: House) -> None:
        world = await World(house).open()
        heard = await house.hear(cdtp.config_applied("cmx"))
        config_id = await world.put(ONE, 1)
        for _ in range(3):
            await world.devices.pull({"configId": config_id})
        await world.devices.quiet()
        assert len(heard) == 1

    async def test_unless_that_is_not_wanted(self, house: House) -> None:
        world = World(house)
        await world.register.open()
        await world.devices.open()
        await house.start(ECR, applications=APPLICATIONS)
        await house.start(CMX, applications=APPLICATIONS, config={"implicitly-applied": False})
        config_id = await world.put(ONE, 1)
        await world.devices.pull({"configId": config_id})
        await world.devices.quiet()
        assert await world.state() == {"1": "PENDING"}

    async def test_where_nothing_is_assigned_there_is_nothing(self, house: House) -> None:
        world = await World(house).open()
        assert await world.devices.pull() == NOTHING
        assert await world.devices.pull({"configId": "old"}) == NOTHING
        assert await world.devices.pull({"configId": ""}) == {"statusCode": 200, "reasonPhrase": "OK"}
        assert await world.statuses() == []

    async def test_a_name_leads_to_another_configuration(self, house: House) -> None:
        world = await World(house).open()
        await world.put(ALL, "default one")
        await world.put(ALL, "of the net", name="net-2")
        assert (await world.devices.pull())["config"] == "default one"
        assert (await world.devices.pull(name="default"))["config"] == "default one"
        assert (await world.devices.pull(name="net-2"))["config"] == "of the net"
        assert await world.devices.pull(name="other") == NOTHING

    async def test_a_communication_service_may_say_the_name_beside_the_path(self, house: House) -> None:
        world = await World(house).open()
        await world.put(ALL, "of the net", name="net")
        message = world.devices.message("/config/json", b"", endpoint="dev-1", version="home-v1", request_id=1)
        message = type(message)(**{f.name: getattr(message, f.name) for f in fields(message)} | {"config_name": "net"})
        house.bus.publish(esp.client_data("cmx"), message, reply_to=world.devices.reply_to)
        answer = await until(lambda: world.devices.answers.get(message.correlation_id))
        assert json.loads(answer.payload)["config"] == "of the net"

    async def test_null_members_are_absent(self, house: House) -> None:
        world = await World(house).open()
        await world.put(ONE, 1)
        for payload in ({"configId": None, "observe": None}, {}, b"", b" \n"):
            assert (await world.devices.pull(payload))["config"] == 1

    async def test_without_a_request_id_the_answer_is_what_a_push_would_be(self, house: House) -> None:
        world = await World(house).open()
        config_id = await world.put(ONE, 1)
        assert (await world.devices.pull({"observe": True}, request_id=None))["config"] == 1
        assert await world.devices.pull({"configId": config_id}, request_id=None) is None
        assert await world.devices.pull({"observe": False}, request_id=None) is None
        assert await world.devices.pull(endpoint="dev-2", request_id=None) is None

    async def test_what_the_provider_refuses_the_device_hears(self, house: House) -> None:
        world = await World(house).open()
        answer = await world.devices.send("/config/json", version="home-v9")
        assert (answer.status_code, answer.reason_phrase) == (404, "there is no application version 'home-v9'")

    async def test_a_provider_that_is_not_there_is_named(self, house: House) -> None:
        world = World(house)
        await world.devices.open()
        await house.start(CMX, applications=APPLICATIONS)
        answer = await world.devices.send("/config/json")
        assert (answer.status_code, answer.reason_phrase) == (503, "the service ecr cannot be reached")

    async def test_one_that_does_not_answer_is_not_waited_for_longer_than_the_communication_service_would(
        self, house: House
    ) -> None:
        world = World(house)
        await world.devices.open()
        await house.start(CMX, applications=APPLICATIONS)
        asked = await house.hear(cdtp.configuration("ecr"))
        message = world.devices.message("/config/json", b"", endpoint="dev-1", version="home-v1", request_id=1)
        house.bus.publish(esp.client_data("cmx"), message, reply_to=world.devices.reply_to)
        await until(lambda: asked)
        await house.clock.advance(8_000)
        answer = await until(lambda: world.devices.answers.get(message.correlation_id))
        assert answer.status_code == 504

    async def test_what_is_told_while_the_answer_is_on_its_way_is_what_counts(self, house: House) -> None:
        world = World(house)
        await world.devices.open()
        await house.start(CMX, applications=APPLICATIONS)
        asked, may_answer = asyncio.Event(), asyncio.Event()
        world.devices.connected["dev-1"] = "home-v1"

        async def on_request(request: cdtp.ConfigRequest) -> cdtp.ConfigResponse:
            asked.set()
            await may_answer.wait()
            return response(request, "old", b'"old"')

        async with house.bus.subscribe(cdtp.configuration("ecr"), on_request, queue="ecr"):
            message = world.devices.message("/config/json", b"", endpoint="dev-1", version="home-v1", request_id=1)
            house.bus.publish(esp.client_data("cmx"), message, reply_to=world.devices.reply_to)
            await asked.wait()
            house.publish(
                cdtp.config_updated("ecr"),
                app_version_name="home-v1",
                endpoint_id="dev-1",
                config_id="new",
                content=b'"new"',
            )
            await until(lambda: world.devices.pushed)
            may_answer.set()
            answer = await until(lambda: world.devices.answers.get(message.correlation_id))
        assert json.loads(answer.payload)["config"] == "new"

    async def test_a_provider_that_gives_something_else_than_json_is_not_believed(self, house: House) -> None:
        world = World(house)
        await world.devices.open()
        await house.start(CMX, applications=APPLICATIONS)

        async def on_request(request: cdtp.ConfigRequest) -> cdtp.ConfigResponse:
            return response(request, "x", b"<xml/>")

        async with house.bus.subscribe(cdtp.configuration("ecr"), on_request, queue="ecr"):
            assert (await world.devices.send("/config/json")).status_code == 400


class TestApplying:
    async def test_a_rejection_is_kept_with_its_reason(self, house: House) -> None:
        world = await World(house).open()
        config_id = await world.put(ONE, 1)
        assert (await world.devices.applied(config_id, code=500, phrase="no room")).status_code == 200
        [status] = await world.statuses(endpointId="dev-1")
        assert (status["status"], status["confirmationStatusCode"], status["confirmationReasonPhrase"]) == (
            "FAILED",
            500,
            "no room",
        )
        assert status["lastConfirmedDate"] == NOW

    async def test_the_same_report_again_changes_nothing(self, house: House) -> None:
        world = await World(house).open()
        config_id = await world.put(ONE, 1)
        for _ in range(2):
            assert (await world.devices.applied(config_id)).status_code == 200
        assert [one["status"] for one in await world.statuses(endpointId="dev-1")] == ["APPLIED"]

    async def test_without_a_request_id_it_is_released_and_not_answered(self, house: House) -> None:
        world = await World(house).open()
        config_id = await world.put(ONE, 1)
        answer = await world.devices.applied(config_id, request_id=None)
        assert (answer.status_code, answer.payload, answer.request_id) == (200, None, None)
        assert await world.state() == {"1": "APPLIED"}

    async def test_a_configuration_that_nobody_knows_is_no_part_of_the_history(self, house: House) -> None:
        world = await World(house).open()
        assert (await world.devices.applied("made-up")).status_code == 200
        assert await world.statuses() == []

    async def test_the_name_is_found_by_the_identifier(self, house: House) -> None:
        world = await World(house).open()
        config_id = await world.put(ONE, 1, name="net")
        await world.devices.applied(config_id, name="net")
        assert [(one["name"], one["status"]) for one in await world.statuses(endpointId="dev-1")] == [
            ("net", "APPLIED")
        ]

    async def test_the_event_says_what_the_device_said(self, house: House) -> None:
        world = await World(house).open()
        heard = await house.hear(cdtp.config_applied("cmx"))
        await world.devices.applied("c1", code=409, phrase="busy")
        [event] = heard
        assert (event.endpoint_id, event.app_version_name, event.config_id) == ("dev-1", "home-v1", "c1")
        assert (event.status_code, event.reason_phrase) == (409, "busy")
        await house.outbox_is_empty()

    async def test_it_is_told_again_until_the_provider_has_heard(self, house: House) -> None:
        world = World(house)
        await world.devices.open()
        await house.start(CMX, applications=APPLICATIONS)
        heard = await house.hear(cdtp.config_applied("cmx"), name="ecr", status=None)
        sending = asyncio.ensure_future(world.devices.applied("c1"))  # noqa: TID251  it waits for the clock
        await until(lambda: heard)
        await house.clock.advance(1_000)
        assert (await sending).status_code == 200
        await house.restart()
        again = await house.hear(cdtp.config_applied("cmx"), name="ecr")
        await house.start(CMX, applications=APPLICATIONS)
        await until(lambda: again)
        assert again[0].correlation_id == heard[0].correlation_id


class TestPushing:
    async def test_a_device_that_comes_gets_what_it_has_not_applied(self, house: House) -> None:
        world = await World(house).open()
        first, second = await world.put(ALL, 1), await world.put(ALL, 2, name="net")
        await world.devices.connect("dev-1")
        assert sorted(world.devices.pushes()) == [("dev-1", "/config/json", 1), ("dev-1", "/config/json/net", 2)]
        await world.devices.applied(first)
        await world.devices.disconnect("dev-1")
        await world.devices.connect("dev-1")
        assert world.devices.pushes() == [("dev-1", "/config/json/net", 2)]
        await world.devices.applied(second, name="net")
        await world.devices.disconnect("dev-1")
        await world.devices.connect("dev-1")
        assert world.devices.pushes() == []

    async def test_one_that_rejected_it_gets_it_again_when_it_comes_again(self, house: House) -> None:
        world = await World(house).open()
        config_id = await world.put(ALL, 1)
        await world.devices.applied(config_id, code=500)
        await world.devices.connect("dev-1")
        assert world.devices.pushes() == [("dev-1", "/config/json", 1)]

    async def test_with_its_first_message_a_question_it_is_answered_and_not_told_twice(self, house: House) -> None:
        world = await World(house).open()
        await world.put(ALL, 1)
        assert (await world.devices.pull())["config"] == 1
        await world.devices.connect("dev-1")
        assert world.devices.pushes() == []
        await world.devices.disconnect("dev-1")
        await house.clock.advance(101)
        await world.devices.connect("dev-1")
        assert world.devices.pushes() == [("dev-1", "/config/json", 1)]

    async def test_who_wants_nothing_unasked_gets_nothing_until_he_does(self, house: House) -> None:
        world = await World(house).open()
        await world.devices.pull({"observe": False})
        await house.clock.advance(200)
        await world.devices.connect("dev-1")
        await world.put(ONE, 1)
        await world.devices.quiet()
        assert world.devices.pushes() == []
        await world.restart()
        await world.devices.connect("dev-1")
        assert world.devices.pushes() == []
        assert (await world.devices.pull())["config"] == 1
        await world.put(ONE, 2)
        await world.devices.quiet()
        assert world.devices.pushes() == []
        await world.devices.pull({"observe": True})
        await world.put(ONE, 3)
        await world.devices.quiet()
        assert world.devices.pushes() == [("dev-1", "/config/json", 3)]

    async def test_observing_is_a_matter_of_each_name(self, house: House) -> None:
        world = await World(house).open()
        await world.devices.connect("dev-1")
        await world.devices.pull({"observe": False}, name="net")
        await world.put(ONE, 1)
        await world.put(ONE, 2, name="net")
        await world.devices.quiet()
        assert world.devices.pushes() == [("dev-1", "/config/json", 1)]

    async def test_what_has_been_taken_back_is_pushed_though_it_was_applied_before(self, house: House) -> None:
        world = await World(house).open()
        await world.devices.connect("dev-1")
        first = await world.put(ONE, "a")
        await world.devices.applied(first)
        await world.put(ONE, "b")
        await world.put(ONE, "a")
        await world.devices.quiet()
        assert [config for _, _, config in world.devices.pushes()] == ["a", "b", "a"]
        await world.devices.disconnect("dev-1")
        await world.devices.connect("dev-1")
        assert world.devices.pushes() == [("dev-1", "/config/json", "a")]  # nobody knows which of the two it has

    async def test_null_is_never_pushed(self, house: House) -> None:
        world = await World(house).open()
        await world.devices.connect("dev-1")
        config_id = await world.put(ONE, None)
        await world.devices.disconnect("dev-1")
        await world.devices.connect("dev-1")
        assert world.devices.pushes() == []
        await house.clock.advance(200)
        assert await world.devices.pull() == {
            "configId": config_id,
            "config": None,
            "statusCode": 200,
            "reasonPhrase": "OK",
        }

    async def test_an_endpoint_that_moves_gets_what_its_new_version_has(self, house: House) -> None:
        world = await World(house).open()
        await world.put("/app-versions/home-v2", "new")
        await world.devices.connect("dev-1")
        house.publish(
            elce.app_version_updated("epr"),
            app_version_name="home-v2",
            previous_app_version_name="home-v1",
            endpoint_id="dev-1",
        )
        await world.devices.quiet()
        [push] = world.devices.pushed
        assert (push.app_version_name, push.endpoint_id) == ("home-v2", "dev-1")

    async def test_once_though_it_is_told_that_it_came_and_that_it_moved(self, house: House) -> None:
        world = await World(house).open()
        await world.put("/app-versions/home-v2", "new")
        await world.devices.connect("dev-1", version="home-v2")
        house.publish(
            elce.app_version_updated("epr"),
            app_version_name="home-v2",
            previous_app_version_name="home-v1",
            endpoint_id="dev-1",
        )
        await world.devices.quiet()
        assert len(world.devices.pushes()) == 1

    async def test_of_several_changes_at_once_the_last_is_pushed(self, house: House) -> None:
        world = await World(house).open()
        await world.devices.connect("dev-1")
        for number in range(3):
            house.publish(
                cdtp.config_updated("ecr"),
                app_version_name="home-v1",
                endpoint_id="dev-1",
                config_id=f"c{number}",
                content=b"%d" % number,
            )
        await world.devices.quiet()
        assert world.devices.pushes() == [("dev-1", "/config/json", 2)]

    async def test_when_the_provider_is_away_those_who_came_get_theirs_later(self, house: House) -> None:
        world = World(house)
        await world.devices.open()
        await house.start(CMX, applications=APPLICATIONS)
        await world.devices.connect("dev-1")
        await world.register.open()
        await house.start(ECR, applications=APPLICATIONS)
        await world.put(ALL, 1)
        await world.devices.quiet()
        await house.clock.advance(5_000)
        await until(lambda: world.devices.pushed)
        assert world.devices.pushes() == [("dev-1", "/config/json", 1)]

    async def test_a_crowd_is_asked_for_in_few_requests_and_only_those_in_need_one_by_one(self, house: House) -> None:
        world = await World(house).open()
        config_id = await world.put(ALL, 1)
        crowd = [f"dev-{number}" for number in range(1_200)]
        await world.devices.applied(config_id, endpoint="dev-7")
        effective = await house.hear(x_configurations.effective_configurations("ecr"), name="spy")
        single = await house.hear(cdtp.configuration("ecr"), name="spy")
        await world.devices.connect(*crowd)
        await until(lambda: len(world.devices.pushed) == 1_199)
        assert ([len(one.endpoints) for one in effective], len(single)) == ([1_000, 200], 1_199)
        assert "dev-7" not in {one.endpoint_id for one in world.devices.pushed}


class TestProviders:
    async def test_one_that_only_speaks_the_plain_protocol_is_served_too(self, house: House) -> None:
        world = World(house)
        await world.devices.open()
        await house.start(CMX, applications=APPLICATIONS, name="cmx", config={"provider": "foreign"})

        async def on_request(request: cdtp.ConfigRequest) -> cdtp.ConfigResponse:
            return response(request, "f1", b'{"a": 1}')

        async with house.bus.subscribe(cdtp.configuration("foreign"), on_request, queue="foreign"):
            await world.devices.connect("dev-1")
            await until(lambda: world.devices.pushed)
            assert world.devices.pushes() == [("dev-1", "/config/json", {"a": 1})]
            house.publish(
                cdtp.config_updated("foreign"),
                app_version_name="home-v1",
                endpoint_id="dev-1",
                config_id="f2",
                content=b'{"a":2}',
            )
            await until(lambda: world.devices.pushed)
            assert world.devices.pushes() == [("dev-1", "/config/json", {"a": 2})]

    async def test_two_instances_know_nothing_of_each_other(self, house: House) -> None:
        world = await World(house).open()
        await house.start(CMX, applications=APPLICATIONS, name="cmx_ota", config={"provider": "otao"})
        software = Devices(house, "cmx_ota")
        await software.open()
        heard = await house.hear(cdtp.config_applied("cmx_ota"), name="otao")
        await software.applied("1.0.0")
        assert [(one.config_id, one.status_code) for one in heard] == [("1.0.0", 200)]
        asked = list[Any]()

        async def on_effective(request: Any) -> x_configurations.EffectiveResponse:
            asked.extend((one.endpoint_id, one.config_id) for one in request.endpoints)
            due = x_configurations.EffectiveConfiguration(endpoint_id="dev-1", config_name="default", config_id="1.1.0")
            return x_configurations.EffectiveResponse(
                correlation_id=request.correlation_id, timestamp_ms=1, configurations=(due,), status_code=200
            )

        async def on_request(request: cdtp.ConfigRequest) -> cdtp.ConfigResponse:
            return response(request, "1.1.0", b'{"link":"l"}')

        bus, subject = house.bus, x_configurations.effective_configurations("otao")
        async with (
            bus.subscribe(subject, on_effective, queue="otao"),
            bus.subscribe(cdtp.configuration("otao"), on_request, queue="otao"),
        ):
            software.connected["dev-1"] = "home-v1"
            await world.devices.connect("dev-1")
            await until(lambda: software.pushed)
        assert asked == [("dev-1", "1.0.0")]
        assert software.pushes() == [("dev-1", "/config/json", {"link": "l"})]
        assert world.devices.pushes() == []


BAD = [
    ("/config/json", b"{", "not JSON"),
    ("/config/json", b"\xff", "not JSON"),
    ("/config/json", b"[]", "not what /config/json takes"),
    ("/config/json", b'{"configId":1}', "configId"),
    ("/config/json", b'{"observe":"yes"}', "observe"),
    ("/config/json", b'{"other":1}', "other"),
    ("/config/json", b'{"configId":"' + b"x" * 300 + b'"}', "configId"),
    ("/config/json", b'{"configId":"' + b"x" * 9_000 + b'"}', "8192 bytes"),
    ("/config/json", b"[" * 5_000, "not"),
    ("/config/json/status", b"{}", "name"),
    ("/config/json/42", b"{}", "name"),
    ("/config/json/a/b", b"{}", "name"),
    ("/config/json/", b"{}", "name"),
    ("/applied/json", b"", "not JSON"),
    ("/applied/json", b"{}", "configId"),
    ("/applied/json", b'{"configId":null}', "configId"),
    ("/applied/json", b'{"configId":"a","statusCode":"200"}', "statusCode"),
    ("/applied/json", b'{"configId":"a","statusCode":99}', "statusCode"),
    ("/applied/json", b'{"configId":"a","statusCode":200.5}', "statusCode"),
    ("/applied/json", b'{"configId":"a","statusCode":1e300}', "statusCode"),
    ("/applied/json", b'{"configId":"a","reasonPhrase":7}', "reasonPhrase"),
    ("/applied/json", b'{"configId":"a","reasonPhrase":"' + b"x" * 1_025 + b'"}', "reasonPhrase"),
    ("/applied/json", b'{"configId":"a","more":1}', "more"),
]


class TestWhatDevicesGetWrong:
    async def test_it_is_refused_with_a_sentence_and_what_came_with_it_is_not(self, house: House) -> None:
        world = await World(house).open()
        config_id = await world.put(ONE, 1)
        for path, payload, words in BAD:
            answer = await world.devices.send(path, payload)
            assert (answer.status_code, answer.payload) == (400, None), (path, payload)
            assert words in (answer.reason_phrase or ""), answer
        messages = [
            world.devices.message("/applied/json", b"{", endpoint="dev-1", version="home-v1", request_id=1),
            world.devices.message("/config/json", b"", endpoint="dev-1", version="home-v1", request_id=2),
            world.devices.message("/config/json", b"", endpoint=None, version="home-v1", request_id=3),
        ]
        for message in messages:
            house.bus.publish(esp.client_data("cmx"), message, reply_to=world.devices.reply_to)
        await until(lambda: len(world.devices.answers) == 3)
        answers = [world.devices.answers[message.correlation_id] for message in messages]
        assert [one.status_code for one in answers] == [400, 200, 400]
        assert json.loads(answers[1].payload or b"")["configId"] == config_id

    async def test_a_resource_that_is_not_there_is_named(self, house: House) -> None:
        world = await World(house).open()
        for path in ("/", "/config", "/config/jsonx", "/config/protobuf", "/applied"):
            answer = await world.devices.send(path)
            assert answer.status_code == 404
            assert repr(path) in (answer.reason_phrase or "")
