"""What an operator may set; without a directory and a URL there is no tap."""

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from kaa.core.config import Duration, Settings, Size


class FileConfig(Settings):
    """Where samples are written, how large a file becomes, and how many are kept; a relative path is below the data."""

    directory: Path | None = None
    max_size: Size = Field(100 << 20, ge=64 << 10)
    files: int = Field(10, ge=2, le=100_000)


class WebhookConfig(Settings):
    """Where samples are posted, with which `Authorization`, and how patiently.

    `retry-for` is how long a batch is tried: below DCX's `receivers-timeout` where the tap is a reliable receiver.
    """

    url: str | None = None
    authorization: SecretStr | None = None
    max_body: Size = Field(1 << 20, ge=1_024, le=64 << 20)
    timeout: Duration = Field(5_000, ge=10)
    retry_for: Duration = Field(8_000, ge=0)

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ValueError("expected a URL like https://host/path")
        return value

    @field_validator("authorization")
    @classmethod
    def _is_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().isprintable():
            raise ValueError("a header is one line of printable characters")
        return value


class TapConfig(Settings):
    """Settings of a tap: whose samples it takes, and where they go."""

    transmitters: tuple[str, ...] = ("dcx",)
    file: FileConfig = FileConfig()
    webhook: WebhookConfig = WebhookConfig()
