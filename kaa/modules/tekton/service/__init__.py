"""The applications, and what each instance is told about them."""

from .catalogue import Catalogue
from .checking import Documents
from .instances import ServiceInstance, ServiceInstances
from .loading import Loading
from .settings import ApplicationSettings
from .telling import Telling

__all__ = [
    "ApplicationSettings",
    "Catalogue",
    "Documents",
    "Loading",
    "ServiceInstance",
    "ServiceInstances",
    "Telling",
]
