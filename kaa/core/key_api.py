"""The REST keys over REST, for admins."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError

from kaa.core.auth import KeyRecord, Keys, Role
from kaa.core.dates import Date
from kaa.core.errors import Conflict, InvalidInput, NotFound
from kaa.core.http import Answer, Call, Camel, Page, PageQuery, Route
from kaa.core.http.read import invalid

LONGEST_NAME = 256
MOST_APPLICATIONS = 1_000

ApplicationName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,128}$")]


class NewKey(Camel):
    """A key to be made: for these applications alone, or, where none is named, for all."""

    role: Role = Field(description="What the key may: admin everything, operator no keys and no secrets, viewer read")
    name: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NAME)] | None = Field(
        None, description="Whose or what it is, for people"
    )
    applications: Annotated[list[ApplicationName], Field(min_length=1, max_length=MOST_APPLICATIONS)] | None = Field(
        None, description="The applications that it is limited to; all, if it is not said"
    )


class KeyView(Camel):
    """A key, without the key itself; no applications are all of them."""

    id: str
    role: Role
    name: str | None
    applications: list[str] | None
    created_date: Date


class NewKeyView(KeyView):
    """A new key, which is shown this once."""

    key: str


def routes(keys: Keys) -> list[Route]:
    """Give all that can be asked for."""

    async def get_keys(call: Call) -> Page[KeyView]:
        query: PageQuery = call.query
        found = await keys.all()
        wanted = found[query.offset : query.offset + query.limit]
        return Page[KeyView](content=[key_view(one) for one in wanted], total_elements=len(found))

    async def post_key(call: Call) -> Answer:
        new: NewKey = call.body
        record, key = await keys.make(new.role, name=new.name, applications=new.applications or ())
        return Answer(body=NewKeyView(**_shown(record), key=key), location=f"/keys/{record.id}")

    async def get_key(call: Call) -> KeyView:
        return key_view(await keys.get(call.path["id"]))

    async def delete_key(call: Call) -> Answer:
        await keys.remove(call.path["id"])
        return Answer()

    return [
        Route(
            method="GET",
            path="/keys",
            handler=get_keys,
            summary="The keys for REST, oldest first",
            query=PageQuery,
            returns=Page[KeyView],
            needs=Role.ADMIN,
        ),
        Route(
            method="POST",
            path="/keys",
            handler=post_key,
            summary="Make a key for REST; the key itself is shown this once",
            body=NewKey,
            example={"role": "viewer", "name": "dashboard", "applications": ["smart-home"]},
            returns=NewKeyView,
            status=201,
            errors=(InvalidInput,),
            needs=Role.ADMIN,
        ),
        Route(
            method="GET",
            path="/keys/{id}",
            handler=get_key,
            summary="One key for REST",
            returns=KeyView,
            errors=(NotFound,),
            needs=Role.ADMIN,
        ),
        Route(
            method="DELETE",
            path="/keys/{id}",
            handler=delete_key,
            summary="Delete a key for REST; it is refused from now on",
            status=204,
            errors=(NotFound, Conflict),
            means={409: "It is the last key of an admin: nobody could make another one"},
            needs=Role.ADMIN,
        ),
    ]


def new_key(given: Mapping[str, Any]) -> NewKey:
    """Read a key to be made, as a body has it; InvalidInput names what is wrong."""
    try:
        return NewKey.model_validate(given)
    except ValidationError as error:
        raise invalid(error, "key") from None


def key_view(record: KeyRecord) -> KeyView:
    """Give a key as it is shown."""
    return KeyView(**_shown(record))


def _shown(record: KeyRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "role": record.role,
        "name": record.name,
        "applications": list(record.applications) or None,
        "created_date": record.created_ms,
    }
