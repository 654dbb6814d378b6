"""What the contract tests share: fingerprints, the RFCs' own files where they lie, messages made up by hypothesis."""

import dataclasses
import importlib
import inspect
import json
import pkgutil
import struct
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import fastavro.schema
import pytest
from hypothesis import settings
from hypothesis import strategies as st

import kaa.protocols
from kaa.core.errors import ProtocolError
from kaa.core.messages import Int, Long, Scalar, decode, encode, frozen, schema
from kaa.core.subjects import RequestSubject, Subject

RFCS = Path(__file__).parents[2].parent / "shared" / "rfcs"
_ABSENT = "the RFCs' files are not beside the project (../shared/rfcs); the fingerprints above hold all the same"

any_time = settings(deadline=None)
"""How long an example takes is the machine's business."""

few = settings(deadline=None, max_examples=30)
"""For what is the same with every message."""

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
LONG = st.integers(-(2**63), 2**63 - 1)
INT = st.integers(-(2**31), 2**31 - 1)


def every_message() -> list[type]:
    """Give the classes of all messages, ours and the RFCs'."""
    names = [module.name for module in pkgutil.iter_modules(kaa.protocols.__path__) if not module.ispkg]
    modules = [importlib.import_module(f"kaa.protocols.{name}") for name in names]
    return [
        kind
        for module in modules
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__ and "correlation_id" in getattr(kind, "__slots__", ())
    ]


def fingerprint(kind: type) -> str:
    """Give the SHA-256 of the schema's parsing canonical form."""
    return fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(schema(kind)), "SHA-256")


def rfc_file(name: str) -> Any:
    """Read a file of the RFCs without its docs; skips the test where they are not."""
    if not RFCS.is_dir():
        pytest.skip(_ABSENT)
    return without_docs(json.loads((RFCS / name).read_bytes()))


def without_docs(found: Any) -> Any:
    """Leave out what says nothing to a machine: docs, and the names of maps, which Avro does not know."""
    if isinstance(found, list):
        return [without_docs(item) for item in found]
    if isinstance(found, dict):
        ignored = {"doc", "name", "namespace"} if found.get("type") == "map" else {"doc"}
        return {key: without_docs(value) for key, value in found.items() if key not in ignored}
    return found


def assert_same_schema(kind: type, name: str) -> None:
    """Hold the declaration against the RFC's file: names, types, order, defaults."""
    assert without_docs(_plain(schema(kind))) == _plain(rfc_file(name))


def _plain(found: Any, namespace: str | None = None) -> Any:
    """Spell a schema one way: the namespace of a record within a record stands there even where it is inherited."""
    if isinstance(found, list):
        return [_plain(item, namespace) for item in found]
    if not isinstance(found, dict):
        return found
    if found.get("type") == "record":
        namespace = found.get("namespace", namespace)
        found = {**found, "namespace": namespace}
    return {key: _plain(value, namespace) for key, value in found.items()}


def defaults(kind: type) -> dict[str, Any]:
    """Give the defaults by the names on the wire."""
    return {field["name"]: field["default"] for field in schema(kind)["fields"] if "default" in field}


def spelled(subject: Subject[Any]) -> tuple[Any, ...]:
    """Take a subject apart: its spelling, its message, its reply, and how the reply's subject ends."""
    if isinstance(subject, RequestSubject):
        return subject.name, subject.message, subject.reply, subject.reply_suffix
    return subject.name, subject.message, subject.reply


def made(kind: type) -> st.SearchStrategy[Any]:
    """Make up messages of a type."""
    hints = get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{field.name: _values(hints[field.name]) for field in dataclasses.fields(kind)})


def _values(hint: Any) -> st.SearchStrategy[Any]:
    if hint == Scalar:
        return st.one_of(st.booleans(), LONG, st.floats(allow_nan=False), TEXT, st.binary(max_size=9), st.none())
    if hint in (Long, Int):
        return LONG if hint == Long else INT
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _values(args[0])
    if origin in (Union, UnionType):
        # `Int | None` loses its annotation within the union's arguments nowhere: each is looked at alone
        return st.one_of([_values(arg) for arg in args])
    if origin is tuple:
        return st.lists(_values(args[0]), max_size=3).map(tuple)
    if origin is Mapping:
        return st.dictionaries(TEXT, _values(args[1]), max_size=3)
    if dataclasses.is_dataclass(hint):
        return made(hint)
    hint = getattr(hint, "__supertype__", hint)
    return {str: TEXT, bytes: st.binary(max_size=20), type(None): st.none(), bool: st.booleans()}[hint]


def assert_round_trip(message: Any) -> None:
    """What goes onto the wire comes back, and its frozen twin is equal and goes there alike."""
    kind = type(message)
    data = encode(message)
    again = decode(kind, data)
    assert again == message
    assert type(again) is kind
    twin = decode(kind, data, is_frozen=True)
    assert twin == message
    assert isinstance(twin, kind)
    assert encode(twin) == encode(again)
    for field in dataclasses.fields(kind):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(twin, field.name, getattr(twin, field.name))
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(twin, field.name)
        found = getattr(twin, field.name)
        assert not isinstance(found, list | bytearray)
        if isinstance(found, Mapping):
            with pytest.raises(TypeError):
                found["new"] = 1
    assert frozen(kind) is type(twin)


def assert_junk_is_refused(kind: type, data: bytes) -> None:
    """Any bytes give a message or a ProtocolError; and a message gives its own bytes again, as far as Avro has one."""
    try:
        found = decode(kind, data)
    except ProtocolError:
        return
    # Avro has more than one spelling of a number (a long may be padded) and of an array: the message is what counts
    assert decode(kind, encode(found)) == found or _has_nan(found)


def _has_nan(message: Any) -> bool:
    return "nan" in repr(message)


# Avro 1.11, "Binary encoding", by hand


def long(number: int) -> bytes:
    """Zig-zag, then seven bits a byte, the lowest first."""
    number = number * 2 if number >= 0 else -number * 2 - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def text(found: str) -> bytes:
    """Its length in bytes, and UTF-8."""
    return long(len(found.encode())) + found.encode()


def double(number: float) -> bytes:
    """Eight bytes, IEEE 754, the lowest first."""
    return struct.pack("<d", number)
