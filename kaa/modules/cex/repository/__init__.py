"""CEX's tables, and every statement on them."""

from .commands import CommandRepository
from .reading import CommandReader
from .tasks import TaskRepository

__all__ = ["CommandReader", "CommandRepository", "TaskRepository"]
