"""Batches of registrations over HTTP."""

from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic_core import to_json

from kaa.core.auth import Role
from kaa.core.errors import InvalidInput, NotFound, TooMany
from kaa.core.http import Answer, Call, Camel, Named, Route
from kaa.protocols.names import TENANT

from ..models import Batch
from ..service import Batches
from ..service.batches import MAX_ITEMS, NewItem
from .endpoints import AppVersionName, GivenId, GivenToken, is_none


class BatchItemBody(Camel):
    """One endpoint of a batch; id and token are made up where they are not given."""

    endpoint_token: GivenToken | None = Field(None, description="Made up where it is not given")
    endpoint_id: GivenId | None = Field(None, description="Made up where it is not given")
    metadata: dict[str, Any] | None = Field(None, description="What is known of it: any JSON by key")


class NewBatch(Camel):
    """Endpoints to be registered together."""

    app_version: AppVersionName = Field(description="The version of an application that all belong to")
    endpoints: list[BatchItemBody] = Field(min_length=1, max_length=MAX_ITEMS, description="The endpoints")


class BatchTask(Camel):
    """What a batch is asked for by."""

    model_config = Camel.like({"taskId": "e1b6a8de-7f7b-4f0e-9f0f-2f3c58f1a001"})

    task_id: str


class BatchQuery(Camel):
    """Which batch is asked for."""

    app_name: str = Field(description="The application of the endpoints")
    task_id: str = Field(description="What the batch is asked for by, as starting it gave it")
    tenant_id: str = Field(TENANT, description=f"There is one tenant, {TENANT}; of another one there is nothing")


class CreatedView(Camel):
    """An endpoint that was registered; its token is shown once."""

    endpoint_id: str
    endpoint_token: Annotated[str | None, Field(exclude_if=is_none)] = None
    metadata: dict[str, Any]


class FailedView(Camel):
    """An endpoint that was not registered, and why; its metadata is JSON as text."""

    endpoint_id: str
    endpoint_token: Annotated[str | None, Field(exclude_if=is_none)] = None
    metadata: str
    status: Literal["FAILED"] = "FAILED"
    status_reason: str


class BatchView(Camel):
    """How far a batch is, and what has become of each endpoint that it has come to; tokens when it is done."""

    model_config = Camel.like(
        {
            "taskId": "e1b6a8de-7f7b-4f0e-9f0f-2f3c58f1a001",
            "state": "DONE",
            "createdCount": 1,
            "failedCount": 1,
            "created": [
                {
                    "endpointId": "c5e9a6c7-1634-4807-bb37-00a2d57b24ae",
                    "endpointToken": "Tq3v0yXkQ0m1yZ7c9o2w5A",
                    "metadata": {"room": "cellar"},
                }
            ],
            "failed": [
                {
                    "endpointId": "kitchen-1",
                    "metadata": "{}",
                    "status": "FAILED",
                    "statusReason": "endpointId: there is an endpoint 'kitchen-1' already",
                }
            ],
        }
    )

    task_id: str
    state: Literal["RUNNING", "DONE"]
    created_count: int
    failed_count: int
    created: list[CreatedView]
    failed: list[FailedView]


def routes(batches: Batches) -> list[Route]:
    """Give all that can be asked for."""
    api = _Api(batches)
    return [
        Route(
            method="POST",
            path="/endpoints/batch",
            handler=api.post_batch,
            summary="Register up to a thousand endpoints",
            example={"appVersion": {"name": "smart-home-v1"}, "endpoints": [{"metadata": {"room": "cellar"}}]},
            means={
                202: "They are being registered; the status says how far that is",
                404: "There is no such application version",
                429: "Too many batches are waiting; nothing was begun",
            },
            body=NewBatch,
            names=_named,
            returns=BatchTask,
            status=202,
            errors=(InvalidInput, NotFound, TooMany),
        ),
        Route(
            method="GET",
            path="/endpoints/batch/status",
            handler=api.get_status,
            summary="What became of a batch; tokens are shown the first time",
            description="It is kept for a day. A key that may only read is not shown the tokens.",
            means={404: "The application has no such batch, or a day has gone by since it ended"},
            query=BatchQuery,
            returns=BatchView,
            errors=(InvalidInput, NotFound),
        ),
    ]


class _Api:
    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    async def post_batch(self, call: Call) -> BatchTask:
        new: NewBatch = call.body
        items = [NewItem(one.endpoint_id, one.endpoint_token, one.metadata or {}) for one in new.endpoints]
        return BatchTask(task_id=await self._batches.begin(new.app_version.name, items))

    async def get_status(self, call: Call) -> Answer:
        query: BatchQuery = call.query
        if query.tenant_id != TENANT:
            raise NotFound(f"there is no batch {query.task_id!r}")
        # a HEAD shows nobody anything, and one who may only read is not shown secrets
        may_have_tokens = call.request.method == "GET" and call.caller.role in {Role.ADMIN, Role.OPERATOR}
        found = await self._batches.get(query.app_name, query.task_id, may_have_tokens=may_have_tokens)
        return Answer(body=_view(found), headers={"Cache-Control": "no-store"})


def _named(call: Call) -> Named:
    """Give the version; the ids are no endpoints' yet."""
    new: NewBatch = call.body
    return Named(versions=(new.app_version.name,))


def _view(batch: Batch) -> BatchView:
    created: list[CreatedView] = []
    failed: list[FailedView] = []
    for at, one in enumerate(batch.items[: batch.progress]):
        token = batch.tokens[at] if batch.tokens else None
        if at in batch.failures:
            text = to_json(one.metadata).decode()
            reason = batch.failures[at]
            failed.append(
                FailedView(endpoint_id=one.endpoint_id, endpoint_token=token, metadata=text, status_reason=reason)
            )
        else:
            metadata = dict(one.metadata)
            created.append(CreatedView(endpoint_id=one.endpoint_id, endpoint_token=token, metadata=metadata))
    return BatchView(
        task_id=batch.id,
        state="RUNNING" if batch.ended_ms is None else "DONE",
        created_count=len(created),
        failed_count=len(failed),
        created=created,
        failed=failed,
    )
