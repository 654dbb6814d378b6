"""CM over HTTP."""

from .clients import client_routes
from .tokens import token_routes

__all__ = ["client_routes", "token_routes"]
