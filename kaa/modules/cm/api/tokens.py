"""The tokens of endpoints over HTTP."""

from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from kaa.core.dates import Date
from kaa.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from kaa.core.http import Answer, Call, Camel, Page, PageQuery, Route
from kaa.protocols.names import ENDPOINT_TOKEN

from ..models import Status, Token
from ..service import Tokens


class Order(StrEnum):
    """By age."""

    ASC = "ASC"
    DESC = "DESC"


class NewToken(Camel):
    """A token to be issued; made up where it is not given."""

    application_name: str = Field(description="The application that the endpoint belongs to")
    token: Annotated[str, StringConstraints(pattern=f"^{ENDPOINT_TOKEN.pattern}$")] | None = Field(
        None, description="A token of one's own; without it one is made up"
    )


class NewStatus(Camel):
    """Where a token is to go."""

    status: Literal[Status.ACTIVE, Status.SUSPENDED, Status.REVOKED] = Field(
        description="A new token is Inactive and can only become Active; Revoked is for good"
    )


class TokenView(Camel):
    """A token, without its value."""

    model_config = Camel.like(
        {
            "endpointTokenId": "7f0c1f2e-5a3b-4f55-8d0a-6c2f0b1c9e11",
            "status": "Active",
            "createdDate": "2026-11-22T09:00:00.000Z",
            "updatedDate": "2026-11-22T09:00:00.000Z",
            "applicationName": "smart-home",
        }
    )

    endpoint_token_id: str
    status: Status
    created_date: Date
    updated_date: Date
    application_name: str


class IssuedView(TokenView):
    """A token that was issued, with its value, which is shown this once."""

    model_config = Camel.like(
        {
            "endpointTokenId": "7f0c1f2e-5a3b-4f55-8d0a-6c2f0b1c9e11",
            "status": "Inactive",
            "createdDate": "2026-11-22T09:00:00.000Z",
            "updatedDate": "2026-11-22T09:00:00.000Z",
            "applicationName": "smart-home",
            "token": "Tq3v0yXkQ0m1yZ7c9o2w5A",
        }
    )

    token: str


class TokensQuery(PageQuery):
    """Which tokens are wanted; newest first, unless it is said otherwise."""

    status: tuple[Status, ...] = Field((), description="Only tokens with one of these statuses")
    order: Order = Field(Order.DESC, description="By age: DESC is newest first")


def token_routes(tokens: Tokens) -> list[Route]:
    """Give all that can be asked for."""
    api = _Api(tokens)
    every, one = "/endpoints/{endpointId}/tokens", "/endpoints/{endpointId}/tokens/{tokenId}"
    return [
        Route(
            method="GET",
            path=every,
            handler=api.get_tokens,
            summary="The tokens of an endpoint",
            description=(
                "The tokens themselves are not among it: they are stored hashed. An endpoint that is not there has "
                "none."
            ),
            query=TokensQuery,
            returns=Page[TokenView],
            errors=(InvalidInput,),
            tagged=True,
        ),
        Route(
            method="POST",
            path=every,
            handler=api.post_token,
            summary="Issue another token for an endpoint",
            description="The token is shown this once.",
            example={"applicationName": "smart-home"},
            means={
                409: "The token is taken in this application, or the endpoint belongs to another one",
                503: "The register of endpoints does not answer; no token was issued",
            },
            body=NewToken,
            returns=IssuedView,
            status=201,
            errors=(InvalidInput, NotFound, Conflict, Unavailable),
        ),
        Route(
            method="GET",
            path=one,
            handler=api.get_token,
            summary="One token of an endpoint",
            returns=TokenView,
            errors=(NotFound,),
        ),
        Route(
            method="PUT",
            path=f"{one}/status",
            handler=api.put_status,
            summary="Activate, suspend or revoke a token",
            description="Suspending or revoking takes the endpoint off its connection within a second.",
            example={"status": "Suspended"},
            means={409: "A token with its present status cannot be made that"},
            body=NewStatus,
            returns=TokenView,
            errors=(InvalidInput, NotFound, Conflict),
        ),
        Route(
            method="DELETE",
            path=one,
            handler=api.delete_token,
            summary="Delete a token",
            description="An endpoint that is connected with it is taken off its connection within a second.",
            status=204,
            errors=(NotFound,),
        ),
    ]


class _Api:
    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def get_tokens(self, call: Call) -> Answer:
        query: TokensQuery = call.query
        found, total = await self._tokens.find(
            call.path["endpointId"],
            statuses=query.status,
            offset=query.offset,
            limit=query.limit,
            is_oldest_first=query.order is Order.ASC,
        )
        page = Page[TokenView](content=[_view(token) for token in found], total_elements=total)
        return Answer(body=page, etag=sha256(page.model_dump_json().encode()).hexdigest()[:40])

    async def post_token(self, call: Call) -> Answer:
        new: NewToken = call.body
        endpoint_id = call.path["endpointId"]
        issued = await self._tokens.add(endpoint_id, new.application_name, new.token)
        return Answer(
            body=IssuedView(**dict(_view(issued.token)), token=issued.value),
            location=f"/endpoints/{endpoint_id}/tokens/{issued.token.id}",
        )

    async def get_token(self, call: Call) -> TokenView:
        return _view(await self._tokens.get(call.path["endpointId"], call.path["tokenId"]))

    async def put_status(self, call: Call) -> TokenView:
        new: NewStatus = call.body
        return _view(await self._tokens.move((call.path["endpointId"], call.path["tokenId"]), new.status))

    async def delete_token(self, call: Call) -> Answer:
        await self._tokens.remove(call.path["endpointId"], call.path["tokenId"])
        return Answer()


def _view(token: Token) -> TokenView:
    return TokenView(
        endpoint_token_id=token.id,
        status=token.status,
        created_date=token.created_ms,
        updated_date=token.updated_ms,
        application_name=token.application,
    )
