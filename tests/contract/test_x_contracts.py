"""The contracts of our own: namespace `org.kaa.x_…`, protocol `x-…`, and the common fields of 3/ISM."""

import inspect

import pytest
from contracts import fingerprint, spelled

from kaa.core.messages import decode, encode, schema
from kaa.protocols import x_configurations, x_credentials, x_outbox, x_presence, x_register, x_settings

CONTRACTS = [x_configurations, x_credentials, x_outbox, x_presence, x_register, x_settings]
PARTS = {
    x_configurations.EffectiveConfiguration,
    x_configurations.EndpointVersion,
    x_presence.PresentEndpoint,
    x_credentials.TokenOrder,
    x_credentials.IssuedToken,
    x_register.FoundEndpoint,
    x_register.FoundFilter,
    x_settings.VersionSettings,
    x_settings.ApplicationSettings,
}
"""Records within messages."""
RECORDS = [
    kind
    for contract in CONTRACTS
    for _, kind in inspect.getmembers(contract, inspect.isclass)
    if kind.__module__ == contract.__name__
]
MESSAGES = [kind for kind in RECORDS if kind not in PARTS]


def fields(kind):
    return {field["name"]: (field["type"], field.get("default", "none")) for field in schema(kind)["fields"]}


@pytest.mark.parametrize("kind", RECORDS)
def test_the_namespace_is_ours_and_names_the_contract(kind):
    assert schema(kind)["namespace"] == "org.kaa." + kind.__module__.rsplit(".", 1)[1]


@pytest.mark.parametrize("kind", MESSAGES)
def test_every_message_carries_the_common_fields(kind):
    found = fields(kind)
    assert found["correlationId"] == ("string", "none")
    assert found["timestamp"] == ("long", "none")
    assert found["timeout"] == ("long", 0)


@pytest.mark.parametrize("kind", [kind for kind in MESSAGES if kind.__name__.endswith(("Response", "Processed"))])
def test_every_answer_carries_a_status_and_perhaps_a_sentence(kind):
    found = fields(kind)
    assert found["statusCode"] == ("int", "none")
    assert found["reasonPhrase"] == (["null", "string"], None)


def test_the_subjects():
    assert [
        spelled(subject)
        for subject in (
            x_configurations.effective_configurations("ecr"),
            x_configurations.configuration_names("ecr"),
            x_credentials.issue_tokens("cm"),
            x_presence.presence("kpc"),
            x_presence.connected_endpoints("kpc"),
            x_register.count_endpoints("epr"),
            x_register.find_endpoints("epr"),
            x_register.find_filters("epr"),
            x_settings.settings_of("tekton"),
            x_settings.validate("epts"),
            x_settings.schemas_of("epts"),
        )
    ] == [
        (
            "kaa.v1.service.ecr.x-configurations.effective-request",
            x_configurations.EffectiveRequest,
            x_configurations.EffectiveResponse,
            "x-configurations.effective-response",
        ),
        (
            "kaa.v1.service.ecr.x-configurations.names-request",
            x_configurations.NamesRequest,
            x_configurations.NamesResponse,
            "x-configurations.names-response",
        ),
        (
            "kaa.v1.service.cm.x-credentials.issue-request",
            x_credentials.IssueTokensRequest,
            x_credentials.IssueTokensResponse,
            "x-credentials.issue-response",
        ),
        (
            "kaa.v1.service.kpc.x-presence.presence-request",
            x_presence.PresenceRequest,
            x_presence.PresenceResponse,
            "x-presence.presence-response",
        ),
        (
            "kaa.v1.service.kpc.x-presence.connected-request",
            x_presence.ConnectedRequest,
            x_presence.PresenceResponse,
            "x-presence.connected-response",
        ),
        (
            "kaa.v1.service.epr.x-register.count-request",
            x_register.CountRequest,
            x_register.CountResponse,
            "x-register.count-response",
        ),
        (
            "kaa.v1.service.epr.x-register.find-request",
            x_register.FindRequest,
            x_register.FindResponse,
            "x-register.find-response",
        ),
        (
            "kaa.v1.service.epr.x-register.find-filters-request",
            x_register.FindFiltersRequest,
            x_register.FindFiltersResponse,
            "x-register.find-filters-response",
        ),
        (
            "kaa.v1.service.tekton.x-settings.settings-request",
            x_settings.SettingsRequest,
            x_settings.SettingsResponse,
            "x-settings.settings-response",
        ),
        (
            "kaa.v1.service.epts.x-settings.validation-request",
            x_settings.ValidationRequest,
            x_settings.ValidationResponse,
            "x-settings.validation-response",
        ),
        (
            "kaa.v1.service.epts.x-settings.schema-request",
            x_settings.SchemaRequest,
            x_settings.SchemaResponse,
            "x-settings.schema-response",
        ),
    ]
    assert spelled(x_outbox.event_processed("epr-01")) == (
        "kaa.v1.replica.epr-01.x-outbox.processed",
        x_outbox.EventProcessed,
        None,
    )


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (
            x_outbox.EventProcessed(
                correlation_id="c1", timestamp_ms=1, receiver_service_instance_name="kpc", status_code=200
            ),
            b"\x04c1\x02\x00\x06kpc\x90\x03\x00",
        ),
        (
            x_credentials.IssueTokensRequest(
                correlation_id="c1",
                timestamp_ms=1,
                app_name="home",
                orders=(
                    x_credentials.TokenOrder(endpoint_id="e1"),
                    x_credentials.TokenOrder(endpoint_id="e2", token="T"),
                ),
            ),
            b"\x04c1\x02\x00\x08home\x04\x04e1\x00\x04e2\x02\x02T\x00",
        ),
        (
            x_presence.PresenceResponse(
                correlation_id="c1",
                timestamp_ms=1,
                endpoints=(
                    x_presence.PresentEndpoint(endpoint_id="e1", app_version_name="v", replica_id="r1", since_ms=64),
                ),
                status_code=200,
            ),
            b"\x04c1\x02\x00\x02\x04e1\x02v\x04r1\x80\x01\x00\x90\x03\x00",
        ),
        (
            x_presence.ConnectedRequest(correlation_id="c1", timestamp_ms=1, after="e1"),
            b"\x04c1\x02\x00\x02\x04e1",
        ),
        (
            x_configurations.EffectiveRequest(
                correlation_id="c1",
                timestamp_ms=1,
                endpoints=(
                    x_configurations.EndpointVersion(endpoint_id="e1", app_version_name="v"),
                    x_configurations.EndpointVersion(endpoint_id="e2", app_version_name="v", config_id="i"),
                ),
            ),
            b"\x04c1\x02\x00\x04\x04e1\x02v\x00\x04e2\x02v\x02\x02i\x00",
        ),
        (
            x_configurations.NamesResponse(correlation_id="c1", timestamp_ms=1, names={"i": "n"}, status_code=200),
            b"\x04c1\x02\x00\x02\x02i\x02n\x00\x90\x03\x00",
        ),
        (
            x_register.CountResponse(correlation_id="c1", timestamp_ms=1, count=64, status_code=200),
            b"\x04c1\x02\x00\x80\x01\x90\x03\x00",
        ),
        (
            x_settings.SettingsResponse(
                correlation_id="c1",
                timestamp_ms=1,
                revision=2,
                applications=(
                    x_settings.ApplicationSettings(
                        name="home", settings=b"{}", versions=(x_settings.VersionSettings(name="v"),)
                    ),
                ),
                common_settings=b"[]",
                status_code=200,
            ),
            b"\x04c1\x02\x00\x04\x02\x08home\x02\x04{}\x02\x02v\x00\x00\x00\x02\x04[]\x90\x03\x00",
        ),
    ],
)
def test_the_bytes_are_those_of_the_avro_specification(message, data):
    assert encode(message) == data
    assert decode(type(message), data) == message


def test_each_has_a_schema_of_its_own():
    assert len({fingerprint(kind) for kind in RECORDS}) == len(RECORDS)
