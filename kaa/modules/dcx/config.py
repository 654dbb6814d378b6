"""What an operator may set, and what an application may."""

from pydantic import Field, field_validator

from kaa.core.config import Duration, Settings, Size


class DcxConfig(Settings):
    """Settings of a DCX instance.

    `reliable` names the receivers whose answer is awaited before a message is acknowledged, `receivers-timeout` says
    how long; it stays below KPC's `request-timeout`. The rest is about samples that metadata is added to: `register`
    keeps it, so much of it is remembered, and so large may the samples of one message become.
    """

    reliable: tuple[str, ...] = ("epts",)
    receivers_timeout: Duration = Field(9_000, ge=100)
    register_: str = Field("epr", alias="register")
    max_metadata_remembered: Size = Field(32 << 20, ge=0)
    max_enriched: Size = Field(512 << 10, ge=1_024)


class MetadataEnrichment(Settings):
    """Whether each sample that is an object gets the endpoint's metadata, and in which member."""

    enabled: bool = False
    member: str = Field("~ep-metadata", min_length=1, max_length=128)

    @field_validator("member")
    @classmethod
    def _is_plain(cls, value: str) -> str:
        if any(character in '"\\' or character < " " for character in value):
            raise ValueError(f"{value[:80]!r} cannot name the member: quotes, backslashes and control characters")
        return value


class DcxSettings(Settings):
    """Settings of an application: `relaxed-paths` takes `/json` with anything behind it."""

    relaxed_paths: bool = False
    metadata_enrichment: MetadataEnrichment = MetadataEnrichment()
