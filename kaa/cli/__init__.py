"""The commands: `serve` runs a server, the others ask one that runs."""

from .commands import cli, main

__all__ = ["cli", "main"]
