"""Configurations of endpoints and of versions."""

from typing import Any

from pydantic import Field

from kaa.core.errors import Conflict, InvalidInput, NotFound, PreconditionFailed, TooLarge, Unavailable
from kaa.core.http import Answer, Call, Camel, Named, Route

from ..models import Configuration
from ..service import Configurations
from .views import BODY_FACTOR, EXAMPLE, ConfigurationView, NameQuery, view

_OF_ENDPOINT = "/endpoints/{endpointId}/app-versions/{appVersionName}"
_OF_VERSION = "/app-versions/{appVersionName}"
_IDS_BYTES = 256 * 1024
_NO_REGISTER = "The register of endpoints does not answer; nothing was changed"
_PUSHED = "Whoever it is for is sent it at once if it is connected, and else when it comes back."


class BatchBody(Camel):
    """One configuration for many endpoints, which are given by their versions."""

    config_payload: Any = Field(description="The configuration: any JSON but null")
    endpoints: dict[str, list[str]] = Field(max_length=100, description="The ids of endpoints, by application version")


def configuration_routes(configurations: Configurations, *, most_bytes: int) -> list[Route]:
    """Give the routes."""
    api = _Api(configurations)
    one: dict[str, Any] = {"query": NameQuery, "returns": ConfigurationView}
    put: dict[str, Any] = {**one, "body": Any, "max_body_bytes": most_bytes * BODY_FACTOR}
    put["example"] = EXAMPLE
    other = {409: "The endpoint belongs to another application than the version", 503: _NO_REGISTER}
    put_errors = (InvalidInput, NotFound, Conflict, PreconditionFailed, TooLarge, Unavailable)
    return [
        Route(
            method="PUT",
            path=_OF_ENDPOINT,
            handler=api.put_of_endpoint,
            summary="Give an endpoint a configuration of its own",
            description=f"It is stronger than that of a filter and of the version. {_PUSHED}",
            means={
                **other,
                404: "There is no such endpoint or application version, or a schema is needed and there is none",
            },
            errors=put_errors,
            **put,
        ),
        Route(
            method="GET",
            path=_OF_ENDPOINT,
            handler=api.get_of_endpoint,
            summary="An endpoint's own configuration",
            means={404: "The endpoint has no configuration of its own with that name"},
            errors=(InvalidInput, NotFound),
            **one,
            tagged=True,
        ),
        Route(
            method="DELETE",
            path=_OF_ENDPOINT,
            handler=api.delete_of_endpoint,
            summary="Take an endpoint's own configuration away",
            description="It is sent what holds for it from then on.",
            means={404: "The endpoint has no configuration of its own with that name", 503: _NO_REGISTER},
            query=NameQuery,
            status=204,
            errors=(InvalidInput, NotFound, PreconditionFailed, Unavailable),
        ),
        Route(
            method="GET",
            path=f"{_OF_ENDPOINT}/configurations",
            handler=api.get_all_of_endpoint,
            summary="An endpoint's own configurations, by name",
            returns=list[ConfigurationView],
        ),
        Route(
            method="PUT",
            path="/endpoints/batch",
            handler=api.put_batch,
            summary="Give many endpoints the same configuration",
            description="All get it, or none.",
            example={"configPayload": {"interval": 60}, "endpoints": {"smart-home-v1": ["kitchen-1", "cellar-2"]}},
            means={**other, 404: "One of the endpoints or versions is not there; nothing was changed"},
            query=NameQuery,
            body=BatchBody,
            names=_named,
            status=204,
            errors=(InvalidInput, NotFound, Conflict, TooLarge, Unavailable),
            max_body_bytes=most_bytes * BODY_FACTOR + _IDS_BYTES,
        ),
        Route(
            method="PUT",
            path=_OF_VERSION,
            handler=api.put_of_version,
            summary="Give a version a configuration, for all of its endpoints that have nothing closer",
            description=_PUSHED,
            means={404: "There is no such application version, or a schema is needed and there is none"},
            errors=(InvalidInput, NotFound, PreconditionFailed, TooLarge),
            **put,
        ),
        Route(
            method="GET",
            path=_OF_VERSION,
            handler=api.get_of_version,
            summary="A version's configuration",
            means={404: "The version has no configuration with that name"},
            errors=(InvalidInput, NotFound),
            **one,
            tagged=True,
        ),
        Route(
            method="DELETE",
            path=_OF_VERSION,
            handler=api.delete_of_version,
            summary="Take a version's configuration away",
            description="Its endpoints are sent what holds for them from then on.",
            means={404: "The version has no configuration with that name"},
            query=NameQuery,
            status=204,
            errors=(InvalidInput, NotFound, PreconditionFailed),
        ),
        Route(
            method="GET",
            path=f"{_OF_VERSION}/configurations",
            handler=api.get_all_of_version,
            summary="A version's configurations, by name",
            returns=list[ConfigurationView],
        ),
        Route(
            method="GET",
            path=f"{_OF_VERSION}/schemas",
            handler=api.get_schema,
            summary="The JSON Schema that a version's configurations are held to",
            description="It is a setting of the version, or of its application.",
            means={404: "Neither the version nor its application has a schema"},
            returns=dict[str, Any],
            errors=(NotFound,),
        ),
        Route(
            method="PUT",
            path=f"{_OF_VERSION}/schemas/validate",
            handler=api.put_validate,
            summary="Hold a configuration against the schema, and store nothing",
            example=EXAMPLE,
            means={
                200: "It is valid",
                400: "It is not valid; the message says where",
                404: "There is no such application version, or no schema to hold it against",
            },
            body=Any,
            max_body_bytes=most_bytes * BODY_FACTOR,
            errors=(InvalidInput, NotFound, TooLarge),
            writes=False,
        ),
    ]


class _Api:
    def __init__(self, configurations: Configurations) -> None:
        self._configurations = configurations

    async def put_of_endpoint(self, call: Call) -> Answer:
        path = call.path["endpointId"], call.path["appVersionName"]
        return _answer(
            await self._configurations.put_of_endpoint(*path, call.query.name, call.body, check=call.if_match)
        )

    async def get_of_endpoint(self, call: Call) -> Answer:
        path = call.path["endpointId"], call.path["appVersionName"]
        return _answer(await self._configurations.get_of_endpoint(*path, call.query.name))

    async def delete_of_endpoint(self, call: Call) -> Answer:
        path = call.path["endpointId"], call.path["appVersionName"]
        await self._configurations.remove_of_endpoint(*path, call.query.name, check=call.if_match)
        return Answer()

    async def get_all_of_endpoint(self, call: Call) -> list[ConfigurationView]:
        path = call.path["endpointId"], call.path["appVersionName"]
        return [view(one) for one in await self._configurations.find_of_endpoint(*path)]

    async def put_batch(self, call: Call) -> Answer:
        body: BatchBody = call.body
        await self._configurations.put_of_endpoints(body.endpoints, call.query.name, body.config_payload)
        return Answer()

    async def put_of_version(self, call: Call) -> Answer:
        version = call.path["appVersionName"]
        return _answer(
            await self._configurations.put_of_version(version, call.query.name, call.body, check=call.if_match)
        )

    async def get_of_version(self, call: Call) -> Answer:
        return _answer(await self._configurations.get_of_version(call.path["appVersionName"], call.query.name))

    async def delete_of_version(self, call: Call) -> Answer:
        version = call.path["appVersionName"]
        await self._configurations.remove_of_version(version, call.query.name, check=call.if_match)
        return Answer()

    async def get_all_of_version(self, call: Call) -> list[ConfigurationView]:
        return [view(one) for one in await self._configurations.find_of_version(call.path["appVersionName"])]

    async def get_schema(self, call: Call) -> Answer:
        return Answer(body=self._configurations.schema(call.path["appVersionName"]))

    async def put_validate(self, call: Call) -> Answer:
        self._configurations.check(call.path["appVersionName"], call.body)
        return Answer()


def _named(call: Call) -> Named:
    body: BatchBody = call.body
    return Named(versions=tuple(body.endpoints), endpoints=tuple(one for ids in body.endpoints.values() for one in ids))


def _answer(one: Configuration) -> Answer:
    return Answer(body=view(one), etag=one.config_id)
