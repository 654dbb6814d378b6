"""9/ELCE: events of an endpoint's life and of its connectivity."""

import pytest
from contracts import (
    assert_same_schema,
    defaults,
    fingerprint,
    spelled,
)

from kaa.core.messages import decode, encode
from kaa.protocols import elce
from kaa.protocols.x_outbox import EventProcessed

KINDS = [
    elce.RegisteredEvent,
    elce.UnregisteredEvent,
    elce.AppVersionUpdatedEvent,
    elce.ConnectedEvent,
    elce.DisconnectedEvent,
    elce.TrafficReportEvent,
]


@pytest.mark.parametrize(
    ("kind", "sha256"),
    [
        (elce.AppVersionUpdatedEvent, "3de4a81fbe79500fe663ed38580b17626f315614310f9c1450710fbb78d39fd8"),
        (elce.ConnectedEvent, "67fa7f66e60558a9039e8eb88f6228a346d2eca7853147cee7f6b8a8b01972f8"),
        (elce.DisconnectedEvent, "7f5142df859b9eb39da44fb495cc8f32aae406d518e8c1ace6e3cd552ad57abb"),
        (elce.RegisteredEvent, "6ec173b1e1973eb7915d4b22965f7c20075bcf22fc16cd3215b4c20112a0a43a"),
        (elce.TrafficReportEvent, "4985a5e9dcd47b13d637a656c5ff8297c33dc9f0b962a6905e6ffb7de1aaceb0"),
        (elce.UnregisteredEvent, "4fcdfb867dbf5864c758b9a9ea6bb9327be4b3b525d20343700eaf8a1832afa7"),
    ],
)
def test_the_schema_has_the_fingerprint_of_the_rfc(kind, sha256):
    assert fingerprint(kind) == sha256


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (elce.AppVersionUpdatedEvent, "appversion-updated"),
        (elce.ConnectedEvent, "connected"),
        (elce.DisconnectedEvent, "disconnected"),
        (elce.RegisteredEvent, "registered"),
        (elce.TrafficReportEvent, "traffic-stats"),
        (elce.UnregisteredEvent, "unregistered"),
    ],
)
def test_the_whole_schema_is_that_of_the_rfc(kind, name):
    assert_same_schema(kind, f"0009-ep-{name}.avsc")


def test_the_defaults():
    assert {kind: defaults(kind) for kind in KINDS} == {kind: {"timeout": 0} for kind in KINDS}
    assert defaults(elce.TrafficStat) == {
        "totalReceivedPayload": 0,
        "totalSentPayload": 0,
        "totalReceivedMessageCount": 0,
        "totalSentMessageCount": 0,
    }


def test_the_subjects():
    lifecycle, connectivity = "kaa.v1.events.epr.endpoint.lifecycle", "kaa.v1.events.kpc.endpoint.connectivity"
    assert [
        spelled(subject)
        for subject in (
            elce.registered("epr"),
            elce.unregistered("epr"),
            elce.app_version_updated("epr"),
            elce.connected("kpc"),
            elce.disconnected("kpc"),
            elce.traffic_report("kpc"),
        )
    ] == [
        (f"{lifecycle}.registered", elce.RegisteredEvent, EventProcessed),
        (f"{lifecycle}.unregistered", elce.UnregisteredEvent, EventProcessed),
        (f"{lifecycle}.appversion-updated", elce.AppVersionUpdatedEvent, EventProcessed),
        (f"{connectivity}.connected", elce.ConnectedEvent, None),
        (f"{connectivity}.disconnected", elce.DisconnectedEvent, None),
        ("kaa.v1.events.kpc.endpoint.traffic-reporting.payload", elce.TrafficReportEvent, None),
    ]
    assert str(elce.connected()) == "kaa.v1.events.*.endpoint.connectivity.connected"


REGISTERED = (
    elce.RegisteredEvent(
        correlation_id="c1", timestamp_ms=1, app_version_name="v", endpoint_id="e", originator_replica_id="r1"
    ),
    b"\x04c1\x02\x00\x02v\x02e\x04r1",
)
MOVED = (
    elce.AppVersionUpdatedEvent(
        correlation_id="c1",
        timestamp_ms=1,
        app_version_name="v2",
        previous_app_version_name="v1",
        endpoint_id="e",
        originator_replica_id="r1",
    ),
    b"\x04c1\x02\x00\x04v2\x04v1\x02e\x04r1",
)
CONNECTED = (
    elce.ConnectedEvent(
        correlation_id="c1", timestamp_ms=1, endpoints={"e1": "v1", "e2": "v2"}, originator_replica_id="r1"
    ),
    (
        b"\x04c1\x02\x00"
        b"\x04\x04e1\x04v1\x04e2\x04v2\x00"  # a map: a block of two, then the end
        b"\x04r1"
    ),
)
GONE = (
    elce.DisconnectedEvent(correlation_id="c", timestamp_ms=0, endpoints={}, originator_replica_id=""),
    b"\x02c\x00\x00\x00\x00",
)
TRAFFIC = (
    elce.TrafficReportEvent(
        tenant_traffic_stats={"kaa": {"home": {"e": elce.TrafficStat(total_received_payload=1, total_sent_payload=2)}}},
        time_from_ns=3,
        time_to_ns=4,
        correlation_id="c",
        originator_replica_id="r",
        timestamp_ms=5,
    ),
    b"\x02\x06kaa\x02\x08home\x02\x02e\x02\x04\x00\x00\x00\x00\x00\x06\x08\x02c\x02r\x0a\x00",
)


@pytest.mark.parametrize(("message", "data"), [REGISTERED, MOVED, CONNECTED, GONE, TRAFFIC])
def test_the_bytes_are_those_of_the_avro_specification(message, data):
    assert encode(message) == data
    assert decode(type(message), data) == message


def test_a_map_may_come_in_several_blocks_and_with_their_sizes():
    # a negative count is followed by the size of the block in bytes
    data = b"\x04c1\x02\x00\x02\x04e1\x04v1\x01\x0c\x04e2\x04v2\x00\x04r1"
    assert decode(elce.ConnectedEvent, data) == CONNECTED[0]
