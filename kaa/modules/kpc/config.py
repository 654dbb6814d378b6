"""What an operator may set, and what an application may."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from kaa.core.config import Duration, Settings, Size

Authentication = Literal["none", "basic", "x509", "any"]
"""Which credential a client needs at a door: none, user name and password, a certificate, or either of the two."""

OURS = ("dcx", "epmx", "cmx", "cmx_ota", "cex")
"""The extension services that are there without a word of configuration."""


class ExtensionConfig(Settings):
    """An extension service behind KPC.

    `endpoint-aware` says that its topics have a token; `receipts` that it answers every message, also one without a
    request id. Where it does not, a message is acknowledged as soon as it has been handed on.
    """

    endpoint_aware: bool = True
    receipts: bool = True


class TlsConfig(Settings):
    """The door that is opened by `mqtts-port`; files that are not named lie in the data directory, below `tls`.

    The server's certificate and key are also those of HTTPS. While `handshakes` are under way others wait, and one that
    has taken longer than `crowded-timeout` makes room.
    """

    client_authentication: Authentication = "none"
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    handshakes: int = Field(200, ge=1, le=10_000)
    handshake_timeout: Duration = Field(10_000, ge=100)
    crowded_timeout: Duration = Field(2_000, ge=100)


class KpcConfig(Settings):
    """Settings of a KPC instance."""

    credentials: str = "cm"
    extension_instances: dict[str, ExtensionConfig] = Field(dict.fromkeys(OURS, ExtensionConfig()))
    client_authentication: Literal["none", "basic", "any"] = "none"
    tls: TlsConfig = TlsConfig()
    request_timeout: Duration = Field(10_000, ge=100)
    connect_timeout: Duration = Field(10_000, ge=100)
    token_lifetime: Duration = Field(60_000, ge=0, le=60_000)
    session_expiry: Duration = Field(3_600_000, ge=0)
    traffic_interval: Duration = Field(60_000, ge=0)
    max_packet: Size = Field(256 * 1024, ge=1024, le=256 * 1024 * 1024)
    max_topic: Size = Field(1024, ge=64, le=65_535)
    max_unsent: Size = Field(1024 * 1024, ge=65_536)
    in_flight: int = Field(256, ge=1, le=65_535)
    max_waiting: int = Field(32_768, ge=1)
    max_connections: int = Field(20_000, ge=1)
    max_connecting: int = Field(2_000, ge=1)
    max_sessions: int = Field(10_000, ge=0)
    max_endpoints_per_connection: int = Field(10_000, ge=1)
    unknown_tokens_per_minute: int = Field(10, ge=0)
    refusals_kept: int = Field(10_000, ge=0)


class KpcSettings(Settings):
    """Settings of an application or version: which extensions its devices may use; all, where nothing is said."""

    allowed_extension_instances: tuple[str, ...] | None = None
