"""The tokens: whose each is, and whether it is good."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256

import structlog

from kaa.core.bus import Bus, expect
from kaa.core.clock import Clock
from kaa.core.errors import Conflict, InvalidInput, NotFound, Refusal
from kaa.core.ids import Ids
from kaa.core.storage.outbox import Outbox
from kaa.protocols import ecap, elce, x_credentials, x_register
from kaa.protocols.names import ENDPOINT_TOKEN, ApplicationName, EndpointId, EndpointToken, TokenId, checked
from kaa.protocols.x_outbox import EventProcessed

from ..models import VALID, Status, Token
from ..repository import Event, TokenRepository

log = structlog.get_logger(__name__)

_MAX_ORDERS = 1_000


@dataclass(frozen=True, slots=True)
class Issued:
    """A token with its value, which is seen this once."""

    token: Token
    value: str


class Tokens:
    """Keeps the tokens of endpoints.

    A token that stops being good is told of, and those who listen have heard it, or a second has gone by, when the
    method that did it returns.
    """

    def __init__(
        self,
        *,
        name: str,
        register: str,
        tokens: TokenRepository,
        outbox: Outbox,
        bus: Bus,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._name, self._register = name, register
        self._tokens, self._outbox = tokens, outbox
        self._bus, self._clock, self._ids = bus, clock, ids

    async def add(self, endpoint_id: str, application: str, value: str | None) -> Issued:
        """Issue another token for an endpoint.

        Raises:
            NotFound: there is no such endpoint.
            Conflict: it belongs to another application, or the value is taken.
        """
        if value is not None:
            checked(ENDPOINT_TOKEN, value, what="token")
        await self._check_endpoint(endpoint_id, application)
        made, value = self._made(application, endpoint_id, value)
        [kept] = await self._tokens.add_all([made], is_repeated=_never)
        if kept is None:
            raise Conflict(f"token: it is taken in application {application!r}")
        return Issued(kept, value)

    async def get(self, endpoint_id: str, token_id: str) -> Token:
        """Give one token of an endpoint."""
        return await self._tokens.get(endpoint_id, token_id)

    async def find(
        self, endpoint_id: str, *, statuses: Collection[Status], offset: int, limit: int, is_oldest_first: bool
    ) -> tuple[list[Token], int]:
        """Give one page of an endpoint's tokens, and how many there are in all."""
        return await self._tokens.find(
            endpoint_id, statuses=statuses, offset=offset, limit=limit, is_oldest_first=is_oldest_first
        )

    async def move(self, find: tuple[str, str] | bytes, status: Status) -> Token:
        """Move a token, found by endpoint and id or by its hash, to another status."""
        moved, event = await self._tokens.update_status(find, status, at_ms=self._clock.now_ms(), tell=self._revoked)
        await self._heard([event] if event else [])
        return moved

    async def remove(self, endpoint_id: str, token_id: str) -> None:
        """Delete a token."""
        event = await self._tokens.remove(endpoint_id, token_id, self._revoked)
        await self._heard([event] if event else [])

    async def on_validate(
        self, requests: list[ecap.EndpointTokenValidationRequest]
    ) -> list[ecap.EndpointTokenValidationResponse]:
        """Say whose tokens these are and whether they are good: one read for all that have queued up.

        The first use of a token is on the disk before it is answered, unless the disk takes nothing at the moment:
        that keeps nobody out, and the next use is another chance.
        """
        keys = [key_of(request.app_name, request.token) for request in requests]
        found = await self._tokens.find_by_hash(keys)
        now = self._clock.now_ms()
        if fresh := [token.id for token in found.values() if token.status is Status.INACTIVE]:
            try:
                await self._tokens.activate(fresh, at_ms=now)
            except Refusal as no:
                log.warning("activation_put_off", tokens=len(fresh), reason=no.reason)
        return [_verdict(request, found.get(key), now) for request, key in zip(requests, keys, strict=True)]

    async def on_move(
        self, request: ecap.EndpointTokenStatusTransitionRequest
    ) -> ecap.EndpointTokenStatusTransitionResponse:
        """Move a token that another service names by its value."""
        try:
            status = Status(request.target_status)
        except ValueError:
            raise InvalidInput(f"targetStatus: {request.target_status!r} is none") from None
        await self.move(key_of(request.app_name, request.token), status)
        return ecap.EndpointTokenStatusTransitionResponse(
            correlation_id=request.correlation_id, timestamp_ms=self._clock.now_ms(), status_code=200
        )

    async def on_issue(self, request: x_credentials.IssueTokensRequest) -> x_credentials.IssueTokensResponse:
        """Issue tokens for endpoints that are being registered, all in one step.

        The same order again is answered like the first: the one who gave it may not have seen the answer.
        """
        if len(request.orders) > _MAX_ORDERS:
            raise InvalidInput(f"orders: more than {_MAX_ORDERS}")
        made = {
            at: self._made(request.app_name, order.endpoint_id, order.token)
            for at, order in enumerate(request.orders)
            if _is_token(order.token)
        }
        added = await self._tokens.add_all([token for token, _ in made.values()], is_repeated=_is_same_order)
        kept = dict(zip(made, added, strict=True))
        return x_credentials.IssueTokensResponse(
            correlation_id=request.correlation_id,
            timestamp_ms=self._clock.now_ms(),
            tokens=tuple(
                _issued(order, kept[at], made[at][1]) if at in made else _refused(order, 400, "it is not a token")
                for at, order in enumerate(request.orders)
            ),
            status_code=200,
        )

    async def on_unregistered(self, events: list[elce.UnregisteredEvent]) -> list[EventProcessed]:
        """Delete the tokens of endpoints that are no more.

        A token issued after the event's time belongs to an endpoint that has the id anew, and stays: the event may
        be one that was sent again.
        """
        gone = [(event.endpoint_id, event.timestamp_ms) for event in events]
        await self._heard(await self._tokens.remove_of_endpoints(gone, self._revoked))
        now = self._clock.now_ms()
        return [
            EventProcessed(
                correlation_id=event.correlation_id,
                timestamp_ms=now,
                receiver_service_instance_name=self._name,
                status_code=200,
            )
            for event in events
        ]

    async def _check_endpoint(self, endpoint_id: str, application: str) -> None:
        request = x_register.FindRequest(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            endpoint_ids=(endpoint_id,),
        )
        found = expect(await self._bus.request(x_register.find_endpoints(self._register), request)).endpoints
        if not found:
            raise NotFound(f"there is no endpoint {endpoint_id!r}")
        if found[0].app_name != application:
            raise Conflict(f"applicationName: endpoint {endpoint_id!r} belongs to application {found[0].app_name!r}")

    def _made(self, application: str, endpoint_id: str, value: str | None) -> tuple[Token, str]:
        value, now = value or self._ids.token(), self._clock.now_ms()
        name = ApplicationName(application)
        made = Token(
            id=TokenId(self._ids.uuid()),
            hash=key_of(name, EndpointToken(value)),
            application=name,
            endpoint_id=EndpointId(endpoint_id),
            status=Status.INACTIVE,
            created_ms=now,
            updated_ms=now,
        )
        return made, value

    def _revoked(self, tokens: Sequence[Token]) -> Event:
        message = ecap.EndpointTokenRevokedEvent(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            app_name=tokens[0].application,
            endpoint_id=tokens[0].endpoint_id,
            token_ids=tuple(token.id for token in tokens),
            originator_replica_id=self._bus.replica,
        )
        return ecap.token_revoked(self._name), message

    async def _heard(self, events: Sequence[Event]) -> None:
        await self._outbox.settled([message.correlation_id for _, message in events])


def key_of(application: ApplicationName, token: EndpointToken) -> bytes:
    """Give what a token is found by; looking a hash up tells nobody how much of a guess was right."""
    return sha256(f"{application}\0{token}".encode()).digest()


def _is_token(value: str | None) -> bool:
    return value is None or ENDPOINT_TOKEN.fullmatch(value) is not None


def _never(_: Token, __: Token) -> bool:
    return False


def _is_same_order(old: Token, new: Token) -> bool:
    return old.endpoint_id == new.endpoint_id and old.status in VALID


def _issued(order: x_credentials.TokenOrder, token: Token | None, value: str) -> x_credentials.IssuedToken:
    if token is None:
        return _refused(order, 409, "it is taken")
    return x_credentials.IssuedToken(endpoint_id=order.endpoint_id, token=value, status=token.status, status_code=200)


def _refused(order: x_credentials.TokenOrder, status_code: int, reason: str) -> x_credentials.IssuedToken:
    return x_credentials.IssuedToken(endpoint_id=order.endpoint_id, status_code=status_code, reason_phrase=reason)


def _verdict(
    request: ecap.EndpointTokenValidationRequest, token: Token | None, now_ms: int
) -> ecap.EndpointTokenValidationResponse:
    status, reason = 200, None
    if token is None:
        status, reason = 401, "the token is unknown"
    elif token.status not in VALID:
        status, reason = 403, f"the token is {token.status.lower()}"
    return ecap.EndpointTokenValidationResponse(
        correlation_id=request.correlation_id,
        timestamp_ms=now_ms,
        token_id=None if token is None else token.id,
        endpoint_id=None if token is None else token.endpoint_id,
        status_code=status,
        reason_phrase=reason,
    )
