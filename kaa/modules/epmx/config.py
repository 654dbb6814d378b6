"""What an operator may set, and what an application version may."""

from collections.abc import Mapping

from pydantic import Field, field_validator

from kaa.core.config import Duration, Settings
from kaa.protocols import epmp


class EpmxConfig(Settings):
    """Settings of an EPMX instance.

    `register` names the instance that keeps the metadata; `request-timeout` is how long a message may take in all, and
    stays below KPC's.
    """

    register_: str = Field("epr", alias="register")
    request_timeout: Duration = Field(9_000, ge=100)


class KeySettings(Settings):
    """What devices may do with a key, besides reading it."""

    write_enabled: bool = True


class EpmxSettings(Settings):
    """Settings of an application or version: the keys that devices see.

    Without `metadata-keys` they see all; with it those that are listed, so with an empty map none.
    """

    metadata_keys: Mapping[str, KeySettings | None] | None = Field(None, max_length=epmp.MAX_KEYS)

    @field_validator("metadata_keys")
    @classmethod
    def _are_keys(cls, value: Mapping[str, KeySettings | None] | None) -> Mapping[str, KeySettings | None] | None:
        for name in value or {}:
            if not epmp.is_key(name):
                raise ValueError(
                    f"{name[:80]!r} is no key that a device can name: letters, digits and _ may stand there"
                )
        return value

    def may_read(self, key: str) -> bool:
        """Whether devices see the key."""
        return epmp.is_key(key) and (self.metadata_keys is None or key in self.metadata_keys)

    def may_write(self, key: str) -> bool:
        """Whether devices may set and delete the key."""
        if not self.may_read(key):
            return False
        own = None if self.metadata_keys is None else self.metadata_keys[key]
        return own is None or own.write_enabled
