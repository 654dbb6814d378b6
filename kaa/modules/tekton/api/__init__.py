"""Tekton over HTTP."""

from .applications import application_routes
from .bulk import bulk_routes
from .instances import instance_routes
from .settings import settings_routes

__all__ = ["application_routes", "bulk_routes", "instance_routes", "settings_routes"]
