"""ECR's tables, and every statement on them."""

from .configurations import ConfigurationRepository
from .delivery import DeliveryRepository
from .filters import FilterRepository
from .statuses import StatusRepository
from .system import SystemRepository

__all__ = [
    "ConfigurationRepository",
    "DeliveryRepository",
    "FilterRepository",
    "StatusRepository",
    "SystemRepository",
]
