"""The bytes of every message, against vectors that Apache Avro's library made with the RFCs' own schemas.

`golden.json` holds two vectors a message: one with everything filled in, one with as little as there may be. Our own
contracts (x-...) have no schema but our declaration: their vectors hold the bytes as they were when they were made.
"""

import importlib
import io
import json
from pathlib import Path
from typing import Any

import avro.io
import avro.schema
import pytest
from contracts import every_message, rfc_file

from kaa.core.messages import decode, encode, schema, wire_names

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text())


def vectors(kinds: list[dict[str, Any]]) -> list[Any]:
    return [
        pytest.param(kind, vector, id=f"{kind['message']}-{what}")
        for kind in kinds
        for what, vector in zip(("full", "bare"), kind["vectors"], strict=True)
    ]


VECTORS = vectors(GOLDEN)


def message_class(kind: dict[str, Any]) -> type:
    return getattr(importlib.import_module(f"kaa.protocols.{kind['contract']}"), kind["message"])


def plain(value: Any) -> Any:
    """Give a value of JSON what JSON cannot say: bytes."""
    if isinstance(value, dict):
        return bytes.fromhex(value["bytes"]) if set(value) == {"bytes"} else {k: plain(v) for k, v in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def on_the_wire(value: Any) -> Any:
    """Give a message with the names that it has on the wire."""
    if hasattr(type(value), "avro_name"):
        return {wire: on_the_wire(getattr(value, name)) for name, wire in wire_names(type(value)).items()}
    if isinstance(value, dict):
        return {key: on_the_wire(item) for key, item in value.items()}
    return [on_the_wire(item) for item in value] if isinstance(value, tuple) else value


def read(parsed: Any, data: bytes) -> Any:
    source = io.BytesIO(data)
    found = avro.io.DatumReader(parsed).read(avro.io.BinaryDecoder(source))
    assert source.read() == b""
    return found


def test_every_message_has_vectors():
    messages = {(kind.__module__.removeprefix("kaa.protocols."), kind.__name__) for kind in every_message()}
    assert messages == {(kind["contract"], kind["message"]) for kind in GOLDEN}


@pytest.mark.parametrize(("kind", "vector"), VECTORS)
def test_we_read_what_the_vector_says_and_write_its_bytes(kind, vector):
    data = bytes.fromhex(vector["bytes"])
    message = decode(message_class(kind), data)
    assert on_the_wire(message) == plain(vector["value"])
    assert encode(message) == data


@pytest.mark.parametrize(("kind", "vector"), VECTORS)
def test_another_library_reads_what_we_write_with_our_schema(kind, vector):
    cls = message_class(kind)
    message = decode(cls, bytes.fromhex(vector["bytes"]))
    assert read(avro.schema.parse(json.dumps(schema(cls))), encode(message)) == plain(vector["value"])


@pytest.mark.parametrize(("kind", "vector"), vectors([kind for kind in GOLDEN if kind["schema"] is not None]))
def test_another_library_reads_what_we_write_with_the_schema_of_the_rfc(kind, vector):
    written = encode(decode(message_class(kind), bytes.fromhex(vector["bytes"])))
    assert read(avro.schema.parse(json.dumps(rfc_file(kind["schema"]))), written) == plain(vector["value"])
