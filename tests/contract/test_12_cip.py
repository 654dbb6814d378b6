"""12/CIP: commands on their way from any caller to the agent that delivers them."""

import pytest
from contracts import (
    assert_same_schema,
    defaults,
    fingerprint,
    spelled,
)

from kaa.core.messages import decode, encode
from kaa.protocols.cip import (
    CommandInvocationRequest,
    CommandInvocationResult,
    command_result,
    invoke_command,
)

KINDS = [CommandInvocationRequest, CommandInvocationResult]


@pytest.mark.parametrize(
    ("kind", "sha256"),
    [
        (CommandInvocationRequest, "3f46c27798d71c67fb464072713f5e0c3847c7bf5ec5729141b770897bdcf9cf"),
        (CommandInvocationResult, "f56b1b700947d69a4ab6004f5b7cd1134e2aa04eb9b7a13e1ce505e545e9e809"),
    ],
)
def test_the_schema_has_the_fingerprint_of_the_rfc(kind, sha256):
    assert fingerprint(kind) == sha256


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (CommandInvocationRequest, "request"),
        (CommandInvocationResult, "result"),
    ],
)
def test_the_whole_schema_is_that_of_the_rfc(kind, name):
    assert_same_schema(kind, f"0012-command-invocation-{name}.avsc")


def test_the_defaults():
    assert [defaults(kind) for kind in KINDS] == [
        {"timeout": 0, "payload": None},
        {"timeout": 0, "reasonPhrase": None, "payload": None},
    ]


def test_the_subjects():
    assert spelled(invoke_command("cex")) == (
        "kaa.v1.service.cex.cip.command-request",
        CommandInvocationRequest,
        CommandInvocationResult,
        "cip.command-result",
    )
    assert spelled(command_result("rci-01")) == (
        "kaa.v1.replica.rci-01.cip.command-result",
        CommandInvocationResult,
        None,
    )


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (
            CommandInvocationRequest(
                correlation_id="c1", timestamp_ms=1, endpoint_id="e", command_type="t", command_id=1 << 30
            ),
            b"\x04c1\x02\x00\x02e\x02t\x80\x80\x80\x80\x08\x00",
        ),
        (
            CommandInvocationRequest(
                correlation_id="c1",
                timestamp_ms=1,
                timeout_ms=64,
                endpoint_id="e",
                command_type="t",
                command_id=1,
                payload=b"{}",
            ),
            b"\x04c1\x02\x80\x01\x02e\x02t\x02\x02\x04{}",
        ),
        (
            CommandInvocationResult(
                correlation_id="c1",
                timestamp_ms=1,
                app_version_name="v",
                endpoint_id="e",
                command_type="t",
                command_id=1,
                status_code=200,
                payload=b"1",
            ),
            b"\x04c1\x02\x00\x02v\x02e\x02t\x02\x90\x03\x00\x02\x021",
        ),
        (
            CommandInvocationResult(
                correlation_id="c1",
                timestamp_ms=1,
                app_version_name="",
                endpoint_id="e",
                command_type="t",
                command_id=1,
                status_code=404,
                reason_phrase="no",
            ),
            b"\x04c1\x02\x00\x00\x02e\x02t\x02\xa8\x06\x02\x04no\x00",
        ),
    ],
)
def test_the_bytes_are_those_of_the_avro_specification(message, data):
    assert encode(message) == data
    assert decode(type(message), data) == message
