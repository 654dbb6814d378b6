"""The rules of EPR."""

from .batches import Batches
from .metadata import MetadataRegister
from .register import Register
from .relations import Relations
from .tokens import TokenOrders

__all__ = ["Batches", "MetadataRegister", "Register", "Relations", "TokenOrders"]
