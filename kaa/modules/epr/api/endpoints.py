"""Endpoints over HTTP: registered, listed, deleted."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from kaa.core.dates import Date
from kaa.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from kaa.core.http import Answer, Call, Camel, Named, Route
from kaa.protocols.names import ENDPOINT_ID, ENDPOINT_TOKEN, EndpointId

from ..models import Endpoint, Relation
from ..service import Register
from ..service.relations import MAX_RELATIONS


def is_none(value: object) -> bool:
    """Whether there is nothing to show."""
    return value is None


GivenId = Annotated[str, StringConstraints(pattern=f"^{ENDPOINT_ID.pattern}$")]
GivenToken = Annotated[str, StringConstraints(pattern=f"^{ENDPOINT_TOKEN.pattern}$")]


class AppVersionName(Camel):
    """An application version, by its name."""

    name: str = Field(description="Like `smart-home-v1`")


class NewRelation(Camel):
    """A relation of a new endpoint: another one contains it (`from`), or it contains another one (`to`)."""

    type: Literal["contains"] = Field(description="The one kind that there is")
    from_: str | None = Field(None, alias="from", description="The endpoint that contains the new one")
    to: str | None = Field(None, description="The endpoint that the new one contains")

    @model_validator(mode="after")
    def _has_one_end(self) -> Self:
        if (self.from_ is None) == (self.to is None):
            raise ValueError("exactly one of from and to is to be given")
        return self


class NewEndpoint(Camel):
    """An endpoint to be registered; id and token are made up where they are not given."""

    app_version: AppVersionName = Field(description="The version of an application that it belongs to")
    metadata: dict[str, Any] | None = Field(None, description="What is known of it: any JSON by key")
    endpoint_token: GivenToken | None = Field(None, description="A token of one's own; without it one is made up")
    endpoint_id: GivenId | None = Field(None, description="An id of one's own; without it one is made up")
    relations: tuple[NewRelation, ...] = Field(
        (), max_length=MAX_RELATIONS, description="What contains it, and what it contains"
    )


class AppVersionView(Camel):
    """The version that an endpoint belongs to, and since when."""

    model_config = Camel.like({"name": "smart-home-v1", "registeredDate": "2026-11-22T09:00:00.000Z"})

    name: str
    registered_date: Date


class EndpointView(Camel):
    """An endpoint; metadata and filters only where they were asked for."""

    model_config = Camel.like(
        {
            "endpointId": "c5e9a6c7-1634-4807-bb37-00a2d57b24ae",
            "createdDate": "2026-11-22T09:00:00.000Z",
            "appVersion": {"name": "smart-home-v1", "registeredDate": "2026-11-22T09:00:00.000Z"},
            "metadata": {"room": "kitchen"},
            "metadataUpdatedDate": "2026-11-22T09:00:00.000Z",
        }
    )

    endpoint_id: str
    created_date: Date
    app_version: AppVersionView
    metadata: Annotated[dict[str, Any] | None, Field(exclude_if=is_none)] = None
    metadata_updated_date: Annotated[Date | None, Field(exclude_if=is_none)] = None
    filters: Annotated[list[str] | None, Field(exclude_if=is_none)] = None


class RegisteredView(EndpointView):
    """An endpoint that was registered, with its token, which is shown this once."""

    model_config = Camel.like(
        {
            "endpointId": "c5e9a6c7-1634-4807-bb37-00a2d57b24ae",
            "createdDate": "2026-11-22T09:00:00.000Z",
            "appVersion": {"name": "smart-home-v1", "registeredDate": "2026-11-22T09:00:00.000Z"},
            "metadata": {"room": "kitchen"},
            "metadataUpdatedDate": "2026-11-22T09:00:00.000Z",
            "token": "Tq3v0yXkQ0m1yZ7c9o2w5A",
            "status": "Inactive",
        }
    )

    token: str
    status: str


class EndpointIds(Camel):
    """Endpoints, by their ids."""

    endpoint_ids: list[str] = Field(max_length=1_000, description="The endpoints")


class DeletedView(Camel):
    """How many endpoints were deleted, and which were not there."""

    model_config = Camel.like({"deleted": 1, "notFound": ["cellar-2"]})

    deleted: int
    not_found: list[str]


def routes(register: Register) -> list[Route]:
    """Give all that can be asked for."""
    api = _Api(register)
    return [
        Route(
            method="POST",
            path="/endpoints",
            handler=api.post_endpoint,
            summary="Register an endpoint",
            description="The token is shown this once: it is stored hashed.",
            example={"appVersion": {"name": "smart-home-v1"}, "metadata": {"room": "kitchen"}},
            means={
                404: "There is no such application version, or no such endpoint to be related to",
                409: "The id or the token is taken",
                503: "The service of tokens does not answer; nothing was registered",
            },
            body=NewEndpoint,
            names=_named,
            returns=RegisteredView,
            status=201,
            errors=(InvalidInput, NotFound, Conflict, Unavailable),
        ),
        Route(
            method="DELETE",
            path="/endpoints/{endpointId}",
            handler=api.delete_endpoint,
            summary="Delete an endpoint and its tokens",
            description="Its points stay until their retention ends.",
            status=204,
            errors=(NotFound,),
        ),
        Route(
            method="POST",
            path="/endpoints/delete",
            handler=api.delete_endpoints,
            summary="Delete endpoints and their tokens",
            description="Those that are not there are named; their points stay until the retention ends.",
            example={"endpointIds": ["kitchen-1", "cellar-2"]},
            body=EndpointIds,
            returns=DeletedView,
            errors=(InvalidInput,),
        ),
        Route(
            method="GET",
            path="/endpoints/{endpointId}/app-version",
            handler=api.get_version,
            summary="The version of an endpoint",
            returns=AppVersionView,
            errors=(NotFound,),
        ),
        Route(
            method="PUT",
            path="/endpoints/{endpointId}/app-version",
            handler=api.put_version,
            summary="Move an endpoint to another version of its application",
            example={"name": "smart-home-v2"},
            means={
                404: "There is no such endpoint or application version",
                409: "The version is of another application, or the endpoint was moved or deleted meanwhile",
            },
            body=AppVersionName,
            returns=AppVersionView,
            errors=(InvalidInput, NotFound, Conflict),
        ),
    ]


class _Api:
    def __init__(self, register: Register) -> None:
        self._register = register

    async def post_endpoint(self, call: Call) -> Answer:
        new: NewEndpoint = call.body
        made = await self._register.register(
            new.app_version.name,
            endpoint_id=new.endpoint_id,
            token=new.endpoint_token,
            metadata=new.metadata,
            relations=_related(new.relations),
        )
        seen = endpoint_view(made.endpoint)
        body = RegisteredView(**dict(seen), token=made.token, status=made.token_status)
        return Answer(body=body, location=f"/endpoints/{made.endpoint.id}")

    async def delete_endpoint(self, call: Call) -> Answer:
        await self._register.unregister(call.path["endpointId"])
        return Answer()

    async def delete_endpoints(self, call: Call) -> DeletedView:
        wanted: EndpointIds = call.body
        deleted, missing = await self._register.unregister_all(wanted.endpoint_ids)
        return DeletedView(deleted=deleted, not_found=missing)

    async def get_version(self, call: Call) -> AppVersionView:
        return _version(await self._register.get(call.path["endpointId"]))

    async def put_version(self, call: Call) -> AppVersionView:
        wanted: AppVersionName = call.body
        return _version(await self._register.move(call.path["endpointId"], wanted.name))


def _named(call: Call) -> Named:
    """Give the version, and the endpoints that a new one is related to; its own id is no endpoint's yet."""
    new: NewEndpoint = call.body
    others = [one.from_ or one.to or "" for one in new.relations]
    return Named(versions=(new.app_version.name,), endpoints=tuple(others))


def _related(views: Sequence[NewRelation]) -> Callable[[EndpointId], Sequence[Relation]]:
    return lambda new: [Relation(one.type, EndpointId(one.from_ or new), EndpointId(one.to or new)) for one in views]


def endpoint_view(found: Endpoint) -> EndpointView:
    """Give an endpoint as it is shown."""
    return EndpointView(
        endpoint_id=found.id,
        created_date=found.created_ms,
        app_version=_version(found),
        metadata=None if found.metadata is None else dict(found.metadata),
        metadata_updated_date=found.metadata_updated_ms,
        filters=None if found.filters is None else list(found.filters),
    )


def _version(found: Endpoint) -> AppVersionView:
    return AppVersionView(name=found.app_version, registered_date=found.version_since_ms)
