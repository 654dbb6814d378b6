"""4/ESP: between the communication service and the extension services."""

import pytest
from contracts import (
    INT,
    any_time,
    assert_same_schema,
    defaults,
    fingerprint,
    long,
    spelled,
    text,
)
from hypothesis import given

from kaa.core.messages import decode, encode
from kaa.protocols.esp import ClientData, ExtensionData, client_data, extension_data, extension_data_to_replica


@pytest.mark.parametrize(
    ("kind", "sha256"),
    [
        (ClientData, "ce0a4f6cdc9f8cadb612e5db446052fd108777d41f3b891b4ff0ab582584c4c3"),
        (ExtensionData, "14ce06b0ef5f5f639ef0a1eac3dcf91214480a3bdb91702676aa3345690a39a1"),
    ],
)
def test_the_schema_has_the_fingerprint_of_the_rfc(kind, sha256):
    assert fingerprint(kind) == sha256


@pytest.mark.parametrize(("kind", "name"), [(ClientData, "client-data"), (ExtensionData, "extension-data")])
def test_the_whole_schema_is_that_of_the_rfc(kind, name):
    assert_same_schema(kind, f"0004-{name}.avsc")


def test_the_defaults():
    assert defaults(ClientData) == {"timeout": 0, "configName": None}
    assert defaults(ExtensionData) == {"timeout": 0, "reasonPhrase": None}


def test_the_subjects():
    assert spelled(client_data("dcx")) == ("kaa.v1.service.dcx.esp.ClientData", ClientData, ExtensionData)
    assert spelled(extension_data("kpc")) == ("kaa.v1.service.kpc.esp.ExtensionData", ExtensionData, None)
    assert spelled(extension_data_to_replica("kpc-01")) == (
        "kaa.v1.replica.kpc-01.esp.ExtensionData",
        ExtensionData,
        None,
    )


CLIENT_DATA = (
    ClientData(
        correlation_id="c1",
        timestamp_ms=1_764_000_000_000,
        timeout_ms=64,
        app_version_name="home-v1",
        endpoint_id="dev-1",
        resource_path="/json",
        request_id=2_147_483_647,
        payload=b'{"t":1}',
    ),
    (
        b"\x04c1"  # a string: its length, zig-zag, then UTF-8
        b"\x80\xa0\xbf\xe9\xd6\x66"  # 1764000000000 · 2, seven bits a byte, the lowest first
        b"\x80\x01"
        b"\x0ehome-v1"
        b"\x00\x0adev-1"  # string or null: branch 0
        b"\x0a/json"
        b"\x00\xfe\xff\xff\xff\x0f"  # int or null: branch 0
        b'\x0e{"t":1}'
        b"\x00"
    ),  # null or string: branch 0 is null
)
NOBODY = (
    ClientData(
        correlation_id="",
        timestamp_ms=-1,
        app_version_name="v",
        endpoint_id=None,
        resource_path="/",
        request_id=None,
        payload=b"",
        config_name="ü",
    ),
    b"\x00\x01\x00\x02v\x02\x02/\x02\x00\x02\x04\xc3\xbc",
)
EXTENSION_DATA = (
    ExtensionData(
        correlation_id="c1",
        timestamp_ms=1,
        app_version_name="v",
        extension_instance_name="dcx",
        endpoint_id="e",
        resource_path="/json",
        request_id=0,
        payload=None,
        status_code=503,
        reason_phrase="no",
    ),
    b"\x04c1\x02\x00\x00\x02v\x00\x06dcx\x00\x02e\x0a/json\x00\x00\x02\xee\x07\x02\x04no",
)
SILENT = (
    ExtensionData(
        correlation_id="c",
        timestamp_ms=0,
        app_version_name=None,
        extension_instance_name=None,
        endpoint_id=None,
        resource_path="",
        request_id=None,
        payload=b"\x00\xff",
        status_code=200,
    ),
    b"\x02c\x00\x00\x02\x02\x02\x00\x02\x00\x04\x00\xff\x90\x03\x00",
)


@pytest.mark.parametrize(("message", "data"), [CLIENT_DATA, NOBODY, EXTENSION_DATA, SILENT])
def test_the_bytes_are_those_of_the_avro_specification(message, data):
    assert encode(message) == data
    assert decode(type(message), data) == message


@any_time
@given(INT)
def test_the_order_of_a_union_is_that_of_the_rfc(request_id):
    message, _ = NOBODY
    data = encode(message)
    head = b"\x00\x01\x00\x02v\x02\x02/"
    assert data.startswith(head + b"\x02")  # null is branch 1 of requestId
    with_id = head + b"\x00" + long(request_id) + b"\x00\x02" + text("ü")
    assert decode(ClientData, with_id).request_id == request_id
