"""What EPR keeps, and what goes with every change of it."""

from .batches import BatchRepository
from .consequences import Consequences, Event, Matching
from .endpoints import EndpointRepository
from .metadata import MetadataRepository
from .registrations import RegistrationRepository
from .relations import RelationRepository
from .search import SearchRepository
from .tables import endpoint_table

__all__ = [
    "BatchRepository",
    "Consequences",
    "EndpointRepository",
    "Event",
    "Matching",
    "MetadataRepository",
    "RegistrationRepository",
    "RelationRepository",
    "SearchRepository",
    "endpoint_table",
]
