"""What EPR tells, as messages with their subjects."""

from collections.abc import Sequence
from typing import Any

from kaa.core.clock import Clock
from kaa.core.ids import Ids
from kaa.core.subjects import Subject
from kaa.protocols import elce, eme, eprmp
from kaa.protocols.names import AppVersionName, EndpointId

from .metadata import Difference, text_of
from .models import Endpoint, Moved

Event = tuple[Subject[Any], Any]


class Events:
    """Makes the events of one instance."""

    def __init__(self, name: str, *, replica: str, clock: Clock, ids: Ids) -> None:
        self._replica, self._clock, self._ids = replica, clock, ids
        self._registered, self._unregistered = elce.registered(name), elce.unregistered(name)
        self._moved, self._changed = elce.app_version_updated(name), eme.metadata_updated(name)
        self._related = eprmp.relations_updated(name)

    def registered(self, endpoint_id: EndpointId, version: AppVersionName) -> Event:
        """Tell that an endpoint has come to be."""
        return self._registered, self._of(elce.RegisteredEvent, endpoint_id, version)

    def unregistered(self, endpoint_id: EndpointId, version: AppVersionName) -> Event:
        """Tell that an endpoint is no more, or that an id has been given back."""
        return self._unregistered, self._of(elce.UnregisteredEvent, endpoint_id, version)

    def moved(self, moved: Moved) -> Event:
        """Tell that an endpoint has moved to another version."""
        previous = moved.previous
        message = self._of(elce.AppVersionUpdatedEvent, moved.id, moved.app_version, previous_app_version_name=previous)
        return self._moved, message

    def metadata_updated(self, after: Endpoint, change: Difference) -> Event:
        """Tell that an endpoint's metadata has changed."""
        message = self._of(
            eme.MetadataUpdatedEvent,
            after.id,
            after.app_version,
            removed={key: _text(value) for key, value in change.removed.items()},
            added={key: _text(value) for key, value in change.added.items()},
            updated={
                key: eme.MetadataKeyUpdatedDto(new_value=_text(new), old_value=_text(old))
                for key, (old, new) in change.updated.items()
            },
        )
        return self._changed, message

    def relations_updated(self, endpoint_ids: Sequence[EndpointId]) -> Event:
        """Tell that relations of these endpoints have changed."""
        message = eprmp.EndpointRelationsUpdated(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            endpoint_ids=tuple(endpoint_ids),
        )
        return self._related, message

    def _of(self, kind: type[Any], endpoint_id: EndpointId, version: AppVersionName, **more: Any) -> Any:
        return kind(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            app_version_name=version,
            endpoint_id=endpoint_id,
            originator_replica_id=self._replica,
            **more,
        )


def _text(value: Any) -> str | None:
    # 15/EME: the null of Avro is the null of JSON
    return None if value is None else text_of(value)
