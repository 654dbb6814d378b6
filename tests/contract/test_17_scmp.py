"""17/SCMP: what has changed in the settings of applications."""

import pytest
from contracts import (
    assert_same_schema,
    defaults,
    fingerprint,
    spelled,
)

from kaa.core.messages import decode, encode
from kaa.core.subjects import is_match
from kaa.protocols.scmp import (
    BroadcastConfigurationUpdateEvent,
    ServiceSpecificConfigurationUpdateEvent,
    configuration_changed,
    instance_configuration_changed,
)
from kaa.protocols.x_outbox import EventProcessed


@pytest.mark.parametrize(
    ("kind", "sha256"),
    [
        (BroadcastConfigurationUpdateEvent, "e0a24ff64858a8fcac572b8935ea004975a4989e995bbb475b9f3dddea193ed4"),
        (ServiceSpecificConfigurationUpdateEvent, "549c0ab74354bcffb55860073d40e0b3d16eb487bb2c088edc6ca36005f1cf91"),
    ],
)
def test_the_schema_has_the_fingerprint_of_the_rfc(kind, sha256):
    assert fingerprint(kind) == sha256


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (BroadcastConfigurationUpdateEvent, "broadcast"),
        (ServiceSpecificConfigurationUpdateEvent, "service_specific"),
    ],
)
def test_the_whole_schema_is_that_of_the_rfc(kind, name):
    assert_same_schema(kind, f"0017-{name}_configuration_update.avsc")


def test_the_defaults():
    assert defaults(BroadcastConfigurationUpdateEvent) == {"tenantID": None, "appName": None, "appVerName": None}
    assert defaults(ServiceSpecificConfigurationUpdateEvent) == {"appName": None, "appVerName": None}


def test_the_subjects():
    assert spelled(configuration_changed("tekton", change="upsert")) == (
        "kaa.v1.events.tekton.service.configuration.upsert",
        BroadcastConfigurationUpdateEvent,
        EventProcessed,
    )
    assert spelled(instance_configuration_changed("epts", change="delete")) == (
        "kaa.v1.service.epts.scmp.configuration.delete",
        ServiceSpecificConfigurationUpdateEvent,
        EventProcessed,
    )
    assert str(configuration_changed()) == "kaa.v1.events.*.service.configuration.*"
    assert str(instance_configuration_changed("epts")) == "kaa.v1.service.epts.scmp.configuration.*"
    for change in ("upsert", "delete"):
        told = configuration_changed("tekton", change=change)
        assert is_match(configuration_changed("tekton").name, told.name)
        own = instance_configuration_changed("epts", change=change)
        assert is_match(instance_configuration_changed("epts").name, own.name)


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (
            BroadcastConfigurationUpdateEvent(correlation_id="c1", timestamp_ms=1, originator_replica_id="r"),
            b"\x04c1\x02\x02r\x00\x00\x00",
        ),
        (
            BroadcastConfigurationUpdateEvent(
                correlation_id="c1",
                timestamp_ms=1,
                originator_replica_id="r",
                tenant_id="kaa",
                app_name="home",
                app_ver_name="v",
            ),
            b"\x04c1\x02\x02r\x02\x06kaa\x02\x08home\x02\x02v",
        ),
        (
            ServiceSpecificConfigurationUpdateEvent(
                correlation_id="c1", timestamp_ms=1, tenant_id="kaa", app_name="home"
            ),
            b"\x04c1\x02\x06kaa\x02\x08home\x00",
        ),
    ],
)
def test_the_bytes_are_those_of_the_avro_specification(message, data):
    assert encode(message) == data
    assert decode(type(message), data) == message
