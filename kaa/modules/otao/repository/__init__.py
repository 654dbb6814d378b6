"""OTAO's tables."""

from .endpoints import Change, EndpointRepository
from .rollouts import RolloutRepository
from .software import SoftwareRepository
from .tables import Event

__all__ = ["Change", "EndpointRepository", "Event", "RolloutRepository", "SoftwareRepository"]
