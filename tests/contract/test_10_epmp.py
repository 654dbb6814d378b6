"""10/EPMP: the resources of a metadata extension, and which payloads they take."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from contracts import any_time, few, rfc_file
from hypothesis import given
from hypothesis import strategies as st

from kaa.core.errors import InvalidInput, Refusal, TooLarge
from kaa.protocols import epmp, kp

KEY = st.from_regex(r"^[a-zA-Z0-9_]{1,20}$", fullmatch=True)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ANY = (
    JSON
    | st.dictionaries(KEY | st.text(max_size=3), JSON, max_size=3)
    | st.lists(KEY | st.text(max_size=3), max_size=3)
    | st.fixed_dictionaries({"keys": st.lists(KEY | st.text(max_size=3), max_size=3) | JSON}, optional={"more": JSON})
)
READERS: dict[str, Callable[[bytes], Any]] = {
    "get-metadata-request": epmp.read_get,
    "update-metadata-request": epmp.read_update,
    "delete-metadata-keys-request": epmp.read_delete,
}


def validator(name: str) -> Any:
    schemas = pytest.importorskip("jsonschema_rs")
    return schemas.validator_for(rfc_file(f"0010-{name}.schema.json"))


@pytest.mark.parametrize(
    ("topic", "resource", "request_id"),
    [
        ("kp1/home-v1/epmx/token/get/1", epmp.GET, 1),
        ("kp1/home-v1/epmx/token/get/keys/2", epmp.GET_KEYS, 2),
        ("kp1/home-v1/epmx/token/update/3", epmp.UPDATE, 3),
        ("kp1/home-v1/epmx/token/update/keys", epmp.UPDATE_KEYS, None),
        ("kp1/home-v1/epmx/token/delete/keys/4", epmp.DELETE_KEYS, 4),
    ],
)
def test_the_resources(topic, resource, request_id):
    found = kp.parse(topic)
    assert (found.resource_path, found.request_id) == (resource, request_id)
    assert resource in epmp.RESOURCES


@pytest.mark.parametrize("name", READERS)
@any_time
@given(value=ANY)
def test_what_the_rfc_takes_is_taken_and_nothing_else(name, value):
    is_valid = validator(name).is_valid(value)
    try:
        READERS[name](json.dumps(value).encode())
    except InvalidInput:
        assert not is_valid
    else:
        assert is_valid


@pytest.mark.parametrize(
    ("payload", "keys"),
    [(b"", None), (b" ", None), (b"{}", None), (b'{"keys": ["a", "b_2"]}', ("a", "b_2")), (b'{"keys":[]}', ())],
)
def test_a_get_asks_for_keys_or_for_all(payload, keys):
    assert epmp.read_get(payload) == keys


@given(st.dictionaries(KEY, JSON, min_size=1, max_size=5))
@few
def test_an_update_gives_the_values_as_they_were_written(values):
    for text in (json.dumps(values), json.dumps(values, ensure_ascii=False, indent=2)):
        try:
            payload = text.encode()
        except UnicodeEncodeError:
            continue
        found = epmp.read_update(payload)
        assert {key: json.loads(text) for key, text in found.items()} == values
        assert all(text in payload for text in found.values())


def test_a_deletion_names_keys():
    assert epmp.read_delete(b'["a", "b"]') == ("a", "b")


@given(st.dictionaries(KEY, JSON, max_size=5))
@few
def test_the_answers_are_those_of_the_rfc(values):
    whole = epmp.metadata({key: json.dumps(value).encode() for key, value in values.items()})
    assert json.loads(whole) == values
    assert json.loads(epmp.keys(values)) == list(values)
    assert validator("get-metadata-response").is_valid(json.loads(whole))
    assert validator("get-metadata-keys-response").is_valid(json.loads(epmp.keys(values)))


def test_what_is_kept_is_taken_apart_with_the_digits_it_has():
    assert epmp.read_metadata(b'{"a": 1.50, "b c": {"d": [1 ,2]}}') == {"a": b"1.50", "b c": b'{"d": [1 ,2]}'}
    assert epmp.read_metadata(None) == {}


def test_a_key_that_devices_cannot_name_is_none():
    assert [epmp.is_key(name) for name in ("a", "A_9", "", "a b", "a-b", "ä", "a\n", "k" * 129)] == [True] * 2 + [
        False
    ] * 6


@pytest.mark.parametrize("depth", [epmp.MAX_DEPTH, epmp.MAX_DEPTH + 1])
def test_values_are_nested_to_a_limit(depth):
    payload = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
    if depth <= epmp.MAX_DEPTH:
        assert epmp.read_update(payload)
    else:
        with pytest.raises(InvalidInput):
            epmp.read_update(payload)


@pytest.mark.parametrize(
    ("read", "payload"),
    [
        (epmp.read_update, b'{"a":"' + b"x" * epmp.MAX_BYTES + b'"}'),
        (epmp.read_get, json.dumps({"keys": [f"k{n}" for n in range(epmp.MAX_KEYS + 1)]}).encode()),
        (epmp.read_delete, json.dumps([f"k{n}" for n in range(epmp.MAX_KEYS + 1)]).encode()),
    ],
)
def test_more_than_is_taken_is_too_large(read, payload):
    with pytest.raises(TooLarge):
        read(payload)


@pytest.mark.parametrize("name", READERS)
@few
@given(junk=st.binary(max_size=60))
def test_any_bytes_are_a_request_or_refused(name, junk):
    with suppress(Refusal):
        READERS[name](junk)
