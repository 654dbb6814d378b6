"""The document keeps its word: whatever is asked, nothing answers but what it says, and never with a 500."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import schemathesis
from hosts import KaaProcess
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

pytestmark = pytest.mark.any_bus


def is_no_bug(_context: object, answer: Any, _case: object) -> None:
    """Refuse a 500; of the others above it, like a 504 for a device that says nothing, the document tells."""
    assert answer.status_code != 500, "a bug of ours"


CHECKS = [is_no_bug, status_code_conformance, content_type_conformance, response_schema_conformance]
# what is read comes after what is written, however strange; what takes things away comes last
ORDER = ("post", "put", "patch", "get", "delete")
PATIENCE_S = 20
PARTS = 3  # that can be asked at the same time


@dataclass(frozen=True, slots=True)
class Asked:
    """A server with something of everything in it, to be asked anything."""

    url: str
    session: requests.Session
    known: dict[str, Any]

    def send(self, method: str, path: str, body: object = None, **params: Any) -> Any:
        """Give the JSON of a success; None where there is none."""
        reply = self.session.request(method, self.url + path, json=body, params=params, timeout=PATIENCE_S)
        assert reply.status_code < 300, reply.text
        return json.loads(reply.content) if reply.content else None

    def values(self, path: str) -> dict[str, Any]:
        """Give what there is for the parameters of a path: a version is not the same everywhere."""
        own = {"/otao/": {"version": "1.0.0"}, "/keys/": {"id": self.known["keyId"]}}
        return self.known | next((values for base, values in own.items() if path.startswith(base)), {})


def furnished(url: str, key: str, session: requests.Session) -> Asked:
    """Make one of everything."""
    session.headers["Authorization"] = f"Bearer {key}"
    asked = Asked(url, session, {})
    app = "house"
    asked.send("POST", "/tekton/api/v1/applications", {"name": app})
    asked.send("POST", f"/tekton/api/v1/applications/{app}/app-versions", {"nameSuffix": "v1"})
    version = {"appVersion": {"name": f"{app}-v1"}}
    kitchen = {**version, "metadata": {"room": "kitchen"}}
    endpoint_id = asked.send("POST", "/epr/api/v1/endpoints", kitchen)["endpointId"]
    batch = asked.send("POST", "/epr/api/v1/endpoints/batch", {**version, "endpoints": [{}, {}]})
    query = {"name": "kitchens", "mongoQuery": {"metadata.room": "kitchen"}}
    filter_id = asked.send("POST", f"/epr/api/v1/applications/{app}/filters", query)["id"]
    asked.send("POST", f"/cex/api/v1/endpoints/{endpoint_id}/commands/count", {"to": 1}, awaitTimeout=0)
    config = asked.send("PUT", f"/ecr/api/v1/endpoints/{endpoint_id}/app-versions/{app}-v1", {"a": 1})
    software = {"version": "1.0.0", "rolloutStrategy": "general", "specification": {"a": 1}}
    asked.send("POST", f"/otao/api/v1/applications/{app}/software", software)
    credential = asked.send("POST", "/cm/api/v1/basic-credentials", {"username": "somebody"})
    token = asked.send("GET", f"/cm/api/v1/endpoints/{endpoint_id}/tokens")["content"][0]
    points = {endpoint_id: {"auto~x": [{"timestamp": "now", "values": {"value": 1}}]}}
    asked.send("PUT", f"/epts/api/v1/app-versions/{app}-v1/time-series/data", points)
    asked.known.update(dict.fromkeys(("app", "appName", "application", "applicationName"), app))
    asked.known.update(dict.fromkeys(("version", "appVersionName"), f"{app}-v1"))
    asked.known.update(
        endpointId=endpoint_id,
        filterId=filter_id,
        configId=config["configId"],
        commandType="count",
        commandId="1",
        id=credential["id"],
        keyId=asked.send("POST", "/keys/api/v1/keys", {"role": "viewer"})["id"],
        tokenId=token["endpointTokenId"],
        taskId=batch["taskId"],
        series="auto~x",
        key="room",
        tenantId="kaa",
        serviceInstanceName="epts",
    )
    return asked


@pytest.fixture
def asked(process: Callable[..., KaaProcess]) -> Iterator[Asked]:
    server = process().start()
    with requests.Session() as session:
        yield furnished(f"http://{server.http[0]}:{server.http[1]}", server.key, session)
    assert "Traceback" not in server.said, "a bug of ours, whatever the answers were"


def ask_everything(asked: Asked, part: int, *, examples: int) -> None:
    """Ask every operation, with what it takes and what it does not, and fail with all that was not as documented."""
    schema = schemathesis.openapi.from_dict(asked.send("GET", "/openapi.json"))
    operations = [found.ok() for found in schema.get_all_operations()][part::PARTS]
    broken: dict[str, str] = {}
    for operation in sorted(operations, key=lambda one: (ORDER.index(one.method.lower()), one.path.endswith("delete"))):
        for mode in GenerationMode:

            @given(case=operation.as_strategy(generation_mode=mode), known=st.sets(st.sampled_from(["path", "query"])))
            @settings(
                max_examples=examples,
                derandomize=True,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            def ask(case: Any, known: set[str]) -> None:
                answer = _call(asked, case, known)
                try:
                    case.validate_response(answer, checks=CHECKS)
                except FailureGroup as group:
                    for failure in group.exceptions:
                        name = f"{case.operation.label}: {failure.title} {answer.status_code}"
                        broken.setdefault(name, f"{name}\n{group}")

            with suppress(Unsatisfiable):  # what takes nothing cannot be asked wrongly
                ask()
    if broken:
        pytest.fail("\n\n".join(broken.values()), pytrace=False)


def _call(asked: Asked, case: Any, known: set[str]) -> Any:
    """Ask, with things that are there in the path or the query where that is wanted: else all would be 404."""
    values = asked.values(case.operation.path)
    if "path" in known:
        names = case.path_parameters or {}
        case.path_parameters = {name: values.get(name, value) for name, value in names.items()}
    if "query" in known:
        query = {one.name: values[one.name] for one in case.operation.query if one.name in values}
        case.query = {**(case.query or {}), **query}
    if any(one.name == "awaitTimeout" for one in case.operation.query):
        case.query = {**(case.query or {}), "awaitTimeout": 0.01}  # nobody is there who would answer
    return case.call(base_url=asked.url, session=asked.session, timeout=PATIENCE_S)


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_answers_but_what_is_documented(asked: Asked, part: int) -> None:
    ask_everything(asked, part, examples=4)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_answers_but_what_is_documented_however_long_one_asks(asked: Asked, part: int) -> None:
    ask_everything(asked, part, examples=100)
