"""Configuration: a YAML file, the environment and flags become frozen models, or sentences that say what is wrong."""

from .explain import DEFAULT, Explained, explain
from .source import ALLOWED_VARIABLES, Source, load
from .units import DoorPort, Duration, Port, Settings, Size, defaults, validate_written, validate_written_json

__all__ = [
    "ALLOWED_VARIABLES",
    "DEFAULT",
    "DoorPort",
    "Duration",
    "Explained",
    "Port",
    "Settings",
    "Size",
    "Source",
    "defaults",
    "explain",
    "load",
    "validate_written",
    "validate_written_json",
]
