"""7/CMP: the resources of a configuration extension, and what is in their payloads."""

import json
from contextlib import suppress
from functools import cache
from typing import Any

import pytest
from contracts import any_time, few, rfc_file
from hypothesis import given
from hypothesis import strategies as st

from kaa.core.errors import InvalidInput, NotFound, Refusal
from kaa.protocols import cmp, kp
from kaa.protocols.cmp import AppliedReport, ConfigQuery

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
TEXT = st.text(st.characters(codec="utf-8"), max_size=9)
CODE = st.integers(90, 1010) | st.sampled_from([200.0, 200.5, 1e300, -0.0])
ANY = JSON | st.fixed_dictionaries(
    {},
    optional={
        "configId": TEXT | JSON,
        "observe": st.booleans() | JSON,
        "statusCode": CODE | JSON,
        "reasonPhrase": TEXT | JSON,
        "more": JSON,
    },
)
REQUESTS = {"config-request": cmp.CONFIG, "applied-request": cmp.APPLIED}
KNOWN = {"config-request": {"configId", "observe"}, "applied-request": {"configId", "statusCode", "reasonPhrase"}}


@cache
def validator(name: str) -> Any:
    schemas = pytest.importorskip("jsonschema_rs")
    return schemas.validator_for(rfc_file(f"0007-{name}.schema.json"))


def without_nulls(name: str, value: Any) -> Any:
    """Leave out the members that the request knows and that are null: they count as absent."""
    if not isinstance(value, dict):
        return value
    return {key: item for key, item in value.items() if item is not None or key not in KNOWN[name]}


@pytest.mark.parametrize(
    ("topic", "path", "request_id"),
    [
        ("kp1/home-v1/cmx/token/config/json/1", "/config/json", 1),
        ("kp1/home-v1/cmx/token/config/json", "/config/json", None),
        ("kp1/home-v1/cmx/token/applied/json/2", "/applied/json", 2),
        ("kp1/home-v1/cmx/token/config/json/limits/3", "/config/json/limits", 3),
        ("kp1/home-v1/cmx/token/applied/json/limits", "/applied/json/limits", None),
    ],
)
def test_the_resources(topic, path, request_id):
    found = kp.parse(topic)
    assert (found.resource_path, found.request_id) == (path, request_id)
    expected = "limits" if path.endswith("limits") else "default"
    assert cmp.read(path, b'{"configId": "i"}').name == expected


def test_pushes_go_to_the_resource_that_is_asked():
    assert (cmp.CONFIG, cmp.APPLIED, cmp.DEFAULT) == ("/config/json", "/applied/json", "default")
    assert cmp.push_path("default") == "/config/json"
    assert cmp.push_path("limits") == "/config/json/limits"


@pytest.mark.parametrize("name", REQUESTS)
@any_time
@given(value=ANY)
def test_what_the_rfc_takes_is_taken_and_beside_it_only_nulls(name, value):
    told = without_nulls(name, value)
    is_valid = validator(name).is_valid(told)
    if is_valid and "statusCode" in told:  # a number to the RFC, "based on HTTP status codes"
        is_valid = 100 <= told["statusCode"] <= 999 and told["statusCode"] == int(told["statusCode"])
    try:
        cmp.read(REQUESTS[name], json.dumps(value).encode())
    except InvalidInput:
        assert not is_valid
    else:
        assert is_valid


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", ConfigQuery("default", None, None)),
        (b" \r\n", ConfigQuery("default", None, None)),
        (b"{}", ConfigQuery("default", None, None)),
        (b'{"configId": "i", "observe": true}', ConfigQuery("default", "i", True)),
        (b'{"configId": null, "observe": false}', ConfigQuery("default", None, False)),
    ],
)
def test_what_is_asked(payload, expected):
    assert cmp.read("/config/json", payload) == expected


@pytest.mark.parametrize(
    ("payload", "expected", "is_applied"),
    [
        (b'{"configId": "i"}', AppliedReport("limits", "i", 200, None), True),
        (b'{"configId": "i", "statusCode": 204.0}', AppliedReport("limits", "i", 204, None), True),
        (b'{"configId": "i", "statusCode": null, "reasonPhrase": null}', AppliedReport("limits", "i", 200, None), True),
        (
            b'{"configId": "i", "statusCode": 400, "reasonPhrase": "no"}',
            AppliedReport("limits", "i", 400, "no"),
            False,
        ),
        (b'{"configId": "i", "statusCode": 199}', AppliedReport("limits", "i", 199, None), False),
        (b'{"configId": "i", "statusCode": 300}', AppliedReport("limits", "i", 300, None), False),
    ],
)
def test_what_is_told(payload, expected, is_applied):
    found = cmp.read("/applied/json/limits", payload)
    assert found == expected
    assert found.is_applied is is_applied


@few
@given(config_id=TEXT, config=JSON)
def test_the_answers_are_those_of_the_rfc_with_the_status_that_it_speaks_of(config_id, config):
    content = json.dumps(config).encode()
    rendered = cmp.configuration(config_id, content)
    assert content in rendered
    found = json.loads(rendered)
    assert (found.pop("statusCode"), found.pop("reasonPhrase")) == (200, "OK")
    assert found == {"configId": config_id, "config": config}
    assert validator("config-response").is_valid(found)


def test_a_configuration_that_has_not_changed_has_no_content():
    assert json.loads(cmp.UNCHANGED) == {"statusCode": 200, "reasonPhrase": "OK"}


@pytest.mark.parametrize("content", [b"", b"{", b"nope", b'"\xff"', b"[" * 100_000])
def test_what_is_no_json_is_not_delivered(content):
    with pytest.raises(InvalidInput):
        cmp.configuration("i", content)


@pytest.mark.parametrize(
    "path", ["", "/", "/config", "/config/", "/config/jsonx", "/config/plain", "/json", "/CONFIG/json"]
)
def test_there_are_no_other_resources(path):
    with pytest.raises(NotFound):
        cmp.read(path, b"{}")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a.b", "\xe4", "a\n", "n" * 65, "1", "007", "status", "error"])
def test_a_name_that_cannot_be_told_from_the_rest_of_a_topic_is_none(name):
    for read in (lambda: cmp.check_name(name), lambda: cmp.read(f"/config/json/{name}", b"{}")):
        with pytest.raises(InvalidInput):
            read()


@pytest.mark.parametrize("name", ["a", "default", "A_9-z", "1a", "n" * 64])
def test_other_names_are_names(name):
    assert cmp.check_name(name) == name


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/config/json", {"configId": "i" * 257}),
        ("/applied/json", {"configId": "i" * 257}),
        ("/applied/json", {"configId": "i", "reasonPhrase": "r" * 1_025}),
        ("/applied/json", {"configId": "i", "reasonPhrase": "r" * 9_000}),
    ],
)
def test_more_than_is_taken_is_refused(path, told):
    with pytest.raises(InvalidInput):
        cmp.read(path, json.dumps(told).encode())


@pytest.mark.parametrize("path", REQUESTS.values())
@few
@given(junk=st.binary(max_size=60))
def test_any_bytes_are_a_request_or_refused(path, junk):
    with suppress(Refusal):
        cmp.read(path, junk)


@pytest.mark.parametrize("path", REQUESTS.values())
@pytest.mark.parametrize("junk", [b"[" * 8_000, b'{"a":' * 1_600, b'{"configId":"\\ud800"}', b"1" * 8_000])
def test_nesting_and_half_characters_are_refused(path, junk):
    with pytest.raises(InvalidInput):
        cmp.read(path, junk)
