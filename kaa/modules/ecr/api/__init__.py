"""ECR over HTTP."""

from kaa.core.http import Route

from ..service import Configurations, Filters, SystemConfigurations
from .configurations import configuration_routes
from .filters import filter_routes
from .statuses import status_routes
from .system import system_routes


def routes(
    configurations: Configurations, filters: Filters, system: SystemConfigurations, *, most_bytes: int
) -> list[Route]:
    """Give all that can be asked for."""
    return [
        *configuration_routes(configurations, most_bytes=most_bytes),
        *filter_routes(filters, configurations, most_bytes=most_bytes),
        *status_routes(configurations),
        *system_routes(system, most_bytes=most_bytes),
    ]
