"""Whose token is this? Asked of CM once a minute at most, and remembered until CM says otherwise."""

from collections.abc import Callable

from kaa.core.bus import Bus
from kaa.core.clock import Clock
from kaa.core.errors import Refusal, Unavailable, refusal
from kaa.core.ids import Ids
from kaa.core.tasks import Tasks
from kaa.protocols import ecap
from kaa.protocols.names import ApplicationName, EndpointId, EndpointToken

from .models import TokenEntry
from .revocations import Revocations

_REFUSED_MS = 1_000
_MOST = 200_000
_MOST_REFUSED = 1_000
_ROUNDS = 3

Found = Callable[[TokenEntry], None]


class Tokens:
    """The tokens that were heard lately. An entry whose `refusal` is set stands for a "no"."""

    def __init__(self, *, credentials: str, lifetime_ms: int, bus: Bus, clock: Clock, ids: Ids, tasks: Tasks) -> None:
        self._subject = ecap.validate_token(credentials)
        self._lifetime_ms = lifetime_ms
        self._bus, self._clock, self._ids, self._tasks = bus, clock, ids, tasks
        self._entries: dict[tuple[str, str], TokenEntry] = {}
        self._of_endpoint: dict[EndpointId, set[tuple[str, str]]] = {}
        # apart from the others, and few: a stranger can have as many refused as he likes
        self._refused: dict[tuple[str, str], TokenEntry] = {}
        self._asking: dict[tuple[str, str], list[Found]] = {}
        self._revocations = Revocations()

    def find(self, application: ApplicationName, token: EndpointToken, now_ms: int) -> TokenEntry | None:
        """Give what is known of a token and still holds; None while it is being asked about."""
        key = (application, token)
        entry = self._entries.get(key) or self._refused.get(key)
        return entry if entry is not None and entry.valid_until_ms > now_ms and key not in self._asking else None

    def ask(self, application: ApplicationName, token: EndpointToken, found: Found) -> None:
        """Ask CM; `found` is called back in the order of asking, with one question under way a token."""
        key = (application, token)
        waiting = self._asking.get(key)
        if waiting is not None:
            waiting.append(found)
            return
        self._asking[key] = [found]
        self._tasks.spawn(self._ask(application, token), name="kpc token")

    def forget(self, endpoint_id: EndpointId, token_ids: frozenset[str]) -> set[EndpointToken]:
        """Drop the entries of tokens that are good no longer; give the endpoint's other tokens, as far as known."""
        self._revocations.note(endpoint_id, *token_ids, is_asking=bool(self._asking))
        left = set()
        for key in list(self._of_endpoint.get(endpoint_id, ())):
            entry = self._entries[key]
            if entry.token_id in token_ids:
                entry.valid_until_ms = 0
                self._drop(key)
            else:
                left.add(entry.token)
        return left

    async def _ask(self, application: ApplicationName, token: EndpointToken) -> None:
        entry = TokenEntry(application, token)
        try:
            for _ in range(_ROUNDS):
                since = self._revocations.count
                await self._validate(entry)
                if not self._revocations.have_overtaken(since, entry.endpoint_id, entry.token_id):
                    break
            else:
                raise Unavailable("the endpoint token changes faster than it can be checked")
        except Refusal as no:
            entry.refusal = no
            # a "no" of CM's is believed for a second; that CM could not be asked, not even that long
            entry.valid_until_ms = self._clock.now_ms() + _REFUSED_MS if no.status < 500 else 0
        self._remember(entry)
        waiting = self._asking.pop((application, token))
        for found in waiting:
            found(entry)

    async def _validate(self, entry: TokenEntry) -> None:
        now_ms = self._clock.now_ms()
        request = ecap.EndpointTokenValidationRequest(
            correlation_id=self._ids.correlation_id(),
            timestamp_ms=now_ms,
            app_name=entry.application,
            token=entry.token,
        )
        answer = await self._bus.request(self._subject, request)
        if answer.status_code >= 300 or answer.endpoint_id is None:
            status = answer.status_code if answer.status_code >= 300 else 401
            raise refusal(status, answer.reason_phrase or "the endpoint token is not known")
        entry.endpoint_id, entry.token_id = answer.endpoint_id, answer.token_id
        entry.valid_until_ms = now_ms + self._lifetime_ms

    def _remember(self, entry: TokenEntry) -> None:
        key = (entry.application, entry.token)
        self._drop(key)
        if entry.refusal is not None:
            while len(self._refused) >= _MOST_REFUSED:
                self._drop(next(iter(self._refused)))
            self._refused[key] = entry
            return
        assert entry.endpoint_id is not None
        while len(self._entries) >= _MOST:
            self._drop(next(iter(self._entries)))
        self._entries[key] = entry
        self._of_endpoint.setdefault(entry.endpoint_id, set()).add(key)

    def _drop(self, key: tuple[str, str]) -> None:
        self._refused.pop(key, None)
        entry = self._entries.pop(key, None)
        if entry is None or entry.endpoint_id is None:
            return
        keys = self._of_endpoint[entry.endpoint_id]
        keys.discard(key)
        if not keys:
            del self._of_endpoint[entry.endpoint_id]
