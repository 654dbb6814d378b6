"""What is told of filters (18/EFE), as messages with their subjects."""

from typing import Any, Protocol

from kaa.core.clock import Clock
from kaa.core.ids import Ids
from kaa.protocols import efe
from kaa.protocols.names import ApplicationName, FilterId

from ..events import Event
from ..models import Endpoint


class Named(Protocol):
    """A filter, as far as its events name it."""

    @property
    def id(self) -> FilterId:
        """Its id."""

    @property
    def application(self) -> ApplicationName:
        """Whose endpoints it chooses from."""

    @property
    def name(self) -> str | None:
        """Its name, if it has one."""


class Telling:
    """Makes the events of one instance."""

    def __init__(self, name: str, *, replica: str, clock: Clock, ids: Ids) -> None:
        self._name, self._replica, self._clock, self._ids = name, replica, clock, ids

    def pending(self, filter_: Named) -> Event:
        """Tell that a filter is new, or has another query."""
        subject = efe.filter_pending(filter_.id, originator=self._name)
        return subject, self._of(efe.EndpointFilterPendingEvent, filter_)

    def activated(self, filter_: Named) -> Event:
        """Tell that it is known who matches."""
        subject = efe.filter_activated(filter_.id, originator=self._name)
        return subject, self._of(efe.EndpointFilterActivatedEvent, filter_)

    def deleted(self, filter_: Named) -> Event:
        """Tell that a filter is no more."""
        subject = efe.filter_deleted(filter_.id, originator=self._name)
        return subject, self._of(efe.EndpointFilterDeletedEvent, filter_)

    def matched(self, filter_: Named, endpoint: Endpoint) -> Event:
        """Tell that an endpoint has come to match."""
        subject = efe.endpoint_matched(filter_.id, originator=self._name)
        return subject, self._of(efe.EndpointMatchedFilterEvent, filter_, **_whose(endpoint))

    def unmatched(self, filter_: Named, endpoint: Endpoint) -> Event:
        """Tell that an endpoint matches no longer, or is no more."""
        subject = efe.endpoint_unmatched(filter_.id, originator=self._name)
        return subject, self._of(efe.EndpointUnmatchedFilterEvent, filter_, **_whose(endpoint))

    def _of(self, kind: type[Any], filter_: Named, **more: Any) -> Any:
        return kind(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            originator_replica_id=self._replica,
            filter_id=filter_.id,
            application_name=filter_.application,
            filter_name=filter_.name,
            **more,
        )


def _whose(endpoint: Endpoint) -> dict[str, Any]:
    return {"endpoint_id": endpoint.id, "app_version_name": endpoint.app_version}
