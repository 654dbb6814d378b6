"""What clients connect with: how it lives, whatever its kind."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

import structlog

from kaa.core.bus import Bus
from kaa.core.clock import Clock
from kaa.core.errors import Refusal
from kaa.core.ids import Ids
from kaa.core.storage.outbox import Outbox
from kaa.protocols import cap, ecap
from kaa.protocols.names import TENANT, CredentialsId

from ..models import VALID, Certificate, Client, Kind, Status, User
from ..repository import ClientRepository, Event

log = structlog.get_logger(__name__)

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a client is let in, and the credential that was found, if it may be named."""

    status_code: int
    reason: str | None = None
    client: Client | None = None

    @property
    def credentials_id(self) -> CredentialsId | None:
        """The credential's id."""
        return None if self.client is None else self.client.id

    @property
    def client_id(self) -> str | None:
        """Who the client is, as far as we know: its user name, or the common name of its certificate."""
        known_by = None if self.client is None else self.client.known_by
        if isinstance(known_by, User):
            return known_by.username
        return None if known_by is None else known_by.common_name


class Clients:
    """Keeps the credentials of clients.

    One that stops being good is told of, and those who listen have heard it, or a second has gone by, when the method
    that did it returns. When one was used last is kept in memory and written now and then: a crash forgets the last
    minute of it, and nothing else.
    """

    def __init__(
        self, *, name: str, clients: ClientRepository, outbox: Outbox, bus: Bus, clock: Clock, ids: Ids
    ) -> None:
        self._name = name
        self._clients, self._outbox = clients, outbox
        self._bus, self._clock, self._ids = bus, clock, ids
        self._uses: dict[CredentialsId, int] = {}

    async def add(self, known_by: User | Certificate, client_id: CredentialsId | None = None) -> Client:
        """Keep a new one; Conflict if its user name is taken, or its certificate known."""
        now = self._clock.now_ms()
        client = Client(
            id=client_id or self.new_id(),
            known_by=known_by,
            status=Status.INACTIVE,
            created_ms=now,
            updated_ms=now,
        )
        await self._clients.add(client)
        return client

    def new_id(self) -> CredentialsId:
        """Give the id for one that is being made."""
        return CredentialsId(self._ids.uuid())

    async def get(self, kind: Kind, client_id: str) -> Client:
        """Give one."""
        return self._as_of_now(await self._clients.get(kind, client_id))

    async def pages(self, kind: Kind, statuses: Sequence[Status]) -> AsyncIterator[list[Client]]:
        """Give all, oldest first, some at a time."""
        after = (-1, "")
        while page := await self._clients.find_page(kind, after=after, limit=_PAGE, statuses=statuses):
            yield [self._as_of_now(client) for client in page]
            after = (page[-1].created_ms, page[-1].id)

    async def move(self, kind: Kind, client_id: str, status: Status) -> Client:
        """Move one to another status."""
        now = self._clock.now_ms()
        moved, events = await self._clients.update_status(kind, client_id, status, at_ms=now, tell=self._revoked)
        await self._heard(events)
        return self._as_of_now(moved)

    async def remove(self, kind: Kind, client_id: str) -> Client:
        """Delete one, and give it as it was."""
        removed, events = await self._clients.remove(kind, client_id, self._revoked)
        self._uses.pop(removed.id, None)
        await self._heard(events)
        return removed

    async def admit(self, client: Client) -> Verdict:
        """Let in the client who has shown the credential, if it is good.

        The first use is on the disk before it is answered, unless the disk takes nothing at the moment: that keeps
        nobody out, and the next use is another chance.
        """
        if client.status not in VALID:
            return Verdict(403, f"the credential is {client.status.lower()}", client)
        now = self._clock.now_ms()
        if client.status is Status.INACTIVE:
            try:
                await self._clients.activate(client.id, at_ms=now)
            except Refusal as no:
                log.warning("activation_put_off", credential=client.id, reason=no.reason)
        self._uses[client.id] = now
        return Verdict(200, client=client)

    async def keep_uses(self) -> None:
        """Write when each was last used; what cannot be written now is kept for the next time."""
        uses, self._uses = self._uses, {}
        if not uses:
            return
        ids = list(uses)
        for start in range(0, len(ids), _PAGE):
            some = {one: uses[one] for one in ids[start : start + _PAGE]}
            try:
                await self._clients.keep_uses(some)
            except Refusal as no:
                log.warning("uses_put_off", credentials=len(some), reason=no.reason)
                self._uses = some | self._uses

    async def keep_uses_every(self, interval_ms: int) -> None:
        """Do so for ever."""
        while True:
            await self._clock.sleep_ms(interval_ms)
            await self.keep_uses()

    def _as_of_now(self, client: Client) -> Client:
        used_ms = self._uses.get(client.id)
        return client if used_ms is None else replace(client, last_use_ms=used_ms)

    def _revoked(self, client: Client) -> Sequence[Event]:
        now, replica = self._clock.now_ms(), self._bus.replica
        return (
            (
                cap.credentials_revoked(client.kind, originator=self._name),
                cap.ClientCredentialsRevokedEvent(
                    correlation_id=self._ids.correlation_id(),
                    timestamp_ms=now,
                    tenant_id=TENANT,
                    credentials_id=client.id,
                    originator_replica_id=replica,
                ),
            ),
            (
                ecap.credential_revoked(self._name),
                ecap.ClientCredentialRevokedEvent(
                    correlation_id=self._ids.correlation_id(),
                    timestamp_ms=now,
                    credential_id=client.id,
                    originator_replica_id=replica,
                ),
            ),
        )

    async def _heard(self, events: Sequence[Event]) -> None:
        await self._outbox.settled([message.correlation_id for _, message in events])
