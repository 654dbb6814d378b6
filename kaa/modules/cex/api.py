"""CEX over HTTP."""

from collections.abc import AsyncIterator
from typing import Any

from pydantic_core import to_json

from kaa.core.applications import Applications
from kaa.core.errors import Conflict, InvalidInput, NotFound, TooLarge, TooMany, Unavailable
from kaa.core.http import Answer, Call, Route, Stream
from kaa.protocols import cep

from .asked import (
    CommandQuery,
    DeliveryQuery,
    EndpointsBody,
    FilterQuery,
    LastBody,
    ListQuery,
    PagesQuery,
    TaskQuery,
    TasksQuery,
)
from .batches import Batches
from .models import CommandKey, CommandType, Queue, Status
from .repository import CommandReader, TaskRepository
from .repository.reading import ORDERS
from .service import Commands
from .views import (
    CommandPageView,
    CommandView,
    EndpointCommandsView,
    TaskCommandsView,
    TaskIdView,
    TaskPageView,
    command_json,
    command_page_json,
    commands_json,
    endpoint_commands_json,
    task_commands_json,
    task_page_json,
)

_JSON = {"Content-Type": "application/json"}
_ENDPOINTS_A_READ = 50


def routes(
    commands: Commands,
    batches: Batches,
    reader: CommandReader,
    tasks: TaskRepository,
    applications: Applications[None],
    *,
    max_payload_bytes: int,
) -> list[Route]:
    """Give all that can be asked for."""
    api = _Api(commands, batches, reader, tasks, applications)
    one_type, every = "/endpoints/{endpointId}/commands/{commandType}", "/endpoints/commands"
    content: dict[str, Any] = {
        "body": bytes,
        "body_optional": True,
        "content_types": ("application/json", cep.TEXT),
        "max_body_bytes": max_payload_bytes,
    }
    return [
        Route(
            method="POST",
            path=one_type,
            handler=api.post_command,
            summary="Have a command run: 200 with the result's payload, or 202 with where the result will be",
            description=(
                "The command is kept until the endpoint has answered or its life is over, also over restarts. The "
                "endpoint's own status and phrase are in `X-Command-Status-Code` and `X-Command-Reason-Phrase`."
            ),
            example={"on": True},
            means={
                200: "The endpoint has answered; the body is its payload, empty if it gave none",
                202: "There is no result yet; `Location` says where it will be",
                404: "There is no such endpoint, or the command was deleted while its result was waited for",
                429: "As many commands wait for this endpoint as may; nothing was done",
            },
            query=CommandQuery,
            returns=Any,
            also={202: None},
            errors=(InvalidInput, NotFound, TooLarge, TooMany, Unavailable),
            **content,
        ),
        Route(
            method="GET",
            path=f"{one_type}/last",
            handler=api.get_last,
            summary="The last command of a type",
            means={404: "The endpoint has no command of this type"},
            returns=CommandView,
            errors=(NotFound,),
        ),
        Route(
            method="GET",
            path=f"{one_type}/{{commandId}}",
            handler=api.get_command,
            summary="One command",
            returns=CommandView,
            errors=(NotFound,),
        ),
        Route(
            method="DELETE",
            path=f"{one_type}/{{commandId}}",
            handler=api.delete_command,
            summary="Delete a command; it is not delivered any more",
            description="It is gone from all lists; whoever waits for its result is told that it was deleted.",
            status=204,
            errors=(NotFound,),
        ),
        Route(
            method="GET",
            path=every,
            handler=api.get_commands,
            summary="The youngest commands of endpoints",
            query=ListQuery,
            returns=list[EndpointCommandsView],
            errors=(InvalidInput,),
        ),
        Route(
            method="POST",
            path=f"{every}/last",
            handler=api.post_last,
            summary="The last command of each type of endpoints",
            example={"endpointIds": ["kitchen-1"], "commandTypes": ["switch"]},
            body=LastBody,
            returns=list[CommandView],
            writes=False,
            errors=(InvalidInput,),
        ),
        Route(
            method="GET",
            path=f"{every}/batch/tasks",
            handler=api.get_tasks,
            summary="The tasks of an application",
            means={404: "There is no such application"},
            query=TasksQuery,
            returns=TaskPageView,
            errors=(InvalidInput, NotFound),
        ),
        Route(
            method="GET",
            path=f"{every}/batch/tasks/{{taskId}}",
            handler=api.get_task,
            summary="The commands of a task, by how far they have come",
            means={404: "The application has no such task"},
            query=TaskQuery,
            returns=TaskCommandsView,
            errors=(InvalidInput, NotFound),
        ),
        Route(
            method="GET",
            path=f"{every}/{{applicationName}}",
            handler=api.get_page,
            summary="The commands of an application, by pages",
            description="In the layout of a Spring page; each command says which endpoint it is for.",
            query=PagesQuery,
            returns=CommandPageView,
            errors=(InvalidInput, NotFound),
        ),
        Route(
            method="POST",
            path=f"{every}/{{commandType}}/batch/by-filter",
            handler=api.post_by_filter,
            summary="Have a command run by all endpoints that match a filter",
            description=(
                "For those that match now. The answer comes at once; the task says how far its commands have come."
            ),
            example={"on": False},
            means={
                200: "The task has begun",
                404: "There is no such filter",
                409: "The filter is pending, or an endpoint has no numbers left for commands of this type",
                503: "The register of endpoints does not answer; no command was made",
            },
            query=FilterQuery,
            returns=TaskIdView,
            errors=(InvalidInput, NotFound, Conflict, TooLarge, Unavailable),
            **content,
        ),
        Route(
            method="POST",
            path=f"{every}/{{commandType}}/batch/by-endpoints",
            handler=api.post_by_endpoints,
            summary="Have a command run by many endpoints",
            example={"endpointIds": ["kitchen-1", "cellar-2"], "payload": {"on": False}},
            means={
                200: "The task has begun",
                404: "One of the endpoints is not there; no command was made",
                503: "The register of endpoints does not answer; no command was made",
            },
            query=DeliveryQuery,
            body=EndpointsBody,
            returns=TaskIdView,
            errors=(InvalidInput, NotFound, TooLarge, Unavailable),
        ),
    ]


class _Api:
    def __init__(
        self,
        commands: Commands,
        batches: Batches,
        reader: CommandReader,
        tasks: TaskRepository,
        applications: Applications[None],
    ) -> None:
        self._commands, self._batches = commands, batches
        self._reader, self._tasks, self._applications = reader, tasks, applications

    async def post_command(self, call: Call) -> Answer:
        query: CommandQuery = call.query
        key, outcome = await self._commands.create(
            call.path["endpointId"],
            call.path["commandType"],
            cep.payload_of(call.body, call.request.content_type),
            ttl_ms=query.command_ttl,
            deliver_ms=query.deliver_ms,
            wait_ms=query.wait_ms,
        )
        location = f"/endpoints/{key.endpoint_id}/commands/{key.command_type}/{key.command_id}"
        if outcome is None:
            return Answer(status=202, location=location)
        headers = cep.result_headers(outcome.status_code, outcome.reason_phrase)
        return Answer(body=outcome.payload or b"", headers=headers, location=location)

    async def get_command(self, call: Call) -> Answer:
        return _json(command_json(await self._commands.get(_key(call))))

    async def get_last(self, call: Call) -> Answer:
        return _json(command_json(await self._commands.get_last(_queue(call))))

    async def delete_command(self, call: Call) -> Answer:
        await self._commands.remove(_key(call))
        return Answer()

    async def get_commands(self, call: Call) -> Stream:
        query: ListQuery = call.query

        async def chunks() -> AsyncIterator[bytes]:
            sign = b"["
            for endpoint_id in dict.fromkeys(query.endpoint_id):
                found = await self._reader.find_of(endpoint_id, query.command_types, limit=query.limit)
                yield sign + endpoint_commands_json(endpoint_id, found)
                sign = b","
            yield b"]"

        return Stream(chunks=chunks())

    async def post_last(self, call: Call) -> Stream:
        body: LastBody = call.body
        ids = list(dict.fromkeys(body.endpoint_ids))

        async def chunks() -> AsyncIterator[bytes]:
            sign = b"["
            for at in range(0, len(ids), _ENDPOINTS_A_READ):
                found = await self._reader.find_last(ids[at : at + _ENDPOINTS_A_READ], body.command_types)
                if found:
                    yield sign + commands_json(found)[1:-1]
                    sign = b","
            yield b"[]" if sign == b"[" else b"]"

        return Stream(chunks=chunks())

    async def get_page(self, call: Call) -> Answer:
        query: PagesQuery = call.query
        application = self._applications.get(call.path["applicationName"])
        order = _order(query.sort)
        found, total = await self._reader.find_in(
            application.name, query.command_types, order=order, offset=query.page * query.size, limit=query.size
        )
        page = command_page_json(found, total=total, page=query.page, size=query.size, is_sorted=bool(order))
        return _json(page)

    async def post_by_filter(self, call: Call) -> TaskIdView:
        query: FilterQuery = call.query
        task_id = await self._batches.create_for_filter(
            query.filter_id,
            call.path["commandType"],
            cep.payload_of(call.body, call.request.content_type),
            ttl_ms=query.command_ttl,
            deliver_ms=query.deliver_ms,
        )
        return TaskIdView(task_id=task_id)

    async def post_by_endpoints(self, call: Call) -> TaskIdView:
        query: DeliveryQuery = call.query
        body: EndpointsBody = call.body
        if body.payload_content_type == cep.TEXT and not isinstance(body.payload, str):
            raise InvalidInput(f"body.payload: {cep.TEXT} is a string")
        task_id = await self._batches.create_for_endpoints(
            body.endpoint_ids,
            call.path["commandType"],
            to_json(body.payload) if "payload" in body.model_fields_set else None,
            ttl_ms=query.command_ttl,
            deliver_ms=query.deliver_ms,
        )
        return TaskIdView(task_id=task_id)

    async def get_tasks(self, call: Call) -> Answer:
        query: TasksQuery = call.query
        found, total = await self._tasks.find(
            self._applications.get(query.app_name).name,
            command_type=query.command_type,
            filter_id=query.filter_id,
            order=query.sort_by,
            is_ascending=query.sort_order == "ASC",
            offset=query.offset,
            limit=query.limit,
        )
        return _json(task_page_json(found, total=total))

    async def get_task(self, call: Call) -> Stream:
        query: TaskQuery = call.query
        task_id = call.path["taskId"]
        await self._tasks.check(query.app_name, task_id)

        async def chunks() -> AsyncIterator[bytes]:
            sign = b"{"
            for name, status in (
                ("executed", Status.EXECUTED),
                ("expired", Status.EXPIRED),
                ("pending", Status.PENDING),
            ):
                yield sign + b'"%b":[' % name.encode()
                between = b""
                async for keys in self._tasks.commands(task_id, status):
                    yield between + task_commands_json(keys)
                    between = b","
                yield b"]"
                sign = b","
            yield b"}"

        return Stream(chunks=chunks())


def _queue(call: Call) -> Queue:
    return Queue(call.path["endpointId"], CommandType(call.path["commandType"]))  # type: ignore[arg-type]


def _key(call: Call) -> CommandKey:
    text = call.path["commandId"]
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= cep.MAX_COMMAND_ID):
        raise NotFound(f"there is no command {text[:80]!r}: the id of a command is a number")
    return CommandKey(*_queue(call), int(text))


def _order(sort: tuple[str, ...]) -> list[tuple[str, bool]]:
    """Read `name,name,desc`: a direction is that of the names before it."""
    order: list[tuple[str, bool]] = []
    names: list[str] = []
    for word in sort:
        if word.lower() in {"asc", "desc"}:
            order += [(name, word.lower() == "asc") for name in names]
            names = []
        elif word in ORDERS:
            names.append(word)
        else:
            raise InvalidInput(f"query.sort: {word[:80]!r} is none of {', '.join(ORDERS)}, asc and desc")
    return order + [(name, True) for name in names]


def _json(body: bytes) -> Answer:
    return Answer(body=body, headers=_JSON)
