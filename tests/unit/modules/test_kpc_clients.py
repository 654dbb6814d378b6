"""KPC, client authentication: who may come in, whose session it is, and what a revocation does."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from gateway import Device, Gateway
from house import House
from test_kpc_routing import Gate
from waiting import until

from kaa.core.certificates import Authority, identity
from kaa.core.clock import SystemClock
from kaa.core.subjects import Subject
from kaa.protocols import cap
from kaa.protocols.mqtt import packets as p
from kaa.protocols.mqtt import properties as prop
from kaa.protocols.x_outbox import EventProcessed

JSON = "kp1/home-v1/dcx/T1/json"
ANN: Mapping[str, Any] = {"username": "ann", "password": b"pass-a"}
BOB: Mapping[str, Any] = {"username": "bob", "password": b"pass-b"}
REFUSED = pytest.mark.parametrize(("version", "code"), [(p.V311, 5), (p.V5, 0x87)], ids=["3.1.1", "5"])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A client's certificate in DER."""
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificate

    now_ms = SystemClock().now_ms()
    issued = Authority.of(tmp_path_factory.mktemp("tls"), now_ms=now_ms).issue_client("thing", now_ms=now_ms)
    return load_pem_x509_certificate(issued.certificate.pem.encode()).public_bytes(Encoding.DER)


async def coming(kpc: Gateway, client_id: str = "c", version: int = p.V311, **more: Any) -> tuple[Device, p.ConnAck]:
    """Connect, and give what the server said."""
    shown = {name: more.pop(name) for name in ("required", "certificate") if name in more}
    device = Device(kpc.door, client_id, version, **shown)
    connack = await device.connect(**more)
    await device.settle()
    return device, connack


class TestUserNames:
    @pytest.mark.parametrize("required", ["none", "basic", "any"])
    @pytest.mark.parametrize("username", ["ann", "ann@kaa"])
    async def test_one_that_is_good_is_let_in_and_speaks(self, house: House, required: Any, username: str) -> None:
        kpc = await Gateway(house).start({"client-authentication": required})
        device, connack = await coming(kpc, username=username, password=b"pass-a")
        assert connack.reason_code == 0
        assert [(asked.tenant_id, asked.username) for asked in kpc.asked_clients] == [("kaa", "ann")]
        assert await device.ask(f"{JSON}/1") == [(f"{JSON}/1/status", b"")]

    async def test_a_name_may_have_an_at_sign_itself(self, house: House) -> None:
        kpc = await Gateway(house).start()
        kpc.clients["ann@example.org", "pass-a"] = "cred-mail"
        for username in ("ann@example.org", "ann@example.org@kaa"):
            assert (await coming(kpc, username=username, password=b"pass-a"))[1].reason_code == 0

    @pytest.mark.parametrize("required", ["none", "basic"])
    @pytest.mark.parametrize(("version", "code"), [(p.V311, 4), (p.V5, 0x86)], ids=["3.1.1", "5"])
    async def test_one_that_is_not_is_refused_whether_it_is_needed_or_not(
        self, house: House, required: Any, version: int, code: int
    ) -> None:
        kpc = await Gateway(house).start({"client-authentication": required})
        device, connack = await coming(kpc, version=version, username="ann", password=b"other")
        assert connack.reason_code == code
        assert device.is_closed
        assert kpc.ended("bad_credentials") == 1

    @REFUSED
    async def test_one_that_is_suspended_is_not_authorized(self, house: House, version: int, code: int) -> None:
        kpc = await Gateway(house).start()
        kpc.client_status["cred-ann"] = 403
        device, connack = await coming(kpc, version=version, **ANN)
        assert connack.reason_code == code
        assert device.is_closed
        assert kpc.ended("not_authorized") == 1

    @REFUSED
    @pytest.mark.parametrize("required", ["basic", "any"])
    async def test_without_one_where_it_is_needed_nobody_comes_in(
        self, house: House, required: Any, version: int, code: int
    ) -> None:
        kpc = await Gateway(house).start({"client-authentication": required})
        device, connack = await coming(kpc, version=version)
        assert connack.reason_code == code
        assert device.is_closed
        assert kpc.asked_clients == []

    @pytest.mark.parametrize(
        "shown",
        [
            {"username": "ann"},
            {"username": ""},
            {"username": "ann@other", "password": b"pass-a"},
            {"username": "ann", "password": b"\xff\xfe"},
            {"username": "a" * 300, "password": b"x"},
            {"username": "ann", "password": b"x" * 2_000},
        ],
        ids=["no password", "no name", "another tenant", "no text", "a long name", "a long password"],
    )
    async def test_what_cannot_be_one_is_refused(self, house: House, shown: dict[str, Any]) -> None:
        kpc = await Gateway(house).start()
        device, connack = await coming(kpc, **shown)
        assert connack.reason_code == 4
        assert device.is_closed
        assert all(len(asked.username) < 300 for asked in kpc.asked_clients)

    async def test_mqtt_5_may_send_a_password_alone_and_is_refused(self, house: House) -> None:
        kpc = await Gateway(house).start()
        assert (await coming(kpc, version=p.V5, password=b"pass-a"))[1].reason_code == 0x86
        assert kpc.asked_clients == []

    @pytest.mark.parametrize(("version", "code"), [(p.V311, 3), (p.V5, 0x88)], ids=["3.1.1", "5"])
    @pytest.mark.parametrize("status", [500, 503])
    async def test_when_nobody_can_tell_it_is_to_try_again(
        self, house: House, version: int, code: int, status: int
    ) -> None:
        kpc = await Gateway(house).start()
        kpc.client_status["cred-ann"] = status
        device, connack = await coming(kpc, version=version, **ANN)
        assert connack.reason_code == code
        assert device.is_closed
        kpc.client_status.clear()
        assert (await coming(kpc, version=version, **ANN))[1].reason_code == 0

    async def test_nor_does_it_wait_for_ever(self, house: House) -> None:
        kpc = await Gateway(house).start({"connect-timeout": "5s"})
        kpc.client_gate = Gate()
        device = Device(kpc.door, "c")
        device.client.connect(**ANN)
        await device.settle()
        await house.clock.advance(6_000)
        await device.settle()
        assert [event.reason_code for event in device.events] == [3]
        assert device.is_closed
        kpc.client_gate.open()

    async def test_nothing_is_cached(self, house: House) -> None:
        kpc = await Gateway(house).start()
        for _ in range(3):
            await coming(kpc, **ANN)
        assert len(kpc.asked_clients) == 3


class TestWaiting:
    """Between CONNECT and CONNACK somebody is asked."""

    @pytest.mark.parametrize("version", [p.V31, p.V311, p.V5])
    async def test_what_follows_waits_in_order(self, house: House, version: int) -> None:
        kpc = await Gateway(house).start({"client-authentication": "basic"})
        gate = kpc.client_gate = Gate()
        device = Device(kpc.door, "c", version)
        device.client.connect(**ANN)
        for number in range(5):
            device.client.publish(f"{JSON}/{number}", b"{}", number % 3)
            await device.settle()
        device.client.subscribe(("#", 1))
        await device.settle()
        assert device.events == []
        assert kpc.said == []
        gate.open()
        await device.until(lambda: len(kpc.said) == 5)
        await device.settle()
        assert [message.request_id for message in kpc.said] == [0, 1, 2, 3, 4]
        assert isinstance(device.events[0], p.ConnAck)

    async def test_what_follows_a_connect_that_is_refused_was_never_said(self, house: House) -> None:
        kpc = await Gateway(house).start()
        device = Device(kpc.door, "c")
        device.client.connect(username="ann", password=b"wrong")
        device.client.publish(f"{JSON}/1", b"{}", 1)
        await device.settle()
        assert [type(event) for event in device.events] == [p.ConnAck]
        assert kpc.said == []

    async def test_who_leaves_before_he_is_known_leaves_nothing_behind(self, house: House) -> None:
        kpc = await Gateway(house).start()
        gate = kpc.client_gate = Gate()
        device = Device(kpc.door, "c")
        device.client.connect(**ANN, clean_start=False)
        await device.settle()
        device.wire.lose()
        gate.open()
        await device.settle()
        assert len(kpc.door.clients) == 0
        assert kpc.door.connecting == 0
        assert kpc.door.sessions._kept == {}

    async def test_so_many_at_a_time_and_no_more(self, house: House) -> None:
        kpc = await Gateway(house).start({"max-connecting": 3})
        gate = kpc.client_gate = Gate()
        devices = [Device(kpc.door, f"c{number}") for number in range(5)]
        for device in devices:
            device.client.connect(**ANN)
            device.pump()
        for device in devices:
            await device.settle()
        assert [device.is_closed for device in devices] == [False, False, False, True, True]
        assert devices[4].events[0].reason_code == 3
        assert kpc.ended("too_many_connecting") == 2
        # who shows nothing needs nobody's time
        await kpc.device("anonymous")
        gate.open()
        for device in devices[:3]:
            await device.until(lambda device=device: device.events)
            assert device.events[0].reason_code == 0
        await coming(kpc, "late", **ANN)
        assert kpc.door.connecting == 0


class TestCertificates:
    @pytest.mark.parametrize("required", ["none", "x509", "any"])
    async def test_one_that_is_known_by_issuer_and_serial_is_let_in(
        self, house: House, certificate: bytes, required: Any
    ) -> None:
        kpc = await Gateway(house).start()
        kpc.certificates[identity(certificate)] = "cred-thing"
        device, connack = await coming(kpc, required=required, certificate=certificate)
        assert connack.reason_code == 0
        assert [(asked.issuer, asked.serial_number) for asked in kpc.asked_clients] == [identity(certificate)]
        assert await device.ask(f"{JSON}/1") == [(f"{JSON}/1/status", b"")]

    @REFUSED
    @pytest.mark.parametrize("required", ["none", "x509"])
    async def test_one_that_is_not_known_is_refused_whether_it_is_needed_or_not(
        self, house: House, certificate: bytes, required: Any, version: int, code: int
    ) -> None:
        kpc = await Gateway(house).start()
        device, connack = await coming(kpc, version=version, required=required, certificate=certificate)
        assert connack.reason_code == code
        assert device.is_closed

    async def test_a_user_name_does_not_do_where_a_certificate_is_needed(self, house: House) -> None:
        kpc = await Gateway(house).start()
        assert (await coming(kpc, required="x509", **ANN))[1].reason_code == 5

    async def test_a_certificate_does_not_do_where_a_user_name_is_needed(
        self, house: House, certificate: bytes
    ) -> None:
        kpc = await Gateway(house).start()
        kpc.certificates[identity(certificate)] = "cred-thing"
        assert (await coming(kpc, required="basic", certificate=certificate))[1].reason_code == 5

    async def test_of_two_credentials_both_must_be_good(self, house: House, certificate: bytes) -> None:
        kpc = await Gateway(house).start()
        both = {"certificate": certificate, **ANN}
        assert (await coming(kpc, required="any", **both))[1].reason_code == 5
        kpc.certificates[identity(certificate)] = "cred-thing"
        assert (await coming(kpc, required="any", **both))[1].reason_code == 0
        assert (await coming(kpc, required="any", **(both | {"password": b"wrong"})))[1].reason_code == 4


class TestTakeOver:
    """Client id and credentials together are the client."""

    @pytest.mark.parametrize("version", [p.V311, p.V5])
    async def test_a_client_that_comes_again_takes_its_place_over(self, house: House, version: int) -> None:
        kpc = await Gateway(house).start()
        first, _ = await coming(kpc, version=version, **ANN)
        first.heard()
        second, _ = await coming(kpc, version=version, **ANN)
        await first.settle()
        assert first.is_closed
        assert first.heard() == ([("bye", 0x8E)] if version == p.V5 else [])
        assert not second.is_closed
        assert kpc.ended("taken_over") == 1
        assert len(kpc.door.clients) == 1

    async def test_and_its_session_with_it(self, house: House) -> None:
        kpc = await Gateway(house).start()
        first, connack = await coming(kpc, **ANN, clean_start=False)
        assert not connack.session_present
        first.client.subscribe(("#", 1))
        await first.settle()
        second, connack = await coming(kpc, **ANN, clean_start=False)
        assert connack.session_present
        await first.settle()
        assert first.is_closed
        second.wire.lose()
        assert (await coming(kpc, **ANN, clean_start=False))[1].session_present

    @pytest.mark.parametrize(("version", "code"), [(p.V311, 3), (p.V5, 0x89)], ids=["3.1.1", "5"])
    async def test_one_that_is_still_connecting_makes_room_too(self, house: House, version: int, code: int) -> None:
        kpc = await Gateway(house).start()
        gate, put = Gate(), kpc.door.sessions._repository.put

        async def late(*arguments: Any) -> None:
            await gate()
            await put(*arguments)

        kpc.door.sessions._repository.put = late  # type: ignore[method-assign]
        kept: dict[str, Any] = {"clean_start": False}
        if version == p.V5:
            kept["properties"] = {prop.SESSION_EXPIRY_INTERVAL: 60}
        first = Device(kpc.door, "c", version)
        first.client.connect(**ANN, **kept)
        await first.settle()
        second, connack = await coming(kpc, "c", version, **ANN)
        assert connack.reason_code == 0
        gate.open()
        await first.until(lambda: first.is_closed)
        assert [event.reason_code for event in first.events] == [code]
        assert not second.is_closed

    async def test_a_message_under_way_is_told_to_the_connection_that_has_taken_over(self, house: House) -> None:
        kpc = await Gateway(house).start()
        kpc.answer = lambda _: None
        first, _ = await coming(kpc, **ANN, clean_start=False)
        first.client.publish(f"{JSON}/1", b"{}", 2)
        await first.until(lambda: len(kpc.said) == 1)
        second, _ = await coming(kpc, **ANN, clean_start=False)
        second.client.publish(f"{JSON}/1", b"{}", 2)
        await second.settle()
        assert len(kpc.said) == 1
        second.events.clear()
        kpc.answer_late(kpc.said[0], (200, None, None))
        await second.settle()
        assert (f"{JSON}/1/status", b"") in second.heard()

    @pytest.mark.parametrize("other", [{}, BOB], ids=["nobody", "another"])
    async def test_nobody_else_takes_it_over(self, house: House, other: dict[str, Any]) -> None:
        kpc = await Gateway(house).start()
        first, _ = await coming(kpc, **ANN, clean_start=False)
        second, connack = await coming(kpc, **other, clean_start=False)
        assert not connack.session_present
        assert not first.is_closed
        for device in (first, second):
            device.wire.lose()
        # each has a session of its own, under the same client id
        await house.restart()
        kpc = await Gateway(house).start()
        for shown in (ANN, other):
            assert (await coming(kpc, **shown, clean_start=False))[1].session_present
        assert not (await coming(kpc, "another id", **ANN, clean_start=False))[1].session_present

    async def test_other_client_ids_live_side_by_side(self, house: House) -> None:
        kpc = await Gateway(house).start()
        devices = [(await coming(kpc, client_id, **ANN))[0] for client_id in ("a", "b", "", "")]
        assert not any(device.is_closed for device in devices)
        assert len(kpc.door.clients) == 4

    async def test_the_endpoints_go_over_when_the_client_speaks_for_them(self, house: House) -> None:
        kpc = await Gateway(house).start()
        first, _ = await coming(kpc, **ANN)
        await first.ask(JSON)
        second, _ = await coming(kpc, **ANN)
        await second.ask(JSON)
        assert [dict(event.endpoints) for event in kpc.connected] == [{"dev-1": "home-v1"}] * 2
        assert [dict(event.endpoints) for event in kpc.disconnected] == [{"dev-1": "home-v1"}]


class TestRevocation:
    @pytest.mark.parametrize("version", [p.V311, p.V5])
    async def test_all_connections_of_the_credential_end_at_once_and_no_others(
        self, house: House, version: int
    ) -> None:
        kpc = await Gateway(house).start()
        anns = [(await coming(kpc, f"a{number}", version, **ANN))[0] for number in range(120)]
        other, anonymous = (await coming(kpc, "b", version, **BOB))[0], await kpc.device("n", version)
        await anns[0].ask(JSON)
        await kpc.revoke_client("cred-ann")
        for device in anns:
            await device.until(lambda device=device: device.is_closed)
        if version == p.V5:
            assert anns[-1].heard()[-1] == ("bye", 0x87)
        assert not other.is_closed
        assert not anonymous.is_closed
        await other.settle()
        assert len(kpc.door.clients) == 1
        assert [dict(event.endpoints) for event in kpc.disconnected] == [{"dev-1": "home-v1"}]

    async def test_a_certificate_is_revoked_likewise(self, house: House, certificate: bytes) -> None:
        kpc = await Gateway(house).start()
        kpc.certificates[identity(certificate)] = "cred-thing"
        device, _ = await coming(kpc, required="x509", certificate=certificate)
        await kpc.revoke_client("cred-thing", "certificate")
        assert device.is_closed

    async def test_one_of_two_credentials_is_enough(self, house: House, certificate: bytes) -> None:
        kpc = await Gateway(house).start()
        kpc.certificates[identity(certificate)] = "cred-thing"
        device, _ = await coming(kpc, required="any", certificate=certificate, **ANN)
        await kpc.revoke_client("cred-thing", "certificate")
        await device.settle()
        assert device.is_closed
        assert len(kpc.door.clients) == 0
        assert kpc.door.clients._of == {}

    async def test_one_that_overtakes_the_answer_makes_kpc_ask_again(self, house: House) -> None:
        kpc = await Gateway(house).start()
        gate = kpc.client_gate = Gate()
        device = Device(kpc.door, "c")
        device.client.connect(**ANN)
        await device.settle()
        # CM has said yes, and revokes it before that has arrived
        kpc.client_status["cred-ann"] = 403
        await kpc.revoke_client("cred-ann")
        gate.open()
        await device.until(lambda: device.events)
        assert device.events[0].reason_code == 5
        assert len(kpc.asked_clients) == 2

    async def test_the_event_is_answered(self, house: House) -> None:
        kpc = await Gateway(house).start()
        subject = cap.credentials_revoked("basic", originator="cm")
        answers: list[Any] = []

        async def on_answer(message: EventProcessed) -> None:
            answers.append(message)

        reply_to: Subject[EventProcessed] = Subject("kaa.v1.replica.cm-1.x-outbox.processed", EventProcessed)
        async with house.bus.subscribe(reply_to, on_answer, queue="cm-1"):
            event = house.message(subject, tenant_id="kaa", credentials_id="cred-none")
            house.bus.publish(subject, event, reply_to=reply_to)
            for _ in range(20):
                await asyncio.sleep(0)
        assert [(a.correlation_id, a.receiver_service_instance_name, a.status_code) for a in answers] == [
            (event.correlation_id, "kpc", 200)
        ]
        assert kpc.door.clients._of == {}

    async def test_a_session_that_is_being_kept_meanwhile_is_let_go(self, house: House) -> None:
        kpc = await Gateway(house).start()
        gate, put = Gate(), kpc.door.sessions._repository.put

        async def late(*arguments: Any) -> None:
            await gate()
            await put(*arguments)

        kpc.door.sessions._repository.put = late  # type: ignore[method-assign]
        device = Device(kpc.door, "c", p.V5)
        device.client.connect(**ANN, clean_start=False, properties={prop.SESSION_EXPIRY_INTERVAL: 60})
        await device.settle()
        await kpc.revoke_client("cred-ann")
        gate.open()
        await device.until(lambda: device.is_closed)
        assert [event.reason_code for event in device.events] == [0x87]
        await until(lambda: not any(kept.is_live for kept in kpc.door.sessions._kept.values()))
