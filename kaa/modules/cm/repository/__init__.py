"""CM's tables."""

from .clients import ClientRepository
from .tokens import Event, TokenRepository

__all__ = ["ClientRepository", "Event", "TokenRepository"]
