"""The names that pass between services; each a type of its own, so that a token never stands where an id belongs."""

import re
from typing import NewType

from kaa.core.errors import InvalidInput

ApplicationName = NewType("ApplicationName", str)
AppVersionName = NewType("AppVersionName", str)
CredentialsId = NewType("CredentialsId", str)
EndpointId = NewType("EndpointId", str)
EndpointToken = NewType("EndpointToken", str)
TokenId = NewType("TokenId", str)
FilterId = NewType("FilterId", str)
InstanceName = NewType("InstanceName", str)
ReplicaId = NewType("ReplicaId", str)
SeriesName = NewType("SeriesName", str)

TENANT = "kaa"  # the one tenant that there is

APPLICATION_NAME = re.compile(r"[a-z0-9_-]{1,64}")
VERSION_SUFFIX = re.compile(r"[a-z0-9]{1,64}")
APP_VERSION_NAME = re.compile(r"[a-z0-9_-]{1,129}")
ENDPOINT_ID = re.compile(r"[a-zA-Z0-9._~-]{1,128}")
ENDPOINT_TOKEN = re.compile(r"[^+#/.\x00-\x1f\x7f]{1,128}")
METADATA_KEY = re.compile(r"[a-zA-Z0-9_]{1,128}")
SERIES_NAME = re.compile(r"(auto~)?[a-zA-Z0-9_-]{1,128}")
INSTANCE_NAME = re.compile(r"[a-z0-9_-]{1,64}")


def checked(pattern: re.Pattern[str], value: str, *, what: str) -> str:
    """Give the value back if the pattern takes the whole of it, else refuse it by name."""
    if pattern.fullmatch(value) is None:
        raise InvalidInput(f"{what}: {value[:80]!r} does not match ^{pattern.pattern}$")
    return value
