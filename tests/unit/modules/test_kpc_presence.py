"""KPC, which endpoint is where: connected, disconnected, taken over, revoked; and to whom pushes go."""

import pytest
from gateway import Device, Gateway, arrivals
from house import House
from test_kpc_routing import Gate

from kaa.core.subjects import Subject
from kaa.protocols import ecap
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt import properties as prop
from kaa.protocols.x_outbox import EventProcessed

JSON = "kp1/home-v1/dcx/T1/json"


class TestArrival:
    async def test_an_endpoint_is_connected_with_its_first_message_once(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        await device.settle()
        assert kpc.connected == []
        await device.ask(f"{JSON}/1")
        await device.ask(f"{JSON}/2")
        assert [(e.endpoints, e.timestamp_ms, e.originator_replica_id) for e in kpc.connected] == [
            ({"dev-1": "home-v1"}, house.clock.now_ms(), "replica-1")
        ]

    async def test_those_of_one_read_come_in_one_event(self, house: House) -> None:
        kpc = await Gateway(house).start()
        first = await kpc.device()
        for token in ("T1", "T2", "T3"):
            await first.ask(f"kp1/home-v1/dcx/{token}/json")
        first.wire.lose()
        kpc.connected.clear()
        second = await kpc.device()
        for token in ("T1", "T2", "T3"):
            second.client.publish(f"kp1/home-v1/dcx/{token}/json", b"{}")
        await second.settle()
        assert arrivals(kpc.connected) == [{"dev-1": "home-v1", "dev-2": "home-v1", "dev-3": "home-v1"}]

    async def test_another_application_version_is_a_new_connected(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        await device.ask(JSON)
        await device.ask("kp1/home-v2/dcx/T1/json")
        await device.ask("kp1/home-v2/dcx/T1/json")
        assert arrivals(kpc.connected) == [{"dev-1": "home-v1"}, {"dev-1": "home-v2"}]
        device.wire.lose()
        await device.settle()
        assert arrivals(kpc.disconnected) == [{"dev-1": "home-v2"}]

    async def test_a_refused_token_connects_nobody(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        await device.ask("kp1/home-v1/dcx/unknown/json")
        assert kpc.connected == []

    async def test_a_connection_carries_so_many_endpoints_and_no_more(self, house: House) -> None:
        kpc = await Gateway(house).start({"max-endpoints-per-connection": 2})
        device = await kpc.device()
        await device.ask("kp1/home-v1/dcx/T1/json")
        await device.ask("kp1/home-v1/dcx/T2/json")
        found = await device.ask("kp1/home-v1/dcx/T3/json")
        assert b'"statusCode":403' in found[0][1]
        assert await device.ask("kp1/home-v2/dcx/T1/json/1") == [("kp1/home-v2/dcx/T1/json/1/status", b"")]


class TestDeparture:
    @pytest.mark.parametrize("how", ["disconnect", "lose"])
    async def test_all_endpoints_of_a_connection_go_in_one_event(self, house: House, how: str) -> None:
        kpc = await Gateway(house).start()
        kpc.tokens |= {f"t{n}": f"e{n}" for n in range(50)}
        gateway = await kpc.device()
        for n in range(50):
            gateway.client.publish(f"kp1/home-v1/dcx/t{n}/json", b"{}")
        await gateway.until(lambda: len(kpc.said) == 50)
        if how == "lose":
            gateway.wire.lose()
        else:
            gateway.client.disconnect()
        await gateway.settle()
        assert arrivals(kpc.disconnected) == [{f"e{n}": "home-v1" for n in range(50)}]
        assert len(kpc.door.communication._presence) == 0

    async def test_a_connection_without_endpoints_tells_nothing(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        device.wire.lose()
        await device.settle()
        assert kpc.disconnected == []

    async def test_who_has_said_something_and_left_before_his_token_was_known_is_heard_and_not_there(
        self, house: House
    ) -> None:
        kpc = await Gateway(house).start()
        gate = kpc.token_gate = Gate()
        device = await kpc.device()
        device.publish(JSON)
        device.client.disconnect()
        await device.settle()
        assert device.is_closed
        gate.open()
        await device.settle()
        assert [message.endpoint_id for message in kpc.said] == ["dev-1"]
        assert kpc.connected == []
        assert len(kpc.door.communication._presence) == 0


class TestTakeOver:
    async def test_the_connection_that_speaks_last_has_the_endpoint(self, house: House) -> None:
        kpc = await Gateway(house).start()
        first, second = await kpc.device("a"), await kpc.device("b")
        await first.ask(JSON)
        await second.ask(JSON)
        assert arrivals(kpc.connected) == [{"dev-1": "home-v1"}, {"dev-1": "home-v1"}]
        assert arrivals(kpc.disconnected) == [{"dev-1": "home-v1"}]
        kpc.push("dev-1")
        await second.settle()
        first.pump()
        assert (first.heard(), second.heard()) == ([], [("kp1/home-v1/cex/T1/command/reboot/status", b"[1]")])
        first.wire.lose()
        await second.settle()
        assert len(kpc.disconnected) == 1
        second.wire.lose()
        await second.settle()
        assert len(kpc.disconnected) == 2

    async def test_it_is_told_to_have_left_before_it_is_told_to_have_come(self, house: House) -> None:
        kpc = await Gateway(house).start()
        order: list[tuple[str, dict[str, str]]] = []
        publish = house.bus.publish

        def noted(subject: Subject[object], message: object, **more: object) -> None:
            if "connectivity" in subject.name:
                order.append((subject.name.rsplit(".", 1)[1], dict(message.endpoints)))  # type: ignore[attr-defined]
            publish(subject, message, **more)  # type: ignore[arg-type]

        house.bus.publish = noted  # type: ignore[method-assign, assignment]
        first, second = await kpc.device("a"), await kpc.device("b")
        await first.ask(JSON)
        await second.ask(JSON)
        await first.ask(JSON)
        there = {"dev-1": "home-v1"}
        assert order == [
            ("connected", there),
            ("disconnected", there),
            ("connected", there),
            ("disconnected", there),
            ("connected", there),
        ]

    async def test_a_response_goes_to_who_asked_even_if_the_endpoint_has_moved(self, house: House) -> None:
        kpc = await Gateway(house).start()
        kpc.answer = lambda message: None if message.request_id == 1 else (200, None, None)
        first, second = await kpc.device("a"), await kpc.device("b")
        await first.ask(f"{JSON}/1")
        await second.ask(f"{JSON}/2")
        second.heard()
        kpc.answer_late(kpc.said[0], (200, None, b"yes"))
        await first.settle()
        second.pump()
        assert (first.heard(), second.heard()) == ([(f"{JSON}/1/status", b"yes")], [])

    async def test_a_response_to_who_has_gone_goes_nowhere(self, house: House) -> None:
        kpc = await Gateway(house).start()
        kpc.answer = lambda message: None if message.request_id == 1 else (200, None, None)
        first, second = await kpc.device("a"), await kpc.device("b")
        await first.ask(f"{JSON}/1")
        await second.ask(f"{JSON}/2")
        first.wire.lose()
        second.heard()
        kpc.answer_late(kpc.said[0], (200, None, b"yes"))
        await second.settle()
        assert second.heard() == []


class TestRevocation:
    async def test_the_endpoint_is_off_at_once_and_the_connection_if_it_was_the_last(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device("c", p.V5)
        await device.ask(JSON)
        await kpc.revoke("dev-1", "T1")
        await device.settle()
        assert device.heard() == [("bye", 0x87)]
        assert device.is_closed
        assert arrivals(kpc.disconnected) == [{"dev-1": "home-v1"}]
        assert kpc.ended("status_403") == 1

    async def test_other_endpoints_keep_the_connection(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        await device.ask(JSON)
        await device.ask("kp1/home-v1/dcx/T2/json")
        kpc.token_status["T1"] = 403
        await kpc.revoke("dev-1", "T1")
        await device.settle()
        assert not device.is_closed
        assert arrivals(kpc.disconnected) == [{"dev-1": "home-v1"}]
        assert b'"statusCode":403' in (await device.ask(JSON))[0][1]
        assert await device.ask("kp1/home-v1/dcx/T2/json/1") == [("kp1/home-v1/dcx/T2/json/1/status", b"")]
        await kpc.revoke("dev-2", "T2")
        await device.settle()
        assert device.is_closed

    async def test_an_endpoint_that_speaks_with_another_token_stays(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device, other = await kpc.device("a"), await kpc.device("b")
        await other.ask("kp1/home-v1/dcx/T1b/json")
        await device.ask(JSON)
        await kpc.revoke("dev-1", "T1b")
        await device.settle()
        assert not device.is_closed
        await kpc.revoke("dev-1", "T1")
        await device.settle()
        assert device.is_closed

    async def test_it_stays_too_if_it_has_changed_its_token_on_the_way(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device("c", p.V5)
        await device.ask(JSON)
        await device.ask("kp1/home-v1/dcx/T1b/json")
        await kpc.revoke("dev-1", "T1")
        kpc.push("dev-1")
        await device.settle()
        assert device.heard() == [("kp1/home-v1/cex/T1b/command/reboot/status", b"[1]")]
        assert len(kpc.connected) == 1
        await kpc.revoke("dev-1", "T1b")
        await device.settle()
        assert device.is_closed

    async def test_the_device_is_told_what_is_true_of_suspended_and_deleted_ones_too(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device("c", p.V5)
        await device.ask(JSON)
        await kpc.revoke("dev-1", "T1")
        await device.settle()
        assert device.events[-1].properties == {prop.REASON_STRING: "the endpoint token is no longer valid"}

    async def test_a_cached_token_is_asked_about_again(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device, keeper = await kpc.device("a"), await kpc.device("b")
        await keeper.ask("kp1/home-v1/dcx/T2/json")
        await device.ask(JSON)
        await device.ask("kp1/home-v1/dcx/T2/json")
        kpc.token_status["T1"] = 403
        await kpc.revoke("dev-1", "T1")
        assert b'"statusCode":403' in (await device.ask(JSON))[0][1]
        assert kpc.asked_tokens == ["T2", "T1", "T1"]

    async def test_an_endpoint_that_is_nowhere_is_no_trouble_and_the_event_is_answered(self, house: House) -> None:
        await Gateway(house).start()
        reply_to = Subject("kaa.v1.replica.cm-of-the-test.x-outbox.processed", EventProcessed)
        answers = await house.hear(reply_to, name="cm-of-the-test", status=None)
        subject = ecap.token_revoked("cm")
        event = house.message(subject, app_name="home", endpoint_id="dev-9", token_ids=("x",))
        house.bus.publish(subject, event, reply_to=reply_to)
        await house.clock.advance(0)
        assert [(a.correlation_id, a.receiver_service_instance_name, a.status_code) for a in answers] == [
            (event.correlation_id, "kpc", 200)
        ]


class TestPush:
    async def test_it_goes_to_the_request_s_topic_without_an_id_and_with_status(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        await device.ask(f"{JSON}/1")
        kpc.push("dev-1", resource_path="/config/json", extension_instance_name="cmx", payload=b"{}")
        await device.settle()
        assert device.heard() == [("kp1/home-v1/cmx/T1/config/json/status", b"{}")]

    async def test_once_whether_subscribed_or_not(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        device.client.subscribe(("kp1/#", 1), ("kp1/home-v1/cex/T1/#", 0))
        await device.settle()
        await device.ask(JSON)
        kpc.push("dev-1")
        await device.settle()
        assert device.heard() == [("kp1/home-v1/cex/T1/command/reboot/status", b"[1]")]

    @pytest.mark.parametrize(
        ("used", "subscribed", "pushed"), [(0, None, 0), (1, None, 1), (2, None, 1), (0, 1, 1), (0, 0, 0)]
    )
    async def test_it_has_the_highest_qos_that_was_used_at_most_1(
        self, house: House, used: int, subscribed: int | None, pushed: int
    ) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        if subscribed is not None:
            device.client.subscribe(("kp1/#", subscribed))
            await device.settle()
        await device.ask(JSON, qos=used)
        kpc.push("dev-1")
        device.events.clear()
        await device.settle()
        assert [event.qos for event in device.events if isinstance(event, p.Publish)] == [pushed]

    async def test_it_is_that_of_the_endpoint_and_not_of_others_on_its_connection(self, house: House) -> None:
        kpc = await Gateway(house).start()
        gateway = await kpc.device()
        await gateway.ask(JSON, qos=1)
        await gateway.ask("kp1/home-v1/dcx/T2/json", qos=0)
        for endpoint_id in ("dev-1", "dev-2"):
            kpc.push(endpoint_id)
        gateway.events.clear()
        await gateway.settle()
        assert [event.qos for event in gateway.events if isinstance(event, p.Publish)] == [1, 0]

    async def test_it_is_that_of_the_connection_which_has_the_endpoint_now(self, house: House) -> None:
        kpc = await Gateway(house).start()
        first, second = await kpc.device("a"), await kpc.device("b")
        await first.ask(JSON, qos=1)
        await second.ask(JSON, qos=0)
        kpc.push("dev-1")
        second.events.clear()
        await second.settle()
        assert [event.qos for event in second.events if isinstance(event, p.Publish)] == [0]

    async def test_it_names_the_token_that_the_endpoint_came_with(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        await device.ask("kp1/home-v1/dcx/T1b/json")
        kpc.push("dev-1")
        await device.settle()
        assert device.heard() == [("kp1/home-v1/cex/T1b/command/reboot/status", b"[1]")]

    async def test_to_who_is_not_there_it_goes_nowhere(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        kpc.push("dev-1")
        await device.ask("kp1/home-v1/dcx/T2/json")
        kpc.push("dev-1")
        await device.settle()
        assert device.heard() == []

    @pytest.mark.parametrize("missing", ["endpoint_id", "app_version_name", "extension_instance_name"])
    async def test_one_that_does_not_say_where_to_goes_nowhere(self, house: House, missing: str) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        await device.ask(JSON)
        kpc.push(**({"endpoint_id": "dev-1"} | {missing: None}))  # type: ignore[arg-type]
        await device.settle()
        assert device.heard() == []


class TestWill:
    def will(self, topic: str = JSON, payload: bytes = b"[0]") -> p.Will:
        return p.Will(topic, payload)

    async def test_it_is_a_message_of_who_is_lost(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device(will=self.will())
        await device.ask(JSON, b"[1]")
        device.wire.lose()
        await device.settle()
        assert [message.payload for message in kpc.said] == [b"[1]", b"[0]"]
        assert arrivals(kpc.connected) == arrivals(kpc.disconnected) == [{"dev-1": "home-v1"}]

    async def test_that_of_a_connect_that_nobody_accepted_is_not_said(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kpc = await Gateway(house).start()
        gate, put = Gate(), kpc.door.sessions._repository.put

        async def late(client_id: str, expiry_s: int, subscriptions: dict[str, int]) -> None:
            await gate()
            await put(client_id, expiry_s, subscriptions)

        monkeypatch.setattr(kpc.door.sessions._repository, "put", late)
        device = Device(kpc.door, "c")
        device.client.connect(clean_start=False, will=self.will())
        device.pump()
        await device.settle()
        device.wire.lose()
        gate.open()
        await device.settle()
        assert kpc.said == []

    async def test_a_proper_farewell_voids_it(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device(will=self.will())
        device.client.disconnect()
        await device.settle()
        assert kpc.said == []

    async def test_mqtt_5_can_take_leave_with_it(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device("c", p.V5, will=self.will())
        device.client.disconnect(0x04)
        await device.settle()
        assert [message.payload for message in kpc.said] == [b"[0]"]

    @pytest.mark.parametrize("topic", [JSON, "kp1/home-v2/dcx/T1/json", "kp1/home-v1/dcx/T2/json"])
    async def test_it_connects_nobody(self, house: House, topic: str) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device(will=self.will(topic))
        await device.ask(JSON)
        kpc.connected.clear()
        device.wire.lose()
        await device.settle()
        assert len(kpc.said) == 2
        assert kpc.connected == []
        assert arrivals(kpc.disconnected) == [{"dev-1": "home-v1"}]
        assert len(kpc.door.communication._presence) == 0

    async def test_one_to_elsewhere_is_kept_as_a_refusal(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device(will=self.will("my/will"))
        device.wire.lose()
        await device.settle()
        (kept,) = await kpc.refusals(1)
        assert (kept["topic"], kept["statusCode"], kept["payload"]) == ("my/will", 404, "[0]")

    async def test_one_that_is_refused_is_no_trouble(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device(will=self.will("kp1/home-v1/dcx/unknown/json"))
        device.wire.lose()
        await device.settle()
        (kept,) = await kpc.refusals(1)
        assert kept["statusCode"] == 401
