"""The OpenAPI document says in words what everything is, and its examples are what the server takes and gives."""

import asyncio
import http
import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from kaa.app import KaaConfig, serving
from kaa.core.config.units import validate_written
from kaa.core.http import Mounted
from kaa.core.http.read import BodyReader
from kaa.core.openapi import document
from kaa.core.openapi_words import PARAMETERS, path_parameters

pytestmark = pytest.mark.any_bus


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> list[Mounted]:
    config = {"data-dir": tmp_path_factory.mktemp("kaa"), "mqtt-port": 0, "http-port": 0}

    async def looked_at() -> list[Mounted]:
        async with serving(validate_written(KaaConfig, config)) as server:
            return list(server.core.http.mounted)

    return asyncio.run(looked_at())


@pytest.fixture(scope="module")
def found(mounted: list[Mounted]) -> dict[str, Any]:
    return document(mounted)


def operations(found: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def fields(found: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The fields of a model; those of the items, where it is a list of them."""
    while "$ref" in schema or "items" in schema:
        schema = schema["items"] if "items" in schema else found["components"]["schemas"][_last(schema["$ref"])]
    return dict(schema.get("properties", {}))


def _last(reference: str) -> str:
    return reference.rpartition("/")[2]


def complaint(found: dict[str, Any], schema: dict[str, Any], example: object) -> str | None:
    whole = {**schema, "components": found["components"]}
    try:
        jsonschema_rs.validate(whole, example)
    except jsonschema_rs.ValidationError as error:
        return str(error)
    return None


def test_everything_has_words(found: dict[str, Any]) -> None:
    phrases = {status.phrase for status in http.HTTPStatus}
    silent = []
    for name, operation in operations(found):
        if not operation["summary"]:
            silent.append(f"{name}: no summary")
        silent += [f"{name}: {p['name']}" for p in operation["parameters"] if not p.get("description")]
        for content in operation.get("requestBody", {}).get("content", {}).values():
            silent += [f"{name}: .{k}" for k, v in fields(found, content["schema"]).items() if not v.get("description")]
        silent += [f"{name}: {s}" for s, one in operation["responses"].items() if one["description"] in phrases]
    assert silent == []


def test_every_json_body_has_an_example_that_is_taken(mounted: list[Mounted], found: dict[str, Any]) -> None:
    wrong = []
    for name, operation in operations(found):
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            if "json" not in kind:
                continue
            if "example" not in content:
                wrong.append(f"{name}: none")
            elif said := complaint(found, content["schema"], content["example"]):
                wrong.append(f"{name}: {said}")
    assert wrong == []
    for one in mounted:
        if one.route.body is not None:
            BodyReader(one.route.body, is_optional=False).read(json.dumps(one.route.example).encode())


def test_what_is_shown_as_an_answer_is_one(found: dict[str, Any]) -> None:
    shown = {
        f"{name} {status}": complaint(found, content["schema"], content["example"])
        for name, operation in operations(found)
        for status, answer in operation["responses"].items()
        for content in answer.get("content", {}).values()
        if "example" in content
    }
    assert shown
    assert {name: said for name, said in shown.items() if said} == {}


def test_what_stands_for_a_model_is_one(found: dict[str, Any]) -> None:
    shown = {
        f"{name} {number}": complaint(found, schema, example)
        for name, schema in found["components"]["schemas"].items()
        for number, example in enumerate(schema.get("examples", ()))
    }
    assert len(shown) > 20
    assert {name: said for name, said in shown.items() if said} == {}


def test_the_words_for_parameters_are_all_needed(mounted: list[Mounted]) -> None:
    used = {
        f"{before}/{name}" if f"{before}/{name}" in PARAMETERS else name
        for one in mounted
        for before, name in path_parameters(one.path)
    }
    assert used == set(PARAMETERS)
