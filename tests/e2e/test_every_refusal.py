"""Whatever is asked for: what is not there is not found, and what is too large is not read."""

import http.client
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import requests
from hosts import KaaProcess
from test_every_operation import Asked, furnished

pytestmark = pytest.mark.any_bus

NOBODY = {"commandId": "999999", "tenantId": "nobody", "version": "9.9.9"}
# of these there is nothing to be known before they are said: a new one is made, or nothing is there to be listed
MAY_BE_NEW = {"key", "commandType", "series"}
LISTS = re.compile(r"^GET .*/(tokens|configurations|configs|relations)$")


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    server = KaaProcess(tmp_path_factory.mktemp("kaa")).start()
    with requests.Session() as session:
        yield furnished(f"http://{server.http[0]}:{server.http[1]}", server.key, session)
    server.stop()
    assert "Traceback" not in server.said


@pytest.fixture(scope="module")
def operations(asked: Asked) -> list[tuple[str, str, dict[str, Any]]]:
    document = asked.send("GET", "/openapi.json")
    return [(method.upper(), path, one) for path, found in document["paths"].items() for method, one in found.items()]


def example(operation: dict[str, Any], values: dict[str, Any]) -> Any:
    """Give the example of a body, made to be about what the path names."""
    content = operation.get("requestBody", {}).get("content", {})
    found = json.dumps(next((one["example"] for one in content.values() if "example" in one), None))
    app = next((str(values[one]) for one in ("app", "application") if one in values), "house")
    return json.loads(found.replace("smart-home-v1", str(values["version"])).replace("smart-home", app))


def needed(operation: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Give what the query must have."""
    wanted = [one["name"] for one in operation["parameters"] if one["in"] == "query" and one.get("required")]
    return {name: known.get(name, "now") for name in wanted}


def target(path: str, values: dict[str, Any]) -> str:
    return re.sub(r"{(\w+)}", lambda match: str(values.get(match[1], "nobody")), path)


def test_what_a_path_names_and_is_not_there_is_not_found(
    asked: Asked, operations: list[tuple[str, str, dict[str, Any]]]
) -> None:
    found, wrong = 0, []
    for method, path, operation in operations:
        names = re.findall(r"{(\w+)}", path)
        known = asked.values(path)
        for name in (one for one in names if one not in MAY_BE_NEW):
            values = known | {name: NOBODY.get(name, "nobody")}
            query = needed(operation, known) | ({"awaitTimeout": 0} if "/cex/" in path else {})
            body, url = example(operation, values), asked.url + target(path, values)
            reply = asked.session.request(method, url, json=body, params=query, timeout=20)
            found += reply.status_code == 404
            if reply.status_code == 404:
                assert reply.json()["message"]
            elif not LISTS.match(f"{method} {path}"):
                wrong.append(f"{method} {path}: {name}: {reply.status_code} {reply.text[:120]}")
    assert not wrong, "\n".join(wrong)
    assert found > 100


def test_a_body_that_is_too_large_is_not_even_read(
    asked: Asked, operations: list[tuple[str, str, dict[str, Any]]]
) -> None:
    wrong, url = [], urlsplit(asked.url)
    for method, path, operation in operations:
        if "requestBody" not in operation:
            continue
        known = asked.values(path)
        where = f"{target(path, known)}?{urlencode(needed(operation, known))}"
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=20)
        connection.putrequest(method, where)
        connection.putheader("Authorization", asked.session.headers["Authorization"])
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(1 << 30))
        connection.endheaders()
        reply = connection.getresponse()
        text = reply.read()
        connection.close()
        if reply.status != 413 or b'"message"' not in text:
            wrong.append(f"{method} {path}: {reply.status} {text[:120]!r}")
    assert not wrong, "\n".join(wrong)
