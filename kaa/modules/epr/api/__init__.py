"""EPR over HTTP."""

from kaa.core.http import Route

from ..service import Batches, MetadataRegister, Register, Relations
from . import batches, endpoints, metadata, relations, search


def routes(register: Register, values: MetadataRegister, tasks: Batches, related: Relations) -> list[Route]:
    """Give all that can be asked for."""
    return [
        *endpoints.routes(register),
        *search.routes(register),
        *batches.routes(tasks),
        *metadata.routes(values),
        *relations.routes(related),
    ]
