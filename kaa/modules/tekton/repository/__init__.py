"""Tekton's tables, and every statement on them."""

from .applications import CatalogueRepository
from .loading import LoadingRepository
from .settings import SettingsRepository
from .writing import Event

__all__ = ["CatalogueRepository", "Event", "LoadingRepository", "SettingsRepository"]
