"""Which client is behind a connection: asked of CM at every CONNECT, and nothing of it is cached."""

import asyncio
from typing import Protocol

from kaa.core.bus import Bus, expect
from kaa.core.clock import Clock
from kaa.core.errors import Forbidden, Unauthenticated, Unavailable
from kaa.core.ids import Ids
from kaa.protocols import cap
from kaa.protocols.names import TENANT, CredentialsId
from kaa.protocols.x_outbox import EventProcessed

from .config import Authentication
from .models import Client, Offered
from .revocations import Revocations

_ROUNDS = 3
_AT_A_TIME = 50
_LONGEST_USERNAME = 256
_LONGEST_PASSWORD = 1_024


class Admitted(Protocol):
    """A connection whose client has shown credentials."""

    def close(self, status_code: int, reason: str) -> None:
        """End it: they are good no longer."""

    def yield_place(self) -> None:
        """End it: the same client has come again."""


class Clients:
    """The clients with credentials that are connected here."""

    def __init__(self, *, name: str, credentials: str, timeout_ms: int, bus: Bus, clock: Clock, ids: Ids) -> None:
        self._name, self._timeout_ms = name, timeout_ms
        self._basic, self._certificate = cap.authenticate_basic(credentials), cap.authenticate_certificate(credentials)
        self._bus, self._clock, self._ids = bus, clock, ids
        self._of: dict[CredentialsId, dict[Admitted, None]] = {}
        self._holders: dict[Client, Admitted] = {}
        self._asking = 0
        self._revocations = Revocations()

    def __len__(self) -> int:
        return len(self._holders)

    async def authenticate(self, offered: Offered) -> tuple[CredentialsId, ...]:
        """Give the ids of credentials that a client has shown; all of them must be good, needed or not.

        Whoever is let in upon that is to `enter` before anything else is waited for: a revocation finds it there.

        Raises:
            Unauthenticated: the user name is not known, or the password is another one.
            Forbidden: the credentials may not be used, or nobody knows the certificate.
            Unavailable: CM could not be asked; so with TimedOut.
        """
        self._asking += 1
        try:
            for _ in range(_ROUNDS):
                since = self._revocations.count
                found = []
                if offered.has_basic:
                    found.append(await self._ask_basic(offered))
                if offered.certificate is not None:
                    found.append(await self._ask_certificate(offered.certificate))
                if not self._revocations.have_overtaken(since, *found):
                    return tuple(found)
            raise Unavailable("the credentials change faster than they can be checked")
        finally:
            self._asking -= 1

    def enter(self, client: Client, connection: Admitted) -> None:
        """Have a connection hold the client's place; one that held it before ends."""
        before = self._holders.get(client)
        if before is not None:
            self.leave(client, before)
            before.yield_place()
        self._holders[client] = connection
        for credential in client.credentials:
            self._of.setdefault(credential, {})[connection] = None

    def leave(self, client: Client, connection: Admitted) -> None:
        """Note that a connection has ended; harmless where it holds no place."""
        if self._holders.get(client) is connection:
            del self._holders[client]
        for credential in client.credentials:
            connections = self._of.get(credential)
            if connections is not None:
                connections.pop(connection, None)
                if not connections:
                    del self._of[credential]

    async def on_credentials_revoked(self, event: cap.ClientCredentialsRevokedEvent) -> EventProcessed:
        """End all connections that have come with credentials which are good no longer."""
        self._revocations.note(event.credentials_id, is_asking=bool(self._asking))
        for number, connection in enumerate(list(self._of.get(event.credentials_id, ())), 1):
            connection.close(403, "the client's credentials are no longer valid")
            if not number % _AT_A_TIME:
                await asyncio.sleep(0)
        return EventProcessed(
            correlation_id=event.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            receiver_service_instance_name=self._name,
            status_code=200,
        )

    async def _ask_basic(self, offered: Offered) -> CredentialsId:
        if offered.username is None:
            raise Unauthenticated("a password came without a user name")
        username, tenant = _split(offered.username)
        try:
            password = (offered.password or b"").decode()
        except UnicodeDecodeError as error:
            raise Unauthenticated("the password is not UTF-8") from error
        if len(username) > _LONGEST_USERNAME or len(password) > _LONGEST_PASSWORD:
            raise Unauthenticated("the user name or the password is longer than any that there is")
        request = cap.ClientBasicAuthenticationRequest(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            timeout_ms=self._timeout_ms,
            tenant_id=tenant,
            username=username,
            password=password,
        )
        answer = expect(await self._bus.request(self._basic, request, timeout_ms=self._timeout_ms))
        if answer.credentials_id is None:
            raise Unauthenticated("the user name is not known")
        return answer.credentials_id

    async def _ask_certificate(self, certificate: bytes) -> CredentialsId:
        # it loads `cryptography`, which only those need who have certificates; the TLS door has loaded it by now
        from kaa.core.certificates import identity  # noqa: PLC0415

        issuer, serial_number = identity(certificate)
        request = cap.ClientCertificateAuthenticationRequest(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            timeout_ms=self._timeout_ms,
            issuer=issuer,
            serial_number=serial_number,
        )
        try:
            answer = expect(await self._bus.request(self._certificate, request, timeout_ms=self._timeout_ms))
        except Unauthenticated as no:
            raise Forbidden(no.reason) from no
        if answer.credentials_id is None:
            raise Forbidden("the certificate is not known")
        return answer.credentials_id


def lacking(required: Authentication, offered: Offered) -> str | None:
    """Say what a client ought to have shown and has not."""
    if required == "basic" and not offered.has_basic:
        return "a user name and a password are needed here"
    if required == "x509" and offered.certificate is None:
        return "a client certificate is needed here"
    if required == "any" and offered.is_nothing:
        return "a user name and a password, or a client certificate, are needed here"
    return None


def _split(username: str) -> tuple[str, str]:
    """Take `username` or `username@tenant` apart; behind another `@` there is no tenant, but a part of the name."""
    return username.removesuffix(f"@{TENANT}"), TENANT
