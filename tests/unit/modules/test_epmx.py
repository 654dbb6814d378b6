"""EPMX: what devices may do with the metadata of their endpoint."""

import json
from typing import Any

import pytest
from house import House
from metadata_register import Register
from waiting import until

from kaa.core.errors import Conflict, Unavailable
from kaa.modules.epmx.module import MODULE as EPMX
from kaa.protocols import epmmp, esp
from kaa.protocols.esp import ExtensionData

APPLICATIONS = {"home": ["home-v1", "home-v2"]}
HELD = {"model": "K2", "floor": 3, "serial": "s-1", "site code": "over REST only"}
LISTED = {"home-v1": {"metadata-keys": {"floor": None, "model": {"write-enabled": False}, "room": {}}}}


class Device:
    """An endpoint whose messages come by way of a communication service."""

    def __init__(self, house: House, register: Register) -> None:
        self.house, self.register = house, register
        self._reply_to = esp.extension_data_to_replica("kpc-of-the-test")

    async def start(self, settings: Any = None, **config: Any) -> "Device":
        await self.house.start(EPMX, config=config, applications=APPLICATIONS, settings=settings)
        self.answers: list[ExtensionData] = await self.house.hear(self._reply_to, name="kpc-of-the-test")
        return self

    def say(self, path: str, payload: Any = None, **fields: Any) -> str:
        data = payload if isinstance(payload, bytes) else b"" if payload is None else json.dumps(payload).encode()
        common = {"app_version_name": "home-v1", "endpoint_id": "dev-1", "request_id": 7}
        message = self.house.message(esp.client_data("epmx"), **(common | fields), resource_path=path, payload=data)
        self.house.bus.publish(esp.client_data("epmx"), message, reply_to=self._reply_to)
        return str(message.correlation_id)

    async def answer_to(self, correlation_id: str) -> ExtensionData:
        found: ExtensionData = await until(
            lambda: next((a for a in self.answers if a.correlation_id == correlation_id), None), what="an answer"
        )
        return found

    async def ask(self, path: str, payload: Any = None, **fields: Any) -> tuple[int, Any]:
        """Give the status, and what was answered or the sentence that says why not."""
        answer = await self.answer_to(self.say(path, payload, **fields))
        assert answer.payload is None or answer.status_code == 200
        if answer.status_code != 200:
            return answer.status_code, answer.reason_phrase
        return 200, json.loads(answer.payload) if answer.payload else answer.payload

    @property
    def metadata(self) -> dict[str, Any]:
        return self.register.metadata["dev-1"]


@pytest.fixture
async def register(house: House) -> Register:
    made = await Register(house).open()
    made.add("dev-1", HELD)
    return made


@pytest.fixture
async def device(house: House, register: Register) -> Device:
    """A device whose version lists no keys."""
    return await Device(house, register).start()


@pytest.fixture
async def listed(house: House, register: Register) -> Device:
    """A device whose version lists keys: `floor` and `room` to read and write, `model` to read."""
    return await Device(house, register).start(LISTED)


class TestReading:
    @pytest.mark.parametrize("payload", [b"", b"{}", b" \n", b"{ }"])
    async def test_all_keys_that_a_device_can_name_are_given(self, device: Device, payload: bytes) -> None:
        assert await device.ask("/get", payload) == (200, {"model": "K2", "floor": 3, "serial": "s-1"})

    async def test_or_those_that_it_names(self, device: Device) -> None:
        assert await device.ask("/get", {"keys": ["floor", "model"]}) == (200, {"floor": 3, "model": "K2"})
        assert await device.ask("/get", {"keys": []}) == (200, {})

    async def test_a_number_is_given_to_its_last_digit(self, device: Device) -> None:
        text = b"12345678901234567890.125"
        assert (await device.ask("/update/keys", b'{"big": %b, "n": null}' % text))[0] == 200
        patch = device.register.questions(epmmp.EndpointMetadataPatchRequest)[0].patch
        assert text in patch
        assert await device.ask("/get", {"keys": ["n"]}) == (200, {"n": None})

    async def test_a_key_that_is_not_there_is_named(self, device: Device) -> None:
        status, reason = await device.ask("/get", {"keys": ["floor", "cellar"]})
        assert (status, "cellar" in reason) == (404, True)

    @pytest.mark.parametrize("payload", [b"", b"whatever"])
    async def test_the_names_are_given_whatever_the_payload(self, device: Device, payload: bytes) -> None:
        assert await device.ask("/get/keys", payload) == (200, ["model", "floor", "serial"])

    async def test_without_a_request_id_nothing_is_sent_back(self, device: Device) -> None:
        answer = await device.answer_to(device.say("/get", request_id=None))
        assert (answer.status_code, answer.payload, answer.request_id) == (200, None, None)

    async def test_the_answer_goes_where_the_question_came_from(self, device: Device) -> None:
        answer = await device.answer_to(device.say("/get/keys"))
        assert (answer.resource_path, answer.request_id, answer.endpoint_id) == ("/get/keys", 7, "dev-1")
        assert answer.app_version_name == "home-v1"


class TestWriting:
    async def test_an_update_replaces_the_whole(self, device: Device) -> None:
        assert await device.ask("/update", {"floor": 4, "room": {"name": "b"}}) == (200, b"")
        assert device.metadata == {"floor": 4, "room": {"name": "b"}, "site code": "over REST only"}

    async def test_an_update_of_keys_leaves_the_others(self, device: Device) -> None:
        assert await device.ask("/update/keys", {"floor": 4, "model": None}) == (200, b"")
        assert device.metadata == HELD | {"floor": 4, "model": None}

    async def test_values_are_replaced_and_not_merged(self, device: Device) -> None:
        await device.ask("/update/keys", {"room": {"a": 1}})
        await device.ask("/update/keys", {"room": {"b": 2}})
        assert device.metadata["room"] == {"b": 2}

    async def test_keys_are_deleted_and_one_that_is_gone_already_is_as_wanted(self, device: Device) -> None:
        for _ in range(2):
            assert await device.ask("/delete/keys", ["floor", "model"]) == (200, b"")
            assert device.metadata == {"serial": "s-1", "site code": "over REST only"}

    async def test_what_is_so_already_is_not_written(self, device: Device) -> None:
        assert await device.ask("/update", {"model": "K2", "floor": 3, "serial": "s-1"}) == (200, b"")
        assert device.register.questions(epmmp.EndpointMetadataPatchRequest) == []

    async def test_messages_of_one_endpoint_take_effect_in_their_order(self, device: Device) -> None:
        said = [
            device.say("/update", {"n": 0}),
            device.say("/update/keys", {"n": 1, "m": 1}),
            device.say("/delete/keys", ["m"]),
            device.say("/update/keys", {"n": 2}),
            device.say("/get"),
        ]
        answers = [await device.answer_to(one) for one in said]
        assert [answer.status_code for answer in answers] == [200] * 5
        assert json.loads(answers[-1].payload or b"") == {"n": 2}

    async def test_without_a_request_id_it_is_done_all_the_same(self, device: Device) -> None:
        answer = await device.answer_to(device.say("/update/keys", {"floor": 9}, request_id=None))
        assert (answer.status_code, answer.payload) == (200, None)
        assert device.metadata["floor"] == 9


class TestTwoWriters:
    @pytest.mark.parametrize(
        ("path", "payload", "left"),
        [
            ("/update", {"floor": 4}, {"floor": 4}),
            ("/delete/keys", ["floor"], {"model": "K2", "serial": "s-1", "room": 1}),
        ],
    )
    async def test_what_another_one_writes_meanwhile_is_seen(
        self, device: Device, path: str, payload: Any, left: Any
    ) -> None:
        def interfere(request: Any) -> None:
            if isinstance(request, epmmp.EndpointMetadataPatchRequest):
                device.register.on_ask = lambda _: None
                device.register.change("dev-1", **{"room": 1, "other site": 2})

        device.register.on_ask = interfere
        assert await device.ask(path, payload) == (200, b"")
        assert device.metadata == left | {"site code": "over REST only", "other site": 2}

    async def test_who_is_never_let_in_is_told_to_come_again(self, device: Device) -> None:
        numbers = iter(range(1_000))
        device.register.on_ask = lambda request: (
            device.register.change("dev-1", room=next(numbers))
            if isinstance(request, epmmp.EndpointMetadataPatchRequest)
            else None
        )
        status, reason = await device.ask("/update", {"floor": 4})
        assert (status, "try again" in reason) == (503, True)

    async def test_keys_that_are_merged_do_not_care(self, device: Device) -> None:
        device.register.on_ask = lambda _: device.register.change("dev-1", room=1)
        assert await device.ask("/update/keys", {"floor": 4}) == (200, b"")
        assert device.metadata == HELD | {"floor": 4, "room": 1}


class TestListedKeys:
    async def test_only_they_are_seen(self, listed: Device) -> None:
        assert await listed.ask("/get") == (200, {"model": "K2", "floor": 3})
        assert await listed.ask("/get/keys") == (200, ["model", "floor"])
        assert await listed.ask("/get", {"keys": ["model"]}) == (200, {"model": "K2"})

    @pytest.mark.parametrize(
        ("path", "payload", "key"),
        [
            ("/get", {"keys": ["floor", "serial"]}, "serial"),
            ("/update", {"floor": 1, "serial": 2}, "serial"),
            ("/update", {"floor": 1, "model": "K3"}, "model"),
            ("/update/keys", {"floor": 1, "model": "K3"}, "model"),
            ("/delete/keys", ["floor", "model"], "model"),
            ("/delete/keys", ["unheard_of"], "unheard_of"),
        ],
    )
    async def test_naming_another_is_refused_and_nothing_is_done(
        self, listed: Device, path: str, payload: Any, key: str
    ) -> None:
        status, reason = await listed.ask(path, payload)
        assert (status, repr(key) in reason) == (403, True)
        assert listed.metadata == HELD

    async def test_an_update_touches_no_key_that_the_device_may_not_write(self, listed: Device) -> None:
        assert await listed.ask("/update", {"room": "b"}) == (200, b"")
        assert listed.metadata == {"model": "K2", "serial": "s-1", "site code": "over REST only", "room": "b"}

    async def test_it_is_a_setting_of_each_version(self, listed: Device) -> None:
        assert await listed.ask("/get/keys", app_version_name="home-v2") == (200, ["model", "floor", "serial"])

    @pytest.mark.parametrize(
        ("settings", "seen"),
        [({}, ["model", "floor", "serial"]), ({"metadata-keys": None}, ["model", "floor", "serial"])]
        + [({"metadata-keys": {}}, []), ({"metadata-keys": {"floor": None}}, ["floor"])],
    )
    async def test_no_list_is_no_limit_and_an_empty_one_denies_all(
        self, house: House, register: Register, settings: Any, seen: list[str]
    ) -> None:
        device = await Device(house, register).start({"home": settings})
        assert await device.ask("/get/keys") == (200, seen)
        assert (await device.ask("/update", {"floor": 1}))[0] == (200 if "floor" in seen else 403)

    @pytest.mark.parametrize(
        "settings",
        [{"metadata-keys": {"site code": None}}, {"metadata-keys": ["floor"]}]
        + [{"metadata-keys": {"floor": {"read": True}}}, {"metadata-keys": {"": None}}, {"keys": {}}],
    )
    async def test_settings_that_make_no_sense_are_refused(self, house: House, settings: Any) -> None:
        with pytest.raises(ValueError):
            await house.start(EPMX, applications=APPLICATIONS, settings={"home": settings})

    async def test_while_the_settings_are_not_known_nothing_is_open(self, house: House, register: Register) -> None:
        await house.start(EPMX)
        device = Device(house, register)
        device.answers = await house.hear(device._reply_to, name="kpc-of-the-test")
        assert (await device.ask("/get"))[0] == 503
        told = house.instances["epmx"].applications
        told.replace([])
        assert (await device.ask("/get"))[0] == 404


BAD = [
    ("/update", b""),
    ("/update", b"{}"),
    ("/update", b"[]"),
    ("/update", b"1"),
    ("/update", b"{"),
    ("/update", b'{"a":1} x'),
    ("/update", b'{"a":NaN}'),
    ("/update", b'{"a":"\xff"}'),
    ("/update", b'{"a b":1}'),
    ("/update", b'{"":1}'),
    ("/update", b'{"a":' + b"[" * 33 + b"]" * 33 + b"}"),
    ("/update", b'{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}"),
    ("/update", b'{"a":' + b"9" * 5_000 + b"}"),
    ("/update/keys", b"null"),
    ("/update/keys", b'{"a":01}'),
    ("/update/keys", b'{"' + b"k" * 129 + b'":1}'),
    ("/delete/keys", b""),
    ("/delete/keys", b"[]"),
    ("/delete/keys", b'{"a":1}'),
    ("/delete/keys", b'"a"'),
    ("/delete/keys", b"[1]"),
    ("/delete/keys", b'["a","a"]'),
    ("/delete/keys", b'["a/b"]'),
    ("/get", b"["),
    ("/get", b"null"),
    ("/get", b'["a"]'),
    ("/get", b'{"keys":"a"}'),
    ("/get", b'{"keys":null}'),
    ("/get", b'{"keys":["a","a"]}'),
    ("/get", b'{"keys":["a"],"more":1}'),
    ("/get", b'{"other":1}'),
]


class TestRefusals:
    @pytest.mark.parametrize(("path", "payload"), BAD, ids=lambda one: repr(one[:24]))
    async def test_a_payload_that_makes_no_sense_changes_nothing(
        self, device: Device, path: str, payload: bytes
    ) -> None:
        status, reason = await device.ask(path, payload)
        assert (status, bool(reason)) == (400, True)
        assert device.metadata == HELD

    @pytest.mark.parametrize(
        ("path", "payload"),
        [("/update", {"a": "x" * 65_536}), ("/delete/keys", [f"k{n}" for n in range(257)])]
        + [("/update/keys", {f"k{n}": 1 for n in range(257)}), ("/get", {"keys": [f"k{n}" for n in range(257)]})],
    )
    async def test_nor_does_one_that_is_too_large(self, device: Device, path: str, payload: Any) -> None:
        assert (await device.ask(path, payload))[0] == 413
        assert device.metadata == HELD

    @pytest.mark.parametrize("path", ["/", "/gets", "/get/", "/get/key", "/update/keys/floor", "/delete", "//get"])
    async def test_another_resource_is_not_found(self, device: Device, path: str) -> None:
        status, reason = await device.ask(path, {"floor": 1})
        assert (status, "/update/keys" in reason) == (404, True)

    async def test_an_endpoint_that_is_not_there_is_not_found(self, device: Device) -> None:
        for path, payload in [("/get", None), ("/get/keys", None), ("/update", {"a": 1}), ("/delete/keys", ["a"])]:
            assert (await device.ask(path, payload, endpoint_id="dev-9"))[0] == 404

    async def test_a_message_without_an_endpoint_is_refused(self, device: Device) -> None:
        assert (await device.ask("/get", endpoint_id=None))[0] == 400

    async def test_what_the_register_says_is_passed_on(self, device: Device) -> None:
        def refuse(_: Any) -> None:
            raise Conflict("too many keys")

        device.register.on_ask = refuse
        assert await device.ask("/update/keys", {"a": 1}) == (409, "too many keys")

    async def test_a_register_that_is_away_refuses_for_the_moment(self, house: House) -> None:
        device = await Device(house, Register(house)).start()
        assert (await device.ask("/get"))[0] == 503

    async def test_one_that_does_not_answer_in_time_is_named(self, house: House) -> None:
        device = await Device(house, Register(house)).start(**{"request-timeout": "2s"})
        asked = await house.hear(epmmp.metadata("epr"), name="epr", status=None)
        said = [device.say("/get"), device.say("/get")]
        assert (await device.ask("/nowhere"))[0] == 404  # they are taken in their order: both wait by now
        await until(lambda: asked)
        await house.clock.advance(2_000)
        answers = [await device.answer_to(one) for one in said]
        assert [answer.status_code for answer in answers] == [504, 504]
        assert "epr" in str(answers[0].reason_phrase)

    async def test_after_a_refusal_the_next_message_has_its_turn(self, device: Device) -> None:
        def refuse_once(_: Any) -> None:
            device.register.on_ask = lambda _: None
            raise Unavailable("later")

        device.register.on_ask = refuse_once
        said = [device.say("/get"), device.say("/get/keys")]
        assert [(await device.answer_to(one)).status_code for one in said] == [503, 200]


async def test_another_register_can_be_named(house: House) -> None:
    await Device(house, Register(house)).start(register="epr_two")
    asked = await house.hear(epmmp.metadata_keys("epr_two"), name="epr_two", status=None)
    message = house.message(
        esp.client_data("epmx"),
        app_version_name="home-v1",
        endpoint_id="dev-1",
        resource_path="/get/keys",
        request_id=None,
        payload=b"",
    )
    house.bus.publish(esp.client_data("epmx"), message)
    await until(lambda: asked)
    await house.clock.advance(9_000)
