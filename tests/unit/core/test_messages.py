"""Messages: one declaration gives type, schema and bytes."""

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, NewType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.core.errors import ProtocolError
from kaa.core.messages import Int, Long, Scalar, Wire, answer, decode, encode, frozen, message, schema, wire_names

Name = NewType("Name", str)


@message("org.kaa.test")
class Point:
    x: Long
    label: None | str = None


@message("org.kaa.test")
class Spot:
    x: Long


@message("org.kaa.test")
class Stat:
    count: Long


@message("org.kaa.test", name="all_of_it")
class Everything:
    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    time_from_ns: Long
    tenant_id: Annotated[None | str, Wire("tenantID")] = None
    name: Name
    is_good: bool
    share: float
    payload: bytes
    count: Int
    text_first: str | None
    points: tuple[Point, ...] = ()
    one: Spot
    by_name: Mapping[str, Mapping[str, Stat]]
    values: Mapping[str, Scalar]


@message("org.kaa.test")
class Request:
    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    app_name: str
    secret: str


@message("org.kaa.test")
class Reply:
    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    app_name: str
    endpoint_id: str | None
    payload: bytes | None
    things: tuple[str, ...]
    by_name: Mapping[str, str]
    count: Long
    is_it: bool
    receiver_service_instance_name: str
    status_code: Int
    reason_phrase: None | str = None


def everything(**changes: Any) -> Everything:
    fields = {
        "correlation_id": "c1",
        "timestamp_ms": 1,
        "time_from_ns": 2,
        "name": Name("n"),
        "is_good": True,
        "share": 0.5,
        "payload": b"\0\xff",
        "count": 3,
        "text_first": None,
        "points": (Point(x=1), Point(x=2, label="b")),
        "one": Spot(x=-1),
        "by_name": {"a": {"b": Stat(count=4)}},
        "values": {"t": True, "i": 1, "l": 2**40, "f": 0.1, "s": "x", "b": b"y", "n": None},
    }
    return Everything(**(fields | changes))


def test_wire_names_are_camel_case_without_the_unit_unless_it_is_said_otherwise() -> None:
    names = wire_names(Everything)
    assert [names[name] for name in ("correlation_id", "timestamp_ms", "time_from_ns", "tenant_id", "is_good")] == [
        "correlationId",
        "timestamp",
        "timeFrom",
        "tenantID",
        "isGood",
    ]


def test_the_schema_has_the_types_the_order_of_unions_and_the_defaults_of_the_declaration() -> None:
    made = schema(Everything)
    fields = {field["name"]: field for field in made["fields"]}
    assert (made["namespace"], made["name"], made["type"]) == ("org.kaa.test", "all_of_it", "record")
    assert [field["name"] for field in made["fields"]] == list(wire_names(Everything).values())
    assert fields["timestamp"] == {"name": "timestamp", "type": "long"}
    assert fields["timeout"] == {"name": "timeout", "type": "long", "default": 0}
    assert fields["tenantID"] == {"name": "tenantID", "type": ["null", "string"], "default": None}
    assert fields["textFirst"] == {"name": "textFirst", "type": ["string", "null"]}
    assert fields["count"]["type"] == "int"
    assert fields["points"] == {"name": "points", "type": {"type": "array", "items": schema(Point)}, "default": []}
    assert fields["byName"]["type"]["values"]["values"] == schema(Stat)


def test_bytes_are_one_bare_avro_datum() -> None:
    # long 1 is zigzag 2; the second branch of ["null", "string"] is 1, zigzag 2; a length of 1 is 2
    assert encode(Point(x=1)) == b"\x02\x00"
    assert encode(Point(x=1, label="a")) == b"\x02\x02\x02a"


def test_what_is_encoded_is_decoded_again() -> None:
    assert decode(Everything, encode(everything())) == everything()


@given(
    st.builds(
        everything,
        points=st.lists(st.builds(Point, x=st.integers(-(2**63), 2**63 - 1), label=st.none() | st.text())).map(tuple),
        text_first=st.none() | st.text(),
        payload=st.binary(),
        count=st.integers(-(2**31), 2**31 - 1),
        values=st.dictionaries(
            st.text(),
            st.none()
            | st.booleans()
            | st.integers(-(2**63), 2**63 - 1)
            | st.floats(allow_nan=False)
            | st.text()
            | st.binary(),
        ),
    )
)
def test_it_is_so_whatever_the_values(made: Everything) -> None:
    found = decode(Everything, encode(made))
    assert found == made
    assert [type(value) for value in found.values.values()] == [type(value) for value in made.values.values()]


@given(st.binary())
def test_any_bytes_give_a_message_or_a_protocol_error(data: bytes) -> None:
    with suppress(ProtocolError):
        assert isinstance(decode(Everything, data), Everything)


def test_bytes_that_are_left_over_are_an_error() -> None:
    with pytest.raises(ProtocolError):
        decode(Point, encode(Point(x=1)) + b"\0")
    with pytest.raises(ProtocolError):
        decode(Point, encode(Point(x=1))[:-1])


def test_a_plain_message_is_slotted_and_takes_its_fields_by_name_only() -> None:
    with pytest.raises(AttributeError):
        Point(x=1).y = 2  # type: ignore[attr-defined, misc]
    with pytest.raises(TypeError):
        Point(1)  # type: ignore[misc]


def test_a_frozen_one_refuses_every_change_all_the_way_down() -> None:
    made = decode(Everything, encode(everything()), is_frozen=True)
    assert isinstance(made, Everything)
    for part in (made, made.one, made.points[0], made.by_name["a"]["b"]):
        name = dataclasses.fields(part)[0].name  # type: ignore[arg-type]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, name, "other")
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(part, name)


def test_frozen_or_not_the_same_values_are_equal_and_the_same_bytes() -> None:
    made = decode(Everything, encode(everything()), is_frozen=True)
    assert made == everything()
    assert everything() == made
    assert made != everything(count=4)
    assert encode(made) == encode(everything())
    assert frozen(Point) is frozen(Point)


def test_a_refusal_repeats_what_request_and_reply_have_in_common_and_leaves_the_rest_empty() -> None:
    request = Request(correlation_id="c1", timestamp_ms=5, timeout_ms=9, app_name="home", secret="s")
    assert answer(Reply, request, status_code=404, reason="no", at_ms=7, by="cm") == Reply(
        correlation_id="c1",
        timestamp_ms=7,
        timeout_ms=0,
        app_name="home",
        endpoint_id=None,
        payload=None,
        things=(),
        by_name={},
        count=0,
        is_it=False,
        receiver_service_instance_name="cm",
        status_code=404,
        reason_phrase="no",
    )


@message("org.kaa.test")
class Inner:
    x: str


@message("org.kaa.test")
class Outer:
    correlation_id: str
    timestamp_ms: Long
    one: None | Inner
    many: tuple[Inner, ...]


def test_a_record_may_occur_twice_in_a_message_and_be_absent() -> None:
    whole = Outer(correlation_id="c", timestamp_ms=1, one=Inner(x="a"), many=(Inner(x="b"), Inner(x="c")))
    empty = Outer(correlation_id="c", timestamp_ms=1, one=None, many=())
    assert decode(Outer, encode(whole)) == whole
    assert decode(Outer, encode(empty)) == empty
