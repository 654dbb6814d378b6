"""What an operator may set, and what an application may."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from kaa.core.config import Duration, Settings
from kaa.protocols.names import METADATA_KEY, SERIES_NAME


class EplConfig(Settings):
    """Settings of an EPL instance.

    `communication` names the instance whose events are followed, `register` the one that keeps the metadata. What was
    heard is held against what `communication` says at start, and each time that `check` has gone by; `points-kept` says
    for how long a point is offered to whoever stores series before it is dropped.
    """

    communication: str = "kpc"
    register_: str = Field("epr", alias="register")
    check: Duration = Field(600_000, ge=10_000)
    points_kept: Duration = Field(86_400_000, ge=60_000)


class MetadataKeys(Settings):
    """The metadata keys that say whether an endpoint is connected, and since when (ms since 1970)."""

    state: str | None = None
    state_ts: str | None = None

    @field_validator("state", "state_ts")
    @classmethod
    def _is_key(cls, value: str | None) -> str | None:
        if value is not None and METADATA_KEY.fullmatch(value) is None:
            raise ValueError(f"{value[:80]!r} cannot name a metadata key: letters, digits and _ may stand there")
        return value

    @model_validator(mode="after")
    def _are_different(self) -> Self:
        if self.state is not None and self.state == self.state_ts:
            raise ValueError("state and state-ts are one key; the one would overwrite the other")
        return self


class TimeSeries(Settings):
    """The series that has a point for each time that an endpoint connects (1) or disconnects (0)."""

    name: str | None = None

    @field_validator("name")
    @classmethod
    def _is_series(cls, value: str | None) -> str | None:
        if value is not None and (SERIES_NAME.fullmatch(value) is None or value.startswith("auto~")):
            raise ValueError(f"{value[:80]!r} cannot name a series: letters, digits, _ and - may stand there")
        return value


class Connectivity(Settings):
    """What is made of an endpoint's coming and going; what is not said is not made."""

    metadata_keys: MetadataKeys | None = None
    time_series: TimeSeries | None = None


class EplSettings(Settings):
    """Settings of an application or version; where nothing is said of `connectivity` all of it is made."""

    connectivity: Connectivity | None = Connectivity(
        metadata_keys=MetadataKeys(state="connected", state_ts="connectivity_ts"),
        time_series=TimeSeries(name="connectivity"),
    )

    def keys(self) -> MetadataKeys:
        """Give the metadata keys; those that are None are not written."""
        found = None if self.connectivity is None else self.connectivity.metadata_keys
        return found or MetadataKeys()

    def series(self) -> str | None:
        """Give the name of the series, if there is to be one."""
        found = None if self.connectivity is None else self.connectivity.time_series
        return None if found is None else found.name
