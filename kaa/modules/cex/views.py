"""Commands and tasks as REST callers see them.

Payloads go out as the text that came in: they may be large, and nobody here needs to know what is in them. So commands
are written by hand, and the models are for the document.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import to_json

from kaa.core.dates import Date, iso
from kaa.core.http import Camel

from .models import Command, CommandKey, Status, Task


class CommandView(Camel):
    """A command; what has not come yet is null."""

    model_config = Camel.like(
        {
            "commandId": 7,
            "commandType": "switch",
            "endpointId": "c5e9a6c7-1634-4807-bb37-00a2d57b24ae",
            "status": "EXECUTED",
            "statusCode": 200,
            "reasonPhrase": "OK",
            "requestPayload": {"on": True},
            "responsePayload": {"on": True},
            "createdAt": "2026-11-22T09:00:00.000Z",
            "updatedAt": "2026-11-22T09:00:00.240Z",
            "deliverAt": "2026-11-22T09:00:00.000Z",
            "expiresAt": "2026-11-22T10:00:00.000Z",
        }
    )

    command_id: int
    command_type: str
    endpoint_id: str
    status: Status
    status_code: int | None
    reason_phrase: str | None
    request_payload: Any
    response_payload: Any
    created_at: Date
    updated_at: Date
    deliver_at: Date
    expires_at: Date


class EndpointCommandsView(Camel):
    """Commands of one endpoint, youngest first."""

    endpoint_id: str
    commands: list[CommandView]


class SortView(Camel):
    """Whether a page is sorted."""

    sorted: bool
    unsorted: bool
    empty: bool


class PageableView(Camel):
    """Which page it is."""

    sort: SortView
    offset: int
    page_number: int
    page_size: int
    paged: bool
    unpaged: bool


class CommandPageView(Camel):
    """A page of commands."""

    content: list[CommandView]
    pageable: PageableView
    total_elements: int
    total_pages: int
    last: bool
    first: bool
    sort: SortView
    number: int
    size: int
    number_of_elements: int
    empty: bool


class TaskIdView(Camel):
    """A task that has begun."""

    model_config = Camel.like({"taskId": "2c9f4a1e-0f1b-4b8e-8a8c-1d7c1c6e9d01"})

    task_id: str


class TaskView(Camel):
    """A task, and how far its commands have come."""

    model_config = Camel.like(
        {
            "taskId": "2c9f4a1e-0f1b-4b8e-8a8c-1d7c1c6e9d01",
            "filterId": None,
            "commandType": "switch",
            "requestPayload": {"on": False},
            "createdAt": "2026-11-22T09:00:00.000Z",
            "pendingCount": 1,
            "executedCount": 10,
            "expiredCount": 1,
        }
    )

    task_id: str
    filter_id: str | None
    command_type: str
    request_payload: Any
    created_at: Date
    pending_count: int
    executed_count: int
    expired_count: int


class TaskPageView(Camel):
    """A part of a list of tasks."""

    content: list[TaskView]
    total_elements: int


class TaskCommandView(Camel):
    """A command of a task."""

    endpoint_id: str
    command_id: int


class TaskCommandsView(Camel):
    """The commands of a task by how far they have come."""

    model_config = Camel.like(
        {
            "executed": [{"endpointId": "kitchen-1", "commandId": 8}],
            "expired": [],
            "pending": [{"endpointId": "cellar-2", "commandId": 3}],
        }
    )

    executed: list[TaskCommandView]
    expired: list[TaskCommandView]
    pending: list[TaskCommandView]


def command_json(command: Command) -> bytes:
    """Write a command."""
    fields = {
        "commandId": command.key.command_id,
        "commandType": command.key.command_type,
        "endpointId": command.key.endpoint_id,
        "status": command.status,
        "statusCode": command.status_code,
        "reasonPhrase": command.reason_phrase,
        "createdAt": iso(command.created_ms),
        "updatedAt": iso(command.updated_ms),
        "deliverAt": iso(command.deliver_ms),
        "expiresAt": iso(command.expires_ms),
    }
    return _with(fields, requestPayload=command.request, responsePayload=command.response)


def commands_json(commands: Iterable[Command]) -> bytes:
    """Write an array of commands."""
    return b"[" + b",".join(map(command_json, commands)) + b"]"


def endpoint_commands_json(endpoint_id: str, commands: Iterable[Command]) -> bytes:
    """Write the commands of an endpoint."""
    return _with({"endpointId": endpoint_id}, commands=commands_json(commands))


def command_page_json(commands: Sequence[Command], *, total: int, page: int, size: int, is_sorted: bool) -> bytes:
    """Write a page of commands."""
    pages = -(-total // size)
    sort = SortView(sorted=is_sorted, unsorted=not is_sorted, empty=not is_sorted)
    pageable = PageableView(sort=sort, offset=page * size, page_number=page, page_size=size, paged=True, unpaged=False)
    view = CommandPageView(
        content=[],
        pageable=pageable,
        total_elements=total,
        total_pages=pages,
        last=page + 1 >= pages,
        first=page == 0,
        sort=sort,
        number=page,
        size=size,
        number_of_elements=len(commands),
        empty=not commands,
    )
    return _with(view.model_dump(by_alias=True, exclude={"content"}), content=commands_json(commands))


def task_page_json(tasks: Iterable[Task], *, total: int) -> bytes:
    """Write a page of tasks."""
    return _with({"totalElements": total}, content=b"[" + b",".join(map(_task_json, tasks)) + b"]")


def task_commands_json(keys: Iterable[CommandKey]) -> bytes:
    """Write commands of a task, without the brackets around them."""
    return b",".join(to_json({"endpointId": key.endpoint_id, "commandId": key.command_id}) for key in keys)


def _task_json(task: Task) -> bytes:
    fields = {
        "taskId": task.id,
        "filterId": task.filter_id,
        "commandType": task.command_type,
        "createdAt": iso(task.created_ms),
        "pendingCount": task.counts.get(Status.PENDING, 0),
        "executedCount": task.counts.get(Status.EXECUTED, 0),
        "expiredCount": task.counts.get(Status.EXPIRED, 0),
    }
    return _with(fields, requestPayload=task.request)


def _with(fields: dict[str, Any], **texts: bytes | None) -> bytes:
    """Write an object of which some members are JSON already."""
    members = b",".join(b'"%b":%b' % (name.encode(), b"null" if text is None else text) for name, text in texts.items())
    return to_json(fields)[:-1] + b"," + members + b"}"
