"""What CEX is asked over HTTP: queries and bodies."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import AliasChoices, AwareDatetime, Field

from kaa.core.http import Camel, PageQuery

from .repository.reading import ORDERS
from .service import LONGEST_MS

_MOST_ENDPOINTS = 10_000
_MOST_LISTED = 1_000
_LONGEST_WAIT_S = 60
_SPARE_MS = 250  # of the caller's wait, for the answer to reach him before it is over
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DeliveryQuery(Camel):
    """When a command is delivered, and how long it lives from then on, in milliseconds; 0 is pushed once."""

    command_ttl: int | None = Field(
        default=None, ge=0, le=LONGEST_MS, description="How long it lives, in milliseconds; 0 is pushed once, if at all"
    )
    deliver_at: AwareDatetime | None = Field(default=None, description="Not before this time; its life begins then")

    @property
    def deliver_ms(self) -> int | None:
        """The time of delivery, where one is named."""
        return None if self.deliver_at is None else (self.deliver_at - _EPOCH) // timedelta(milliseconds=1)


class CommandQuery(DeliveryQuery):
    """How long the result is waited for, in seconds."""

    await_timeout: float = Field(
        default=4.5,
        ge=0,
        le=_LONGEST_WAIT_S,
        validation_alias=AliasChoices("awaitTimeout", "waitTimeout"),
        description="How long the result is waited for, in seconds; 0 does not wait",
    )

    @property
    def wait_ms(self) -> int:
        """How long the answer may be kept back: common clients give up after 5 s, and the answer must get there."""
        wait_ms = round(self.await_timeout * 1_000)
        return max(wait_ms - _SPARE_MS, wait_ms // 2)


class FilterQuery(DeliveryQuery):
    """Whose endpoints get the command."""

    filter_id: str = Field(description="The endpoint filter")


class EndpointsBody(Camel):
    """A command for many endpoints."""

    payload: Any = Field(None, description="What the endpoints are sent; a string, if it is text")
    payload_content_type: Literal["application/json", "text/plain"] = Field(
        "application/json", description="What the payload is"
    )
    endpoint_ids: list[str] = Field(
        min_length=1, max_length=_MOST_ENDPOINTS, description="The endpoints; all of one application"
    )


class ListQuery(Camel):
    """Whose commands are wanted: of each endpoint the youngest, of these types or of all."""

    endpoint_id: tuple[str, ...] = Field(min_length=1, max_length=_MOST_LISTED, description="The endpoints")
    command_types: tuple[str, ...] = Field((), description="Only commands of these types")
    limit: int = Field(default=100, ge=1, le=1_000, description="How many of each endpoint at most")


class PagesQuery(Camel):
    """Which page is wanted, and in which order: `createdAt,desc`."""

    page: int = Field(default=0, ge=0, le=1 << 31, description="Which page; the first is 0")
    size: int = Field(default=20, ge=1, le=1_000, description="How many are on a page")
    sort: tuple[str, ...] = Field((), description=f"By what: {', '.join(ORDERS)}; asc or desc behind it")
    command_types: tuple[str, ...] = Field((), description="Only commands of these types")


class LastBody(Camel):
    """Whose last commands are wanted; no types are all types."""

    endpoint_ids: list[str] = Field(min_length=1, max_length=_MOST_LISTED, description="The endpoints")
    command_types: tuple[str, ...] = Field((), max_length=100, description="Only commands of these types")


class TaskQuery(Camel):
    """The application that a task belongs to."""

    app_name: str = Field(description="The application")


class TasksQuery(PageQuery):
    """Which tasks are wanted."""

    app_name: str = Field(description="The application")
    command_type: str | None = Field(None, description="Only tasks of this type of command")
    filter_id: str | None = Field(None, description="Only tasks for this endpoint filter")
    sort_by: Literal["commandType", "filterId", "createdAt", "taskId"] = Field("createdAt", description="By what")
    sort_order: Literal["ASC", "DESC"] = Field("DESC", description="In which direction")
