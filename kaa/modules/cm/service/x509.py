"""Certificates of clients: made here, or made elsewhere and registered."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from kaa.core.clock import Clock
from kaa.core.errors import Conflict, InvalidInput, NotFound, Refusal, Unavailable
from kaa.protocols import cap, ecap
from kaa.protocols.names import TENANT

from ..models import Certificate, Client
from ..repository import ClientRepository
from .clients import Clients, Verdict

if TYPE_CHECKING:
    from kaa.core.certificates import Described, Issued

log = structlog.get_logger(__name__)

_LONGEST_ISSUER = 2_048
_MOST_ADOPTED = 1_000  # at a start, which must not take long
_UNKNOWN = Verdict(401, "the certificate is unknown")


@dataclass(frozen=True, slots=True)
class NewCertificate:
    """A certificate that was made, with its chain and its key, which is seen this once; both PEM."""

    client: Client
    chain: str
    private_key: str


class Certificates:
    """Keeps which certificates are known, by issuer and serial number; the authority lies in `directory`.

    Whoever asks about one has verified its chain.
    """

    def __init__(self, *, clients: Clients, repository: ClientRepository, directory: Path, clock: Clock) -> None:
        self.clients = clients
        self._repository, self._directory, self._clock = repository, directory, clock

    async def make(self, common_name: str | None, lifetime_ms: int | None) -> NewCertificate:
        """Make a key and a certificate for it, signed by the authority; the key is not kept.

        Raises:
            InvalidInput: it would hold longer than the authority's own.
            Conflict: the authority cannot sign.
        """
        client_id = self.clients.new_id()
        name, now = common_name or client_id, self._clock.now_ms()
        try:
            issued, authority = await asyncio.to_thread(_issue, self._directory, name, lifetime_ms, now)
        except OSError as error:
            raise Unavailable(f"the authority in {self._directory} cannot be used: {error.strerror}") from error
        client = await self.clients.add(_known_by(issued.certificate), client_id)
        return NewCertificate(client, issued.certificate.pem + authority.pem, issued.private_key)

    async def register(self, pem: str) -> Client:
        """Let a certificate be known that was made elsewhere.

        Raises:
            InvalidInput: it is none, or has ended.
            Conflict: it is known already.
        """
        try:
            found = await asyncio.to_thread(_described, pem)
        except InvalidInput as no:
            raise InvalidInput(f"certificate: {no.reason}") from no
        if found.not_after_ms <= self._clock.now_ms():
            raise InvalidInput("certificate: it has ended")
        return await self.clients.add(_known_by(found))

    async def authority(self) -> str:
        """Give the certificate, in PEM, that those made here are verified with; NotFound before there is one."""
        try:
            return await asyncio.to_thread((self._directory / "ca.pem").read_text)
        except FileNotFoundError:
            raise NotFound("there is no authority yet; the first certificate that is made here makes it") from None
        except (OSError, ValueError) as error:
            raise Unavailable(f"the certificate in {self._directory} cannot be read") from error

    async def adopt(self) -> None:
        """Register what was laid into `clients/` while no server ran, and take it away once it is on the disk.

        What cannot be registered stays, and the log says why.
        """
        for file, pem in await asyncio.to_thread(lambda: list(_waiting(self._directory / "clients"))):
            try:
                await self.register(pem)
            except Conflict:
                pass  # a crash came before it was taken away
            except Refusal as no:
                log.warning("certificate_not_registered", file=str(file), reason=no.reason)
                continue
            else:
                log.info("certificate_registered", file=file.name)
            await asyncio.to_thread(_removed, file)

    async def on_authenticate(
        self, request: cap.ClientCertificateAuthenticationRequest
    ) -> cap.ClientCertificateAuthenticationResponse:
        """Say whether a certificate is known and good."""
        verdict = await self._verdict(request.issuer, request.serial_number)
        return cap.ClientCertificateAuthenticationResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            tenant_id=None if verdict.client is None else TENANT,
            credentials_id=verdict.credentials_id,
            client_id=verdict.client_id,
            status_code=verdict.status_code,
            reason_phrase=verdict.reason,
        )

    async def on_validate(
        self, request: ecap.ClientCertificateValidationRequest
    ) -> ecap.ClientCertificateValidationResponse:
        """Say the same to those who ask as 16/ECAP has it."""
        verdict = await self._verdict(request.issuer, request.serial_number)
        return ecap.ClientCertificateValidationResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            credential_id=verdict.credentials_id,
            client_id=verdict.client_id,
            status_code=verdict.status_code,
            reason_phrase=verdict.reason,
        )

    async def _verdict(self, issuer: str, serial: str) -> Verdict:
        found = await self._repository.find_certificate(issuer, serial)
        if found is None or not isinstance(found.known_by, Certificate):
            return _UNKNOWN
        if found.known_by.not_after_ms <= self._clock.now_ms():
            return Verdict(403, "the certificate has ended", found)
        return await self.clients.admit(found)


def _issue(directory: Path, common_name: str, lifetime_ms: int | None, now_ms: int) -> "tuple[Issued, Described]":
    from kaa.core.certificates import Authority  # noqa: PLC0415  8 MB for those who use it

    authority = Authority.of(directory, now_ms=now_ms)
    return authority.issue_client(common_name, now_ms=now_ms, lifetime_ms=lifetime_ms), authority.certificate


def _described(pem: str) -> "Described":
    from kaa.core.certificates import described  # noqa: PLC0415  as above

    found = described(pem)
    if not found.issuer or len(found.issuer) > _LONGEST_ISSUER:
        raise InvalidInput(f"its issuer must have a name, of at most {_LONGEST_ISSUER} characters")
    return found


def _known_by(found: "Described") -> Certificate:
    return Certificate(found.common_name, found.issuer, found.serial, found.not_after_ms)


def _waiting(directory: Path) -> Iterator[tuple[Path, str]]:
    for file in islice(sorted(directory.glob("*.pem")), _MOST_ADOPTED):
        try:
            yield file, file.read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            log.warning("certificate_not_registered", file=str(file), reason=str(error))


def _removed(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        log.warning("registered_certificate_stays", file=str(file), reason=error.strerror)
