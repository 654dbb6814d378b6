"""What the server shows in a TLS handshake and asks for: read from files, and anew when they change."""

import asyncio
import ssl
from pathlib import Path
from typing import Literal

import structlog

from kaa.core.clock import Clock
from kaa.core.errors import ConfigError

log = structlog.get_logger(__name__)

_LOOK_MS = 5_000

_Stamp = tuple[tuple[int, int, int] | None, ...]


class ServerCertificates:
    """The server's certificate with its key, and the authority whose clients' certificates it takes.

    What is not named lies in the directory. Where nothing is said about the authentication of clients they are not
    asked for a certificate. `context` is what new handshakes are made with; `problem` says why the files that are there
    now are not in it.
    """

    def __init__(
        self,
        *,
        certificate: Path | None,
        key: Path | None,
        client_ca: Path | None = None,
        client_authentication: Literal["none", "basic", "x509", "any"] | None = None,
        directory: Path,
        clock: Clock,
    ) -> None:
        self._certificate = certificate or directory / "server.pem"
        self._key = key or directory / "server.key"
        self._authority = client_ca or directory / "ca.pem"
        self._required = client_authentication
        # where no certificate is needed and no authority named, there need not be one
        self._wants_authority = client_ca is not None or self._required in {"x509", "any"}
        self._clock = clock
        self._seen: _Stamp = ()
        self.context: ssl.SSLContext
        self.problem: str | None = None

    def load(self) -> None:
        """Read the files; ConfigError says what is wrong with them. It may take a while: not for the loop."""
        self._seen = self._stamp()
        self.context = self._made()
        self.problem = None

    async def follow(self) -> None:
        """Read the files again when they change; for a task of its own."""
        while True:
            await self._clock.sleep_ms(_LOOK_MS)
            await asyncio.to_thread(self._look)

    def _look(self) -> None:
        if self._stamp() == self._seen:
            return
        try:
            self.load()
        except ConfigError as error:
            # what was read before goes on: half of a new pair may be there already, and the rest on its way
            self.problem = f"{error}; the certificate read before is still in use"
            log.error("certificate_not_read", reason=str(error))  # noqa: TRY400  the sentence says it all
        else:
            log.info("certificate_read", path=str(self._certificate))

    def _stamp(self) -> _Stamp:
        return tuple(_stamp(path) for path in (self._certificate, self._key, self._authority))

    def _made(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # a session that is taken up again would skip the look at the client's certificate
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.num_tickets = 0
        for path, what, key in ((self._certificate, "server certificate", "certificate"), (self._key, "key", "key")):
            _check(path, what=what, option=key)
        try:
            context.load_cert_chain(self._certificate, self._key, password=lambda: "")  # never ask at the terminal
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"the server certificate {self._certificate} and its key {self._key} cannot be used together: "
                f"{_reason(error)}"
            ) from error
        if self._required is not None and (self._wants_authority or self._authority.exists()):
            _check(self._authority, what="certificate of the clients' authority", option="client-ca")
            try:
                context.load_verify_locations(self._authority)
            except OSError as error:
                raise ConfigError(
                    f"the certificate of the clients' authority {self._authority} cannot be used: {_reason(error)}"
                ) from error
            # it takes a while to load, and is needed with the first certificate that comes
            import kaa.core.certificates  # noqa: F401, PLC0415

            context.verify_mode = ssl.CERT_REQUIRED if self._required == "x509" else ssl.CERT_OPTIONAL
        return context


def _check(path: Path, *, what: str, option: str) -> None:
    try:
        path.open("rb").close()
    except FileNotFoundError as error:
        raise ConfigError(
            f"there is no {what} at {path}: `kaa cert init` makes one, or name your own with tls.{option}"
        ) from error
    except OSError as error:
        raise ConfigError(f"the {what} at {path} cannot be read: {error.strerror}") from error


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _reason(error: Exception) -> str:
    return (isinstance(error, ssl.SSLError) and error.reason) or str(error)
