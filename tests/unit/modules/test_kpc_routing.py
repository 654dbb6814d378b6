"""KPC, what a topic means: extension, application version, what is allowed; and tokens, asked about once a minute."""

import asyncio
from collections.abc import Callable

import pytest
from gateway import Gateway, hash_of
from house import House
from hypothesis import given, settings
from hypothesis import strategies as st

from kaa.core.applications import Application, Applications, Version
from kaa.core.errors import ProtocolError
from kaa.modules.kpc.config import ExtensionConfig, KpcSettings
from kaa.modules.kpc.routing import Routing
from kaa.protocols import kp


def routing(**extensions: ExtensionConfig) -> Routing:
    default = KpcSettings()
    applications = Applications(default)
    narrow = KpcSettings(allowed_extension_instances=("cex",))
    none = KpcSettings(allowed_extension_instances=())
    versions = {
        "home-v1": Version("home-v1", "home", default),
        "home-v2": Version("home-v2", "home", narrow),
        "home-v3": Version("home-v3", "home", none),
    }
    applications.replace([Application("home", default, versions)])
    return Routing(applications, extensions or {"dcx": ExtensionConfig(), "cex": ExtensionConfig()})


class TestTopics:
    @pytest.mark.parametrize(
        ("topic", "path", "token", "request_id"),
        [
            ("kp1/home-v1/dcx/T/json", "/json", "T", None),
            ("kp1/home-v1/dcx/T/json/7", "/json", "T", 7),
            ("kp1/home-v1/dcx/T/json/0", "/json", "T", 0),
            ("kp1/home-v1/dcx/T/json/5/7", "/json/5", "T", 7),
            ("kp1/home-v1/dcx/T/json/2147483648", "/json/2147483648", "T", None),
            ("kp1/home-v1/dcx/12/json", "/json", "12", None),
            ("kp1/home-v1/dcx/12/7", "/", "12", 7),
            ("kp1/home-v1/dcx/12", "/", "12", None),
            ("kp1/home-v1/dcx/T", "/", "T", None),
        ],
    )
    def test_a_route_and_a_request_id(self, topic: str, path: str, token: str, request_id: int | None) -> None:
        for routes in (routing(), routing()):
            route, found = routes.find(topic)
            assert (route.resource_path, route.token, found) == (path, token, request_id)
            assert str(route.subject) == "kaa.v1.service.dcx.esp.ClientData"
            again, found = routes.find(topic)
            assert (again.resource_path, again.token, found) == (path, token, request_id)

    def test_messages_that_differ_in_their_request_id_have_one_route(self) -> None:
        routes = routing()
        first, _ = routes.find("kp1/home-v1/dcx/T/json/1")
        assert routes.find("kp1/home-v1/dcx/T/json/2") == (first, 2)
        assert routes.find("kp1/home-v1/dcx/T/json") == (first, None)
        assert routes.find("kp1/home-v1/dcx/T/json/1/2")[0] is not first

    def test_an_endpoint_is_never_taken_for_another_whatever_came_before(self) -> None:
        routes = routing()
        for topic in ("kp1/home-v1/dcx/12", "kp1/home-v1/dcx/13", "kp1/home-v1/dcx/12/1", "kp1/home-v1/dcx/13/1"):
            assert routes.find(topic)[0].token == topic.split("/")[3]

    def test_an_extension_without_endpoints_has_no_token(self) -> None:
        routes = routing(time=ExtensionConfig(endpoint_aware=False))
        route, request_id = routes.find("kp1/home-v1/time/now/3")
        assert (route.token, route.resource_path, request_id, route.refusal) == (None, "/now", 3, None)
        route, request_id = routes.find("kp1/home-v1/time/3")
        assert (route.token, route.resource_path, request_id) == (None, "/", 3)

    @pytest.mark.parametrize(
        "topic", ["", "kp1", "kp1/v/dcx", "kp1//dcx/T/json", "kp2/v/dcx/T/json", "kp1/v/dcx//json"]
    )
    def test_what_is_no_topic_of_ours_breaks_the_protocol(self, topic: str) -> None:
        with pytest.raises(ProtocolError) as error:
            routing().find(topic)
        assert error.value.reason_code == 0x90

    @pytest.mark.parametrize("token", ["a.b", "a\x01b", "x" * 129])
    def test_a_token_that_cannot_be_one_neither(self, token: str) -> None:
        with pytest.raises(ProtocolError):
            routing().find(f"kp1/home-v1/dcx/{token}/json")

    @settings(deadline=None)
    @given(st.lists(st.lists(st.sampled_from(["a", "1", "22", "", "2147483648"]), max_size=4), max_size=6))
    def test_it_says_what_the_grammar_says_in_whatever_order_topics_come(self, tails: list[list[str]]) -> None:
        routes = routing()
        for tail in tails:
            topic = "/".join(["kp1/home-v1/dcx", *tail])
            try:
                address = kp.parse(topic)
            except ProtocolError:
                with pytest.raises(ProtocolError):
                    routes.find(topic)
                continue
            route, request_id = routes.find(topic)
            assert (route.token, route.resource_path, request_id) == (
                address.token,
                address.resource_path,
                address.request_id,
            )


class TestAllowed:
    @pytest.mark.parametrize(
        ("topic", "status"),
        [
            ("kp1/home-v1/dcx/T/json", None),
            ("kp1/home-v1/cex/T/x", None),
            ("kp1/home-v2/cex/T/x", None),
            ("kp1/home-v2/dcx/T/json", 403),
            ("kp1/home-v3/dcx/T/json", 403),
            ("kp1/home-v1/foreign/T/json", 403),
            ("kp1/home-v9/dcx/T/json", 404),
            ("kp1/home-v9/foreign/T/json", 404),
        ],
    )
    def test_by_application_version_and_configuration(self, topic: str, status: int | None) -> None:
        route, _ = routing().find(topic)
        assert (route.refusal.status if route.refusal else None) == status
        assert (route.subject is None) is (status is not None)

    def test_a_change_of_the_settings_is_felt_at_once(self) -> None:
        default = KpcSettings()
        applications = Applications(default)
        routes = Routing(applications, {"dcx": ExtensionConfig()})
        topic = "kp1/home-v1/dcx/T/json/1"
        refusal = routes.find(topic)[0].refusal
        assert refusal is not None
        assert refusal.status == 404
        applications.replace([Application("home", default, {"home-v1": Version("home-v1", "home", default)})])
        assert routes.find(topic)[0].refusal is None
        none = KpcSettings(allowed_extension_instances=())
        applications.replace([Application("home", none, {"home-v1": Version("home-v1", "home", none)})])
        refusal = routes.find(topic)[0].refusal
        assert refusal is not None
        assert refusal.status == 403


class TestTokens:
    async def test_a_token_is_asked_about_once_a_minute(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        for number in range(5):
            assert await device.ask(f"kp1/home-v1/dcx/T1/json/{number}")
        assert kpc.asked_tokens == ["T1"]
        await house.clock.advance(59_000)
        await device.ask("kp1/home-v1/dcx/T1/json/6")
        assert kpc.asked_tokens == ["T1"]
        await house.clock.advance(1_001)
        await device.ask("kp1/home-v1/dcx/T1/json/7")
        assert kpc.asked_tokens == ["T1", "T1"]
        assert [message.request_id for message in kpc.said] == [0, 1, 2, 3, 4, 6, 7]

    async def test_messages_that_come_while_it_is_asked_wait_in_order(self, house: House) -> None:
        kpc = await Gateway(house).start()
        gate = kpc.token_gate = Gate()
        device = await kpc.device()
        other = await kpc.device()
        for number in range(3):
            device.publish(f"kp1/home-v1/dcx/T1/json/{number}", qos=1)
            other.publish(f"kp1/home-v1/dcx/T1/other/{number}", qos=1)
        await device.settle()
        assert kpc.said == []
        gate.open()
        await device.settle()
        assert kpc.asked_tokens == ["T1"]
        assert [m.request_id for m in kpc.said if m.resource_path == "/json"] == [0, 1, 2]
        assert [m.request_id for m in kpc.said if m.resource_path == "/other"] == [0, 1, 2]

    @pytest.mark.parametrize(("status", "code"), [(401, 401), (403, 403)])
    async def test_an_unknown_or_a_suspended_one_is_refused_and_believed_for_a_second(
        self, house: House, status: int, code: int
    ) -> None:
        kpc = await Gateway(house).start()
        kpc.token_status["T1"] = status
        device = await kpc.device()
        reason = b"the token is no good (%d)" % status
        error = b'{"statusCode":%d,"reasonPhrase":"%s"}' % (code, reason)
        topic = "kp1/home-v1/dcx/T1/json/1"
        assert await device.ask(topic) == [(f"{topic}/error", error)]
        assert await device.ask(topic) == [(f"{topic}/error", error)]
        assert kpc.asked_tokens == ["T1"]
        del kpc.token_status["T1"]
        await house.clock.advance(1_000)
        assert await device.ask(topic) == [(f"{topic}/status", b"")]
        assert kpc.asked_tokens == ["T1", "T1"]
        assert kpc.connected[0].endpoints == {"dev-1": "home-v1"}

    async def test_a_token_belongs_to_its_application(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        assert await device.ask("kp1/home-v1/dcx/T1/json/1") == [("kp1/home-v1/dcx/T1/json/1/status", b"")]
        found = await device.ask("kp1/garden-v1/dcx/T1/json/1")
        assert found[0][0] == "kp1/garden-v1/dcx/T1/json/1/error"
        assert b'"statusCode":401' in found[0][1]

    async def test_that_cm_cannot_be_asked_is_not_believed_at_all(self, house: House) -> None:
        kpc = await Gateway(house).start()
        kpc.token_status["T1"] = 503
        device = await kpc.device()
        topic = "kp1/home-v1/dcx/T1/json/1"
        found = await device.ask(topic)
        assert b'"statusCode":503' in found[0][1]
        del kpc.token_status["T1"]
        assert await device.ask(topic) == [(f"{topic}/status", b"")]

    async def test_a_revocation_of_another_token_meanwhile_is_nothing_to_it(self, house: House) -> None:
        kpc = await Gateway(house).start()
        gate = kpc.token_gate = Gate()
        device = await kpc.device()
        topic = "kp1/home-v1/dcx/T1/json/1"
        device.publish(topic)
        await device.settle()
        await kpc.revoke("dev-2", "T2")
        gate.open()
        await device.settle()
        assert kpc.asked_tokens == ["T1"]
        assert device.heard() == [(f"{topic}/status", b"")]

    async def test_one_of_the_same_endpoint_meanwhile_has_it_asked_again_three_times_at_most(
        self, house: House
    ) -> None:
        kpc = await Gateway(house).start()
        device = await kpc.device()
        topic = "kp1/home-v1/dcx/T1/json/1"

        async def revoked_meanwhile() -> None:
            await kpc.revoke("dev-1", "T1b")

        kpc.token_gate = revoked_meanwhile
        device.publish(topic)
        await device.until(lambda: device.events and device.events[-1].topic == f"{topic}/error")
        assert kpc.asked_tokens == ["T1"] * 3
        assert b'"statusCode":503' in device.events[-1].payload
        kpc.token_gate = None
        assert await device.ask(topic) == [(f"{topic}/status", b"")]

    async def test_so_have_more_revocations_than_are_remembered(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("kaa.modules.kpc.revocations._MOST", 2)
        kpc = await Gateway(house).start()
        gate = kpc.token_gate = Gate()
        device = await kpc.device()
        device.publish("kp1/home-v1/dcx/T1/json/1")
        await device.settle()
        for name in ("dev-1", "dev-2", "dev-3"):
            await kpc.revoke(name, f"of-{name}")
        gate.open()
        await device.settle()
        assert kpc.asked_tokens == ["T1", "T1"]
        assert len(kpc.said) == 1

    async def test_a_token_revoked_while_it_is_validated_is_refused(self, house: House) -> None:
        kpc = await Gateway(house).start()
        gate = kpc.token_gate = Gate()
        device = await kpc.device()
        topic = "kp1/home-v1/dcx/T1/json/1"
        device.publish(topic, qos=1)
        await device.settle()
        await kpc.revoke("dev-1", "T1")
        # the answer that is under way still says yes; the one after it knows
        gate.after = lambda: kpc.token_status.update(T1=403)
        gate.open()
        await device.settle()
        heard = device.heard()
        assert kpc.asked_tokens == ["T1", "T1"]
        assert heard[0] == ("ack", 1, 0)
        assert heard[1][0] == f"{topic}/error"
        assert b'"statusCode":403' in heard[1][1]
        assert kpc.said == kpc.connected == []


class Gate:
    """Holds up CM's answers until it is opened; `after` happens once the first has been made."""

    def __init__(self) -> None:
        self._opened = asyncio.Event()
        self._passed = 0
        self.after: Callable[[], None] | None = None

    async def __call__(self) -> None:
        await self._opened.wait()
        self._passed += 1
        if self._passed > 1 and self.after is not None:
            self.after()

    def open(self) -> None:
        self._opened.set()


async def test_the_hash_of_a_token_is_the_head_of_its_sha_256() -> None:
    from kaa.modules.kpc.models import token_hash

    assert token_hash("T1") == hash_of("T1")
    assert len(token_hash("ü")) == 16
