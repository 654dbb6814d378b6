"""JSON Patch (RFC 6902) on metadata, with bounds on what a patch may cost."""

from typing import Annotated, Any, Literal

import jsonpatch
from jsonpointer import JsonPointer, JsonPointerException
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from kaa.core.errors import Conflict, InvalidInput

from .metadata import MAX_BYTES, MAX_DEPTH

MAX_PATCH_BYTES = 2 * MAX_BYTES
_MAX_OPERATIONS = 256
_MAX_COPIES = 8  # each may double what there is
_MAX_BYTES_MEANWHILE = 4 * MAX_BYTES


class _Operation(BaseModel):
    model_config = ConfigDict(frozen=True)

    path: str = Field(max_length=1_024)


class _WithValue(_Operation):
    op: Literal["add", "replace", "test"]
    value: Any


class _WithFrom(_Operation):
    op: Literal["copy", "move"]
    from_: str = Field(alias="from", max_length=1_024)


class _Remove(_Operation):
    op: Literal["remove"]


Operations = Annotated[
    list[Annotated[_WithValue | _WithFrom | _Remove, Field(discriminator="op")]], Field(max_length=_MAX_OPERATIONS)
]
"""A patch as it comes in."""

_operations: TypeAdapter[Operations] = TypeAdapter(Operations)


class Patch:
    """A patch that is well formed; whether it fits is seen when it is applied."""

    def __init__(self, operations: Operations) -> None:
        if sum(one.op == "copy" for one in operations) > _MAX_COPIES:
            raise InvalidInput(f"patch: more than {_MAX_COPIES} copies")
        self._steps = [(one.op, one.path, _step(at, one)) for at, one in enumerate(operations)]

    def apply(self, document: dict[str, Any]) -> dict[str, Any]:
        """Give what becomes of the document, which stays as it is; all of the patch is done or nothing.

        Raises:
            Conflict: a place is not there, or a test has failed.
            InvalidInput: it leaves no object, or grows beyond all bounds meanwhile.
        """
        changed: Any = document
        for at, (kind, path, step) in enumerate(self._steps):
            try:
                changed = step.apply(changed, in_place=at > 0)
            except jsonpatch.JsonPatchTestFailed:
                raise Conflict(f"patch[{at}]: the test of {path[:80]!r} has failed") from None
            except (jsonpatch.JsonPatchException, JsonPointerException, TypeError):
                raise Conflict(f"patch[{at}]: {kind} cannot be done at {path[:80]!r}: there is no such place") from None
            if kind in {"copy", "move"}:
                _check_growth(changed, at)
        if not isinstance(changed, dict):
            raise InvalidInput("patch: metadata is to be an object, and this leaves none")
        return changed


def read_patch(data: bytes) -> Patch:
    """Read a patch from JSON."""
    if len(data) > MAX_PATCH_BYTES:
        raise InvalidInput(f"patch: more than {MAX_PATCH_BYTES} bytes")
    try:
        return Patch(_operations.validate_json(data))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        raise InvalidInput(f"patch{place}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None


def _step(at: int, operation: _WithValue | _WithFrom | _Remove) -> jsonpatch.JsonPatch:
    try:
        for pointer in (operation.path, operation.from_) if isinstance(operation, _WithFrom) else (operation.path,):
            if len(JsonPointer(pointer).parts) > MAX_DEPTH:
                raise InvalidInput(f"patch[{at}]: {pointer[:80]!r} is deeper than {MAX_DEPTH} levels")
        return jsonpatch.JsonPatch([operation.model_dump(by_alias=True)])
    except (jsonpatch.JsonPatchException, JsonPointerException):
        raise InvalidInput(f"patch[{at}]: not an operation of JSON Patch (RFC 6902)") from None


def _check_growth(document: Any, at: int) -> None:
    try:
        size = len(to_json(document))
    except ValueError:
        raise InvalidInput(f"patch[{at}]: it is nested too deep") from None
    if size > _MAX_BYTES_MEANWHILE:
        raise InvalidInput(f"patch[{at}]: more than {_MAX_BYTES_MEANWHILE} bytes of JSON")
