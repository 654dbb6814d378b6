"""3/ISM: how subjects are spelled, and what every message carries."""

import pytest
from contracts import TEXT, any_time
from hypothesis import given
from hypothesis import strategies as st

from kaa.core.errors import InvalidInput
from kaa.core.messages import schema
from kaa.core.subjects import first_not_token, has_wildcard, is_match, tokens
from kaa.protocols import dstp, ecap, elce, esp, ism, scmp, tstp

TARGETED = [
    esp.ClientData,
    esp.ExtensionData,
    dstp.DataSamplesEvent,
    dstp.DataSamplesProcessed,
    tstp.TimeSeriesEvent,
    tstp.TimeSeriesProcessed,
    ecap.EndpointTokenValidationRequest,
    ecap.EndpointTokenValidationResponse,
    ecap.EndpointTokenStatusTransitionRequest,
    ecap.EndpointTokenStatusTransitionResponse,
]
BROADCAST = [
    elce.RegisteredEvent,
    elce.UnregisteredEvent,
    elce.AppVersionUpdatedEvent,
    elce.ConnectedEvent,
    elce.DisconnectedEvent,
    elce.TrafficReportEvent,
    ecap.EndpointTokenRevokedEvent,
]


def fields(kind):
    return {field["name"]: field["type"] for field in schema(kind)["fields"]}


@pytest.mark.parametrize("kind", [*TARGETED, *BROADCAST])
def test_every_message_carries_correlation_id_timestamp_and_timeout(kind):
    found = fields(kind)
    assert (found["correlationId"], found["timestamp"], found["timeout"]) == ("string", "long", "long")
    assert next(field["default"] for field in schema(kind)["fields"] if field["name"] == "timeout") == 0


@pytest.mark.parametrize("kind", BROADCAST)
def test_a_broadcast_names_the_replica_that_it_comes_from(kind):
    assert fields(kind)["originatorReplicaId"] == "string"


def test_the_events_of_17_scmp_have_no_timeout_as_their_rfc_has_it():
    assert "timeout" not in fields(scmp.BroadcastConfigurationUpdateEvent)
    assert "timeout" not in fields(scmp.ServiceSpecificConfigurationUpdateEvent)
    assert fields(scmp.BroadcastConfigurationUpdateEvent)["originatorReplicaId"] == "string"


def test_a_message_to_an_instance_a_replica_and_to_all():
    data = esp.ClientData
    assert str(ism.to_service(data, "dcx", "esp", "ClientData")) == "kaa.v1.service.dcx.esp.ClientData"
    assert str(ism.to_replica(data, "kpc-1a2b", "esp", "ExtensionData")) == "kaa.v1.replica.kpc-1a2b.esp.ExtensionData"
    assert str(ism.broadcast(data, "kpc", "endpoint", "connectivity", "connected")) == (
        "kaa.v1.events.kpc.endpoint.connectivity.connected"
    )


def test_a_request_knows_its_reply_and_how_the_reply_is_addressed():
    found = ism.request(esp.ClientData, esp.ExtensionData, "cm", "ecap", "ep-token-request", "ep-token-response")
    assert (found.name, found.reply, found.reply_suffix) == (
        "kaa.v1.service.cm.ecap.ep-token-request",
        esp.ExtensionData,
        "ecap.ep-token-response",
    )


@pytest.mark.parametrize("name", ["", "a b", "a.b", "a*", ">", "a>", "a\tb", "a\n"])
def test_a_name_that_would_be_more_or_less_than_one_token_is_refused(name):
    with pytest.raises(InvalidInput):
        ism.to_service(esp.ClientData, name, "esp", "ClientData")
    with pytest.raises(InvalidInput):
        ism.to_replica(esp.ClientData, name, "esp", "ClientData")
    with pytest.raises(InvalidInput):
        ism.broadcast(esp.ClientData, name, "endpoint", "connectivity", "connected")
    with pytest.raises(InvalidInput):
        tstp.data_points_received("epts", name)


@any_time
@given(st.one_of(TEXT, st.sampled_from(["epts", "*", "auto~a", "a.b", "a b", ">"])))
def test_whatever_is_put_in_either_is_one_token_or_refused(name):
    try:
        subject = ism.broadcast(esp.ClientData, name, "x")
    except InvalidInput:
        assert first_not_token([name]) is not None
        return
    assert tokens(subject.name) == ["kaa", "v1", "events", name, "x"]
    if name != "*":
        assert not has_wildcard(subject.name)
    assert is_match("kaa.v1.events.*.x", subject.name) or name == "*"
