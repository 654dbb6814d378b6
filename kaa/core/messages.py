"""Messages: one declaration gives the Python type, the Avro schema and the bytes.

    @message("org.kaaproject.ipc.esp.gen.v1")
    class ClientData:
        correlation_id: str
        timestamp_ms: Long
        ...

A message is a fact: nobody changes one that he was handed. The type checker takes every message class as frozen; at
run time it is a plain slotted class (0.3 us to make; a frozen one takes 0.9), and `frozen` gives the subclass that
really refuses to be changed, which the tests' bus hands out.

Wire names are the camel case of the field's name without its unit (`timestamp_ms` -> `timestamp`); a field whose name
on the wire breaks that rule says so with `Wire`. A union's order on the wire is the order of the annotation
(`None | str` is not `str | None`).
"""

import dataclasses
import io
import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import (
    Annotated,
    Any,
    TypeVar,
    Union,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import fastavro

from kaa.core.errors import ProtocolError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_UNITS = ("_ms", "_us", "_ns")
_PRIMITIVES: dict[object, str] = {str: "string", bytes: "bytes", bool: "boolean", float: "double", type(None): "null"}


def _once(work: F) -> F:
    """Remember what has been worked out for a class."""
    return cast("F", cache(work))


@dataclasses.dataclass(frozen=True, slots=True)
class Wire:
    """The wire name of a field whose Python name does not give it."""

    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class AvroType:
    """The Avro type of a field where the Python type leaves it open."""

    schema: Any


Long = Annotated[int, AvroType("long")]
Int = Annotated[int, AvroType("int")]
Scalar = Annotated[
    bool | int | float | str | bytes | None,
    AvroType(["boolean", "int", "long", "float", "double", "string", "bytes", "null"]),
]


@dataclass_transform(frozen_default=True, kw_only_default=True)
def message(namespace: str, *, name: str | None = None) -> Callable[[type[T]], type[T]]:
    """Declare a message, or a record within one.

    Args:
        namespace: the Avro namespace.
        name: the Avro name, where it is not the class's.
    """

    def declare(cls: type[T]) -> type[T]:
        made = dataclasses.dataclass(slots=True, kw_only=True)(cls)
        made.avro_namespace = namespace  # type: ignore[attr-defined]
        made.avro_name = name or cls.__name__  # type: ignore[attr-defined]
        return made

    return declare


def frozen(cls: type[T]) -> type[T]:
    """Give the subclass whose instances cannot be changed."""
    return cast("type[T]", _frozen(cls))


@_once
def _frozen(cls: Any) -> Any:
    def refuse(_self: object, name: str, *_: object) -> None:
        raise dataclasses.FrozenInstanceError(f"a message is a fact: {cls.__name__}.{name} cannot be changed")

    def init(self: object, **values: object) -> None:
        for field in dataclasses.fields(cls):
            object.__setattr__(self, field.name, values[field.name])

    body = {"__slots__": (), "__setattr__": refuse, "__delattr__": refuse, "__init__": init, "__eq__": _equal}
    return type(cls.__name__, (cls,), {**body, "__hash__": None})


def _equal(self: Any, other: object) -> bool:
    if not (isinstance(other, type(self)) or isinstance(self, type(other))):
        return False
    return all(getattr(self, f.name) == getattr(other, f.name) for f in dataclasses.fields(self))


@_once
def wire_names(cls: Any) -> dict[str, str]:
    """Map the Python names of the fields, in order, to those on the wire."""
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: _wire_name(field.name, hints[field.name]) for field in dataclasses.fields(cls)}


def _wire_name(name: str, hint: object) -> str:
    for extra in getattr(hint, "__metadata__", ()):
        if isinstance(extra, Wire):
            return extra.name
    for unit in _UNITS:
        name = name.removesuffix(unit)
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


@_once
def schema(cls: Any) -> dict[str, Any]:
    """Give the Avro schema, as fastavro takes it, with the defaults that the declaration has."""
    hints = get_type_hints(cls, include_extras=True)
    fields = []
    for field in dataclasses.fields(cls):
        entry = {"name": wire_names(cls)[field.name], "type": _avro_type(hints[field.name])}
        if field.default is not dataclasses.MISSING:
            entry["default"] = list(field.default) if isinstance(field.default, tuple) else field.default
        fields.append(entry)
    record = {"type": "record", "namespace": cls.avro_namespace, "name": cls.avro_name, "fields": fields}
    return cast("dict[str, Any]", _named_once(record, set()))


def _named_once(node: Any, seen: set[str]) -> Any:
    """Replace a record that has been written out before by its name, as Avro wants it."""
    if isinstance(node, list):
        return [_named_once(item, seen) for item in node]
    if not isinstance(node, dict):
        return node
    if node["type"] == "record":
        name = f"{node['namespace']}.{node['name']}"
        if name in seen:
            return name
        seen.add(name)
        return {**node, "fields": [{**field, "type": _named_once(field["type"], seen)} for field in node["fields"]]}
    return {key: _named_once(value, seen) if key in {"items", "values"} else value for key, value in node.items()}


def _avro_type(hint: Any) -> Any:
    for extra in getattr(hint, "__metadata__", ()):
        if isinstance(extra, AvroType):
            return extra.schema
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _avro_type(args[0])
    if origin in (Union, types.UnionType):
        return [_avro_type(arg) for arg in args]
    if origin is tuple:
        return {"type": "array", "items": _avro_type(args[0])}
    if origin is Mapping:
        return {"type": "map", "values": _avro_type(args[1])}
    if dataclasses.is_dataclass(hint):
        return schema(cast("type", hint))
    hint = getattr(hint, "__supertype__", hint)
    return _PRIMITIVES[hint]


@_once
def _parsed(cls: Any) -> Any:
    return fastavro.parse_schema(schema(cls))


def encode(value: object) -> bytes:
    """Give the message's bytes on the wire: one bare Avro datum, no header (3/ISM)."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, _parsed(type(value)), _encoder(type(value))(value))
    return out.getvalue()


def decode(cls: type[T], data: bytes, *, is_frozen: bool = False) -> T:
    """Give the message that the bytes stand for; ProtocolError if they stand for none."""
    source = io.BytesIO(data)
    try:
        found = fastavro.schemaless_reader(source, _parsed(cls), None)
        made = _decoder(cls, is_frozen)(found)
    # fastavro, fed with junk, raises what the junk leads it to; to us it is all the same
    except Exception as error:
        raise ProtocolError(f"not a {cls.__name__}: {type(error).__name__}") from error
    if source.read(1):
        raise ProtocolError(f"not a {cls.__name__}: bytes are left over")
    return cast("T", made)


@_once
def _encoder(cls: Any) -> Callable[[Any], dict[str, Any]]:
    if getattr(cls, "__slots__", None) == () and dataclasses.is_dataclass(cls.__mro__[1]):  # a frozen subclass
        return _encoder(cls.__mro__[1])
    hints = get_type_hints(cls, include_extras=True)
    plan = [(name, wire, _value_encoder(hints[name])) for name, wire in wire_names(cls).items()]

    def run(value: Any) -> dict[str, Any]:
        out = {}
        for name, wire, convert in plan:
            found = getattr(value, name)
            out[wire] = found if convert is None else convert(found)
        return out

    return run


def _value_encoder(hint: Any) -> Callable[[Any], Any] | None:
    """Give what makes fastavro's value out of ours; None where they are the same."""
    if hint == Scalar:
        # fastavro takes the first branch that fits, and a float would lose half its digits in "float"
        return lambda value: ("double", value) if type(value) is float else value
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _value_encoder(args[0])
    if origin is tuple:
        return _listing(_value_encoder(args[0]), list)
    if origin is Mapping:
        return _mapping(_value_encoder(args[1])) or dict
    if (record := _optional_record(hint)) is not None:
        encoder = _encoder(record)
        return lambda value: None if value is None else encoder(value)
    return _encoder(hint) if dataclasses.is_dataclass(hint) else None


@_once
def _decoder(cls: Any, is_frozen: bool) -> Callable[[Any], Any]:  # noqa: FBT001  a key of the cache
    hints = get_type_hints(cls, include_extras=True)
    plan = [(name, wire, _value_decoder(hints[name], is_frozen)) for name, wire in wire_names(cls).items()]
    make = frozen(cls) if is_frozen else cls

    def run(found: Any) -> Any:
        return make(**{name: found[wire] if convert is None else convert(found[wire]) for name, wire, convert in plan})

    return run


def _listing(convert: Callable[[Any], Any] | None, kind: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return kind if convert is None else lambda value: kind(map(convert, value))


def _mapping(convert: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
    return None if convert is None else lambda value: {key: convert(item) for key, item in value.items()}


def _optional_record(hint: Any) -> type | None:
    if get_origin(hint) not in (Union, types.UnionType):
        return None
    return next((arg for arg in get_args(hint) if dataclasses.is_dataclass(arg) and isinstance(arg, type)), None)


def _value_decoder(hint: Any, is_frozen: bool) -> Callable[[Any], Any] | None:  # noqa: FBT001  as above
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _value_decoder(args[0], is_frozen)
    if origin is tuple:
        return _listing(_value_decoder(args[0], is_frozen), tuple)
    if origin is Mapping:
        inner = _value_decoder(args[1], is_frozen)
        if is_frozen:
            return lambda value: types.MappingProxyType({k: inner(v) if inner else v for k, v in value.items()})
        return (lambda value: {key: inner(item) for key, item in value.items()}) if inner else None
    if (record := _optional_record(hint)) is not None:
        decoder = _decoder(record, is_frozen)
        return lambda value: None if value is None else decoder(value)
    return _decoder(hint, is_frozen) if dataclasses.is_dataclass(hint) else None


def answer(reply: type[T], to: Any, *, status_code: int, reason: str | None, at_ms: int, by: str) -> T:
    """Make the reply that says no: what the request and the reply have in common is copied, the rest is empty.

    Args:
        reply: the type of the reply.
        to: the request.
        status_code: an HTTP status.
        reason: the sentence for the one who asked.
        at_ms: the time now.
        by: the name of the instance that answers.
    """
    values: dict[str, Any] = {}
    hints = get_type_hints(reply, include_extras=True)
    for field in dataclasses.fields(reply):  # type: ignore[arg-type]
        if hasattr(to, field.name):
            values[field.name] = getattr(to, field.name)
        elif field.default is dataclasses.MISSING:
            values[field.name] = _empty(hints[field.name])
    told = {"timestamp_ms": at_ms, "timeout_ms": 0, "status_code": status_code, "reason_phrase": reason}
    values |= {name: value for name, value in told.items() if name in hints}
    if "payload" in values:
        values["payload"] = None
    if "receiver_service_instance_name" in values:
        values["receiver_service_instance_name"] = by
    return reply(**values)


def _empty(hint: Any) -> Any:
    kind = _avro_type(hint)
    if isinstance(kind, list):
        return None if "null" in kind else _empty(get_args(hint)[0])
    if isinstance(kind, dict):
        return () if kind["type"] == "array" else {}
    return {"string": "", "bytes": b"", "boolean": False, "double": 0.0}.get(kind, 0)
