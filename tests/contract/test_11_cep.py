"""11/CEP: the resources of a command execution extension, and what is in their payloads."""

import json
from contextlib import suppress
from functools import cache
from typing import Any

import pytest
from contracts import any_time, few, rfc_file
from hypothesis import given
from hypothesis import strategies as st

from kaa.core.errors import InvalidInput, Refusal
from kaa.protocols import cep, kp

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
INT = st.integers(-(2**31), 2**31 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=9)
REQUEST = JSON | st.fixed_dictionaries({}, optional={"observe": st.booleans() | JSON, "more": JSON})
RESULT = JSON.filter(lambda value: not isinstance(value, list)) | st.fixed_dictionaries(
    {"id": INT, "statusCode": INT}, optional={"reasonPhrase": TEXT | JSON, "payload": JSON, "more": JSON}
)
PARSERS = {"command-request": cep.parse_request, "result-request": cep.parse_results}


@cache
def validator(name: str) -> Any:
    schemas = pytest.importorskip("jsonschema_rs")
    return schemas.validator_for(rfc_file(f"0011-{name}.schema.json"))


def known(value: Any, *names: str) -> Any:
    """Leave out the members that the RFC does not know, and what is null: such an observe or phrase says nothing."""
    if not isinstance(value, dict):
        return value
    return {key: value[key] for key in names if key in value and (key == "payload" or value[key] is not None)}


@pytest.mark.parametrize(
    ("topic", "path", "request_id"),
    [
        ("kp1/home-v1/cex/token/command/reboot/1", cep.COMMAND + "reboot", 1),
        ("kp1/home-v1/cex/token/command/close-door", cep.COMMAND + "close-door", None),
        ("kp1/home-v1/cex/token/result/LINUX_COMMAND/2", cep.RESULT + "LINUX_COMMAND", 2),
    ],
)
def test_the_resources(topic, path, request_id):
    found = kp.parse(topic)
    assert (found.resource_path, found.request_id) == (path, request_id)
    assert cep.COMMAND_TYPE.fullmatch(path.rpartition("/")[2])


def test_the_resources_spelled_out():
    assert (cep.COMMAND, cep.RESULT, cep.TEXT, cep.MAX_COMMAND_ID) == ("/command/", "/result/", "text/plain", 2**31 - 1)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a.b", "\xe4", "a\n", "n" * 65])
def test_what_is_no_type_of_command(name):
    assert cep.COMMAND_TYPE.fullmatch(name) is None


@any_time
@given(REQUEST)
def test_what_the_rfc_takes_as_a_request_is_taken_and_more_is_ignored(value):
    is_valid = validator("command-request").is_valid(known(value, "observe"))
    try:
        found = cep.parse_request(json.dumps(value).encode())
    except InvalidInput:
        assert not is_valid
    else:
        assert is_valid
        assert found.observe is value.get("observe")


@any_time
@given(RESULT)
def test_what_the_rfc_takes_as_a_result_is_taken_and_more_is_ignored(value):
    told = known(value, "id", "statusCode", "reasonPhrase", "payload")
    is_valid = isinstance(value, dict) and validator("result-request").is_valid(told)
    for payload in (json.dumps(value), json.dumps([value])):  # an object, as the schema says, and an array of them
        try:
            [found] = cep.parse_results(payload.encode())
        except InvalidInput:
            assert not is_valid
        else:
            assert is_valid
            assert (found.id, found.status_code) == (value["id"], value["statusCode"])
            assert found.reason_phrase == value.get("reasonPhrase")
            assert bytes(found.payload) == (json.dumps(value["payload"]).encode() if "payload" in value else b"")


@given(st.lists(st.tuples(st.integers(1, 2**31 - 1), JSON), max_size=5))
@few
def test_the_commands_are_those_of_the_rfc_with_their_payloads_as_they_were_written(commands):
    rendered = cep.render_commands((id_, json.dumps(payload, indent=1).encode()) for id_, payload in commands)
    found = json.loads(rendered)
    assert found == [{"id": id_, "payload": payload} for id_, payload in commands]
    assert validator("command-response").is_valid(found)
    assert all(json.dumps(payload, indent=1).encode() in rendered for _, payload in commands)


@pytest.mark.parametrize(
    ("commands", "rendered"),
    [
        ([], b"[]"),
        ([(1, None)], b'[{"id":1}]'),
        ([(1, b"1.50"), (1 << 30, b"null")], b'[{"id":1,"payload":1.50},{"id":1073741824,"payload":null}]'),
    ],
)
def test_commands_spelled_out(commands, rendered):
    assert cep.render_commands(commands) == rendered


@pytest.mark.parametrize(
    ("payload", "observe"),
    [(b"", None), (b" \n", None), (b"{}", None), (b'{"observe": true}', True), (b'{"observe":false,"a":[1]}', False)],
)
def test_an_endpoint_asks_for_its_commands_and_perhaps_for_those_to_come(payload, observe):
    assert cep.parse_request(payload).observe is observe


def test_results_come_one_by_one_or_several_at_once_and_may_lack_what_is_empty():
    payload = (
        b'[{"id": 1, "statusCode": 200, "payload": {"t": 1.50}}, {"id": 2, "statusCode": 500, "reasonPhrase": "x"}]'
    )
    first, second = cep.parse_results(payload)
    assert (first.id, first.status_code, first.reason_phrase, bytes(first.payload)) == (1, 200, None, b'{"t": 1.50}')
    assert (second.id, second.status_code, second.reason_phrase, bytes(second.payload)) == (2, 500, "x", b"")
    assert cep.parse_results(b'{"id":1,"statusCode":-1}')[0].status_code == -1
    assert cep.parse_results(b"[]") == []


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b'{"id": 1}',
        b'{"statusCode": 200}',
        b'[{"id": 1, "statusCode": 200}, {}]',
        b'{"id": "1", "statusCode": 200}',
        b'{"id": 1, "statusCode": 2147483648}',
        b'{"id": 1, "statusCode": 200, "payload": nope}',
        b'{"id": 1, "statusCode": 200, "reasonPhrase": "%b"}' % (b"x" * 1_025),
        b'{"id": 1, "statusCode": 200, "payload": %b}' % (b"[" * 100_000),
    ],
)
def test_what_is_no_result_is_refused(payload):
    with pytest.raises(InvalidInput):
        cep.parse_results(payload)


@given(JSON)
@few
def test_one_json_value_is_kept_as_it_was_written(value):
    for indent in (None, 2):
        text = json.dumps(value, indent=indent).encode()
        assert cep.check_json(b" \r\n" + text + b"\t", what="body") == text
        assert cep.payload_of(text, "application/json") == text


@given(st.text(st.characters(codec="utf-8"), max_size=20))
@few
def test_a_text_travels_as_a_string(text):
    found = cep.payload_of(text.encode(), "text/plain")
    assert found is None if not text.encode().strip() else json.loads(found) == text


@pytest.mark.parametrize(
    ("code", "phrase"), [(200, None), (-1, "OK"), (404, "sch\xf6n\r\nX: y"), (1, "\x7f\x00 \u2028")]
)
def test_what_the_endpoint_says_of_its_result_goes_into_headers(code, phrase):
    headers = cep.result_headers(code, phrase)
    assert (headers["Content-Type"], headers["X-Command-Status-Code"]) == ("application/json", str(code))
    assert (
        headers.get("X-Command-Reason-Phrase")
        == {
            None: None,
            "OK": "OK",
            "sch\xf6n\r\nX: y": "sch?n??X: y",
            "\x7f\x00 \u2028": "?? ?",
        }[phrase]
    )


@pytest.mark.parametrize("name", PARSERS)
@few
@given(junk=st.binary(max_size=60))
def test_any_bytes_are_a_request_or_refused(name, junk):
    with suppress(Refusal):
        PARSERS[name](junk)


@few
@given(junk=st.binary(max_size=60), content_type=st.sampled_from(["text/plain", "application/json", ""]))
def test_any_body_is_a_payload_or_refused(junk, content_type):
    with suppress(Refusal):
        found = cep.payload_of(junk, content_type)
        assert found is None or cep.check_json(found, what="payload") == found
