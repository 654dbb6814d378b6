"""Tokens, ordered of CM."""

from collections.abc import Sequence

from kaa.core.bus import Bus, expect
from kaa.core.clock import Clock
from kaa.core.errors import Unavailable
from kaa.core.ids import Ids
from kaa.protocols import x_credentials
from kaa.protocols.names import ApplicationName

_ORDER_MS = 5_000
_WAIT_MS = 10_000  # longer than the order lives: after that nobody takes it up any more


class TokenOrders:
    """Orders the tokens of endpoints that are being registered."""

    def __init__(self, credentials: str, *, bus: Bus, clock: Clock, ids: Ids) -> None:
        self._subject = x_credentials.issue_tokens(credentials)
        self._bus, self._clock, self._ids = bus, clock, ids

    async def place(
        self, application: ApplicationName, orders: Sequence[x_credentials.TokenOrder]
    ) -> Sequence[x_credentials.IssuedToken]:
        """Order tokens, and give what became of each order, in their order.

        Raises:
            Refusal: it is not known what became of them.
        """
        request = x_credentials.IssueTokensRequest(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=self._clock.now_ms(),
            timeout_ms=_ORDER_MS,
            app_name=application,
            orders=tuple(orders),
        )
        issued = expect(await self._bus.request(self._subject, request, timeout_ms=_WAIT_MS)).tokens
        if len(issued) != len(orders):
            raise Unavailable("the answer to an order of tokens does not fit the order")
        return issued
