"""18/EFE: endpoint filter events."""

import pytest
from contracts import (
    assert_same_schema,
    defaults,
    fingerprint,
    spelled,
)

from kaa.core.messages import decode, encode
from kaa.protocols.efe import (
    EndpointFilterActivatedEvent,
    EndpointFilterDeletedEvent,
    EndpointFilterPendingEvent,
    EndpointMatchedFilterEvent,
    EndpointUnmatchedFilterEvent,
    endpoint_matched,
    endpoint_unmatched,
    filter_activated,
    filter_deleted,
    filter_pending,
)
from kaa.protocols.x_outbox import EventProcessed

OF_FILTERS = [EndpointFilterActivatedEvent, EndpointFilterDeletedEvent, EndpointFilterPendingEvent]
OF_ENDPOINTS = [EndpointMatchedFilterEvent, EndpointUnmatchedFilterEvent]
KINDS = [*OF_FILTERS, *OF_ENDPOINTS]


@pytest.mark.parametrize(
    ("kind", "sha256"),
    [
        (EndpointFilterActivatedEvent, "b5d9022886c02f42db311c7e4598bcbc8b0a19a782a2c070d0620ad7028d8c4b"),
        (EndpointFilterDeletedEvent, "580ea444aa07458d1562930610f1a9c44781a741c1d37a5dcb3a926fa15a17ca"),
        (EndpointFilterPendingEvent, "efb2bc616095869ac42a310d0820f7bad21d1c6f8c00355b9fb0bdd604e5575b"),
        (EndpointMatchedFilterEvent, "618398b5f2415f4c8ec2c100ff6e59e36745cbf3cdb2634d266b4bb597ce4017"),
        (EndpointUnmatchedFilterEvent, "71820d83ae4e905332f292caba8f921af4b998cf53a1b04b6f5163b695112e9b"),
    ],
)
def test_the_schema_has_the_fingerprint_of_the_rfc(kind, sha256):
    assert fingerprint(kind) == sha256


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (EndpointFilterActivatedEvent, "activated"),
        (EndpointFilterDeletedEvent, "deleted"),
        (EndpointFilterPendingEvent, "pending"),
        (EndpointMatchedFilterEvent, "ep-matched"),
        (EndpointUnmatchedFilterEvent, "ep-unmatched"),
    ],
)
def test_the_whole_schema_is_that_of_the_rfc(kind, name):
    assert_same_schema(kind, f"0018-epf-{name}.avsc")


def test_the_defaults():
    assert [defaults(kind) for kind in KINDS] == [{"timeout": 0}] * len(KINDS)


@pytest.mark.parametrize(
    ("subject", "kind", "name"),
    [
        (filter_pending, EndpointFilterPendingEvent, "pending"),
        (filter_activated, EndpointFilterActivatedEvent, "activated"),
        (filter_deleted, EndpointFilterDeletedEvent, "deleted"),
        (endpoint_matched, EndpointMatchedFilterEvent, "ep-matched"),
        (endpoint_unmatched, EndpointUnmatchedFilterEvent, "ep-unmatched"),
    ],
)
def test_the_subjects(subject, kind, name):
    """Which filter it is stands in the subject, so that a listener hears of those that he wants."""
    assert spelled(subject("f1", originator="epr")) == (
        f"kaa.v1.events.epr.endpoint-filter.f1.{name}",
        kind,
        EventProcessed,
    )
    assert str(subject(originator="epr")) == f"kaa.v1.events.epr.endpoint-filter.*.{name}"
    assert str(subject()) == f"kaa.v1.events.*.endpoint-filter.*.{name}"


@pytest.mark.parametrize("kind", OF_FILTERS)
@pytest.mark.parametrize(("name", "tail"), [(None, b"\x00"), ("high", b"\x02\x08high")])
def test_the_bytes_of_what_becomes_of_a_filter(kind, name, tail):
    message = kind(
        correlation_id="c1",
        timestamp_ms=1,
        originator_replica_id="r",
        filter_id="f1",
        application_name="home",
        filter_name=name,
    )
    data = b"\x02\x00\x04c1\x02r\x04f1\x08home" + tail  # the time comes first here, and the correlation id after it
    assert encode(message) == data
    assert decode(kind, data) == message


@pytest.mark.parametrize("kind", OF_ENDPOINTS)
@pytest.mark.parametrize(("name", "middle"), [(None, b"\x00"), ("high", b"\x02\x08high")])
def test_the_bytes_of_what_becomes_of_an_endpoint(kind, name, middle):
    message = kind(
        correlation_id="c1",
        timestamp_ms=1,
        originator_replica_id="r",
        filter_id="f1",
        application_name="home",
        app_version_name="home-v1",
        filter_name=name,
        endpoint_id="e",
    )
    data = b"\x02\x00\x04c1\x02r\x04f1\x08home\x0ehome-v1" + middle + b"\x02e"
    assert encode(message) == data
    assert decode(kind, data) == message
