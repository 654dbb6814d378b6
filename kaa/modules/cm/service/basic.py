"""User names and passwords."""

from dataclasses import dataclass

from kaa.core.clock import Clock
from kaa.core.errors import InvalidInput
from kaa.core.ids import Ids
from kaa.protocols import cap, ecap
from kaa.protocols.names import TENANT

from ..models import Client, Kind, Status, User
from ..repository import ClientRepository
from .clients import Clients, Verdict
from .passwords import Passwords

_SUFFIX = f"@{TENANT}"
_UNKNOWN = Verdict(401, "the user name or the password is wrong")


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user with its password, which is seen this once where it was made here."""

    client: Client
    password: str | None


class Users:
    """Keeps user names, and says whether passwords are right.

    On the wire a user name is `name` or `name@tenant`, and is kept without the tenant.
    """

    def __init__(
        self, *, clients: Clients, repository: ClientRepository, passwords: Passwords, clock: Clock, ids: Ids
    ) -> None:
        self.clients = clients
        self._repository, self._passwords = repository, passwords
        self._clock, self._ids = clock, ids

    async def add(self, username: str, password: str | None) -> NewUser:
        """Keep a new user, with a password that is made up where it is not given; Conflict if the name is taken."""
        name = username.removesuffix(_SUFFIX)
        if not name:
            raise InvalidInput("username: there is nothing but the tenant in it")
        made = self._ids.token() if password is None else None
        hashed = await self._passwords.hashed(made or password or "")
        client = await self.clients.add(User(name, hashed))
        return NewUser(client, made)

    async def move(self, client_id: str, status: Status) -> Client:
        """Move one to another status."""
        moved = await self.clients.move(Kind.BASIC, client_id, status)
        self._forget(moved)
        return moved

    async def remove(self, client_id: str) -> None:
        """Delete one."""
        self._forget(await self.clients.remove(Kind.BASIC, client_id))

    async def on_authenticate(
        self, request: cap.ClientBasicAuthenticationRequest
    ) -> cap.ClientBasicAuthenticationResponse:
        """Say whether a user name and its password are good."""
        is_here = request.tenant_id in {"", TENANT}
        verdict = await self._verdict(request.username, request.password, is_here=is_here)
        return cap.ClientBasicAuthenticationResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            credentials_id=verdict.credentials_id,
            client_id=verdict.client_id,
            status_code=verdict.status_code,
            reason_phrase=verdict.reason,
        )

    async def on_validate(
        self, request: ecap.ClientUsernamePasswordValidationRequest
    ) -> ecap.ClientUsernamePasswordValidationResponse:
        """Say the same to those who ask as 16/ECAP has it."""
        verdict = await self._verdict(request.username or "", request.password or "")
        return ecap.ClientUsernamePasswordValidationResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            credential_id=verdict.credentials_id,
            client_id=verdict.client_id,
            status_code=verdict.status_code,
            reason_phrase=verdict.reason,
        )

    async def _verdict(self, said: str, password: str, *, is_here: bool = True) -> Verdict:
        """Judge; who does not know the password learns of no user whether there is one, nor by how long it takes."""
        username = said.removesuffix(_SUFFIX)
        found = await self._repository.find_user(username) if is_here else None
        password_hash = found.known_by.password_hash if found and isinstance(found.known_by, User) else None
        is_right = self._passwords.remembered(username, password, password_hash)
        if is_right is None:
            is_right = await self._passwords.check(username, password, password_hash)
            if is_right and found is not None:  # that took its time, and the credential may have been revoked meanwhile
                again = await self._repository.find_user(username)
                found = again if again is not None and again.id == found.id else None
        return await self.clients.admit(found) if is_right and found is not None else _UNKNOWN

    def _forget(self, client: Client) -> None:
        if isinstance(client.known_by, User):
            self._passwords.forget(client.known_by.password_hash)
