"""Keys: who may make them, what they may, and that one that is deleted is felt at once."""

from typing import Any

import pytest
from hosts import Inside, Rest

KEYS = "/keys/api/v1/keys"


class As:
    """Asks with another key."""

    def __init__(self, rest: Rest, made: dict[str, Any]) -> None:
        self._rest, self._headers = rest, {"Authorization": f"Bearer {made['key']}"}

    async def __call__(self, method: str, path: str, body: object = None, **params: Any) -> Any:
        return await self._rest.call(method, path, body, params=params, headers=self._headers)


async def key(rest: Rest, role: str, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = await rest.send("POST", KEYS, {"role": role, **more})
    return made


async def test_a_key_is_shown_once_and_never_listed(server: Inside) -> None:
    made = await key(server.rest, "viewer", name="wall", applications=["home", "garden"])
    assert set(made) == {"id", "key", "role", "name", "applications", "createdDate"}
    shown = {name: value for name, value in made.items() if name != "key"}
    assert await server.rest.get(f"{KEYS}/{made['id']}") == shown
    listed = await server.rest.get(KEYS)
    assert listed["totalElements"] == 2
    assert listed["content"][1] == shown
    assert made["key"] not in str(listed)
    assert (await server.rest.get(KEYS, offset=1, limit=1))["content"] == [shown]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"role": "root"},
        {"role": "viewer", "applications": []},
        {"role": "viewer", "applications": ["No Such"]},
        {"role": "viewer", "name": ""},
        {"role": "viewer", "name": "x" * 257},
        {"role": "admin", "applications": ["home"]},
    ],
)
async def test_a_key_that_cannot_be_is_refused(place: Any, body: object) -> None:
    assert (await place.rest.call("POST", KEYS, body)).status == 400


async def test_a_deleted_key_is_refused_at_once(server: Inside) -> None:
    made = await key(server.rest, "operator")
    ask = As(server.rest, made)
    assert (await ask("GET", "/epr/api/v1/endpoints")).status == 200
    await server.rest.send("DELETE", f"{KEYS}/{made['id']}")
    assert (await ask("GET", "/epr/api/v1/endpoints")).status == 401
    assert (await server.rest.call("DELETE", f"{KEYS}/{made['id']}")).status == 404


async def test_the_last_admin_key_cannot_be_deleted_not_even_by_itself(server: Inside) -> None:
    [first] = (await server.rest.get(KEYS))["content"]
    await key(server.rest, "operator")
    refused = await server.rest.call("DELETE", f"{KEYS}/{first['id']}")
    assert refused.status == 409
    assert "last admin key" in refused.json["message"]
    second = await key(server.rest, "admin")
    assert (await As(server.rest, second)("DELETE", f"{KEYS}/{first['id']}")).status == 204
    assert (await server.rest.call("GET", KEYS)).status == 401
    assert (await As(server.rest, second)("DELETE", f"{KEYS}/{second['id']}")).status == 409


async def test_operators_do_all_but_keys_and_secrets_of_clients(server: Inside) -> None:
    ask = As(server.rest, await key(server.rest, "operator"))
    thing = await server.rest.thing()
    assert (await ask("POST", "/tekton/api/v1/applications", {"name": "operated"})).status == 201
    assert (
        await ask("POST", f"/cm/api/v1/endpoints/{thing.endpoint_id}/tokens", {"applicationName": thing.application})
    ).status == 201
    for method, path, body in (
        ("GET", KEYS, None),
        ("POST", KEYS, {"role": "viewer"}),
        ("POST", "/cm/api/v1/basic-credentials", {"username": "x"}),
        ("POST", "/ccm/api/v1/x509-credentials", {}),
    ):
        refused = await ask(method, path, body)
        assert refused.status == 403, path
        assert refused.json["message"] == "the role of this key is operator; admin is needed"


async def test_a_viewer_reads(server: Inside) -> None:
    ask = As(server.rest, await key(server.rest, "viewer"))
    assert (await ask("GET", "/tekton/api/v1/applications")).status == 200
    refused = await ask("POST", "/tekton/api/v1/applications", {"name": "viewed"})
    assert (refused.status, refused.json["message"]) == (403, "the role of this key is viewer; operator is needed")
