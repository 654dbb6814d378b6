"""What a module says about its HTTP side, and what its handlers take and give."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from aiohttp import web
from multidict import CIMultiDictProxy
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from kaa.core.auth import ANONYMOUS, Caller, Role
from kaa.core.errors import PreconditionFailed, Refusal

INT64_MAX = (1 << 63) - 1
PATH_PARAMETER = re.compile(r"{(\w+)(?::[^{}]*(?:{[^{}]*}[^{}]*)*)?}")
"""A parameter in a route's path, perhaps with a pattern behind its name."""
TENANT = "kaa"
"""The one tenant that there is. Every route of an instance takes `tenantId`, and finds nothing of another one."""
TENANT_PARAMETER = "tenantId"

_READS = frozenset({"GET", "HEAD"})
_ETAGS = re.compile(r'(?:W/)?"([^"]*)"|([^\s,]+)')

_PARAMETERS = re.compile(r"{(\w+)")

T = TypeVar("T")


class Camel(BaseModel):
    """A frozen model with camelCase names on the wire and ours in Python."""

    # built when it is first needed: a server has hundreds of these, and most are not asked for in a day
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, defer_build=True)

    @staticmethod
    def like(example: Mapping[str, Any]) -> ConfigDict:
        """Give the `model_config` of a model that the document shows by an example, with the names of the wire."""
        return ConfigDict(json_schema_extra={"examples": [dict(example)]})


class PageQuery(Camel):
    """Which part of a list is wanted."""

    offset: int = Field(default=0, ge=0, le=INT64_MAX, description="How many are skipped")
    limit: int = Field(default=20, ge=0, le=1000, description="How many are given at most")


class Page(Camel, Generic[T]):
    """A part of a list, and how long the whole is."""

    content: list[T]
    total_elements: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back.

    A body of bytes goes as it is, with the `Content-Type` of `headers`; anything else becomes JSON. `location` is a
    path below the instance's base, not quoted. A GET whose `etag` the caller already has becomes 304 by itself.
    """

    body: Any = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    etag: str | None = None
    location: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A body too large to be held; an error before the first chunk is answered, a later one cuts the connection."""

    chunks: AsyncIterator[bytes]
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Call:
    """One request, checked and parsed."""

    request: web.Request
    path: dict[str, str]
    query: Any = None
    body: Any = None
    caller: Caller = ANONYMOUS
    correlation_id: str = ""

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The request's headers; case does not matter."""
        return self.request.headers

    @property
    def base_url(self) -> str:
        """`scheme://host` as the caller spelled it."""
        return f"{self.request.scheme}://{self.request.host}"

    def if_match(self, etag: str | None) -> None:
        """Raise PreconditionFailed if there is an `If-Match` that does not name this state; None is "not there".

        A weak tag counts as its strong one: proxies that compress weaken tags on the way, and callers send them back.
        """
        named = _etags(self.request.headers.getall("If-Match", ()))
        if named is not None and not _names(named, etag):
            raise PreconditionFailed("If-Match names another state than the current one; read it again and retry")

    def is_not_modified(self, etag: str) -> bool:
        """Whether the caller already has this state (`If-None-Match`)."""
        named = _etags(self.request.headers.getall("If-None-Match", ()))
        return named is not None and _names(named, etag)


Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What a request is about: names of applications and versions, ids of endpoints and filters."""

    applications: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One thing that can be asked for, with everything that the site and the document need to know about it.

    For the document there are words: `description` says what the summary does not, `example` is a body that is taken,
    `shows` one that is given, and `means` says what a status means here, where that is more than it always means.
    `prompts` has a browser that shows no key ask its user for one.

    The handler gives an Answer, a Stream, or what becomes the body. `query` is a frozen pydantic model; fields that
    are lists or tuples take repeated and comma-separated values. `body` is anything that pydantic can validate, or
    `bytes` for the body as it came. A content type is documented, not checked: what counts is that the body parses.
    `gives` are the content types of the answer; JSON where there are none, of bytes a stream of octets. `also` are
    successes and the like beside `status`, each with what is in its body; None is no body. `tagged` says of a GET that
    its answer has an ETag, and that it becomes 304 for one who has that state.

    A key that is limited to applications is let in where the names of parameters show that all is about these
    (`scope.py`). `names` says what a request's query and body are about where their names do not tell; `shows_own` that
    where nothing is named the handler shows a caller what is of his applications, or what is of none.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    description: str = ""
    example: Any = None
    shows: Any = None
    means: Mapping[int, str] = field(default_factory=dict)
    prompts: bool = False
    query: type[BaseModel] | None = None
    body: Any = None
    body_optional: bool = False
    content_types: tuple[str, ...] = ("application/json",)
    returns: Any = None
    gives: tuple[str, ...] = ()
    status: int = 200
    also: Mapping[int, Any] = field(default_factory=dict)
    tagged: bool = False
    errors: tuple[type[Refusal], ...] = ()
    writes: bool | None = None  # a method other than GET and HEAD does, unless the route says otherwise
    needs: Role | None = None  # a viewer may read and an operator write, unless the route says otherwise
    names: Callable[[Call], Named] | None = None
    shows_own: bool = False
    audited: bool | None = None  # what writes with a key is, unless the route says otherwise
    open: bool = False
    max_body_bytes: int | None = None  # the site's setting, 1 MiB by default

    def __post_init__(self) -> None:
        if self.writes is None:
            object.__setattr__(self, "writes", self.method not in _READS)
        if self.needs is None:
            object.__setattr__(self, "needs", Role.OPERATOR if self.writes else Role.VIEWER)
        if self.audited is None:
            object.__setattr__(self, "audited", self.writes and not self.open)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """A route and where it is; `instance` is empty at the root."""

    instance: str
    base: str
    route: Route

    @property
    def path(self) -> str:
        """From the site's root, with its parameters in braces."""
        return self.base + self.route.path

    @property
    def parameters(self) -> list[str]:
        """The names of the parameters in the path."""
        return _PARAMETERS.findall(self.path)


def bare_etag(etag: str) -> str:
    """Without `W/` and quotes."""
    return etag.removeprefix("W/").strip('"')


def _etags(lines: list[str] | tuple[str, ...]) -> set[str] | None:
    if not lines:
        return None
    return {quoted or plain for line in lines for quoted, plain in _ETAGS.findall(line)}


def _names(named: set[str], etag: str | None) -> bool:
    return etag is not None and ("*" in named or bare_etag(etag) in named)
