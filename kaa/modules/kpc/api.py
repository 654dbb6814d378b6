"""KPC over HTTP, for operators."""

from pydantic import Field

from kaa.core.dates import Date
from kaa.core.http import Call, Camel, Page, PageQuery, Route

from .models import KeptRefusal
from .repository import RefusalRepository


class RefusalOut(Camel):
    """A message that was refused.

    `payload` is its head (at most 256 bytes; the whole of a message that was given up after failing three times), with
    what is no UTF-8 replaced.
    """

    model_config = Camel.like(
        {
            "id": 41,
            "timestamp": "2026-11-22T09:00:00.000Z",
            "endpointId": "c5e9a6c7-1634-4807-bb37-00a2d57b24ae",
            "tokenHash": None,
            "topic": "kp1/smart-home-v1/dcx/…/json/1",
            "statusCode": 400,
            "reason": "the payload is not JSON: JSON is malformed: invalid character (byte 16)",
            "payload": '{"temperature": 2',
            "payloadSize": 17,
        }
    )

    id: int
    timestamp: Date
    endpoint_id: str | None
    token_hash: str | None
    topic: str
    status_code: int
    reason: str
    payload: str
    payload_size: int


class RefusalQuery(PageQuery):
    """Which refusals."""

    endpoint_id: str | None = Field(None, description="Only those of this endpoint")
    status_code: int | None = Field(None, ge=0, le=999, description="Only those with this status, like 400")


def routes(refusals: RefusalRepository) -> list[Route]:
    """List what KPC answers operators."""

    async def get_refusals(call: Call) -> Page[RefusalOut]:
        query: RefusalQuery = call.query
        found, total = await refusals.find(
            endpoint_id=query.endpoint_id, status_code=query.status_code, offset=query.offset, limit=query.limit
        )
        return Page[RefusalOut](content=[_out(refusal) for refusal in found], total_elements=total)

    return [
        Route(
            method="GET",
            path="/refusals",
            handler=get_refusals,
            summary="Messages of devices that were refused, newest first",
            description=(
                "What a device was told on `/error`, kept for the operator. The token is never kept, only its hash."
            ),
            query=RefusalQuery,
            returns=Page[RefusalOut],
        )
    ]


def _out(refusal: KeptRefusal) -> RefusalOut:
    return RefusalOut(
        id=refusal.id,
        timestamp=refusal.at_ms,
        endpoint_id=refusal.endpoint_id,
        token_hash=refusal.token_hash,
        topic=refusal.topic,
        status_code=refusal.status_code,
        reason=refusal.reason,
        payload=refusal.payload.decode(errors="replace"),
        payload_size=refusal.payload_size,
    )
