"""The rules of ECR."""

from .configurations import Configurations
from .delivery import Delivery
from .filters import Filters
from .register import Register
from .rollouts import Rollouts
from .system import SystemConfigurations

__all__ = ["Configurations", "Delivery", "Filters", "Register", "Rollouts", "SystemConfigurations"]
