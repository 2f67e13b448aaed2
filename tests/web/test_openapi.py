"""The description of the API: valid, complete, and true."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from starlette.routing import Route

from serving import Server, await_fork_servers, running_server
from snekhouse.web import admin, batch_routes, compare_routes, judge_routes, routes, session_files, session_routes
from snekhouse.web.api_pages import Asset
from snekhouse.web.openapi import describe

TOKEN = "the-token-of-this-test-Zr8"


@pytest.fixture(scope="module")
def described(registry_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server all of whose API is open."""
    folder = tmp_path_factory.mktemp("described")
    with running_server(registry_path, folder / "log", {"SNEKHOUSE_ADMIN_TOKEN": TOKEN}) as server:
        await_fork_servers(server.client)
        yield server


def test_it_is_a_valid_description_and_the_one_that_is_served(described: Server) -> None:
    OpenAPIV31SpecValidator(describe()).validate()
    assert described.client.get("/openapi.json").json() == describe()


def operations(found: tuple[Route, ...], above: str = "") -> set[tuple[str, str]]:
    """List what there is: paths and methods, but for those that are everywhere, and parts of the page."""
    return {
        (above + route.path_format, method.lower())
        for route in found
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if hasattr(route.endpoint, method.lower()) and route.endpoint is not Asset
    }


def test_it_has_every_route_and_no_other() -> None:
    told = {(path, method) for path, item in describe()["paths"].items() for method in item}
    assert told == operations(
        (
            *routes.ROUTES,
            *session_routes.ROUTES,
            *session_files.ROUTES,
            *judge_routes.ROUTES,
            *compare_routes.ROUTES,
            *batch_routes.ROUTES,
        )
    ) | operations(admin.ROUTES, "/admin")


def examples() -> dict[str, Any]:
    content = describe()["paths"]["/eval"]["post"]["requestBody"]["content"]["application/json"]
    return {name: example["value"] for name, example in content["examples"].items()}


@pytest.mark.parametrize("example", examples().values(), ids=examples())
def test_its_examples_work(described: Server, example: dict[str, Any]) -> None:
    answer = described.client.post("/eval", json=example)
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"


def test_its_example_of_an_answer_has_the_fields_of_one(described: Server) -> None:
    responses = describe()["paths"]["/eval"]["post"]["responses"]
    example = responses["200"]["content"]["application/json"]["example"]
    answer = described.client.post("/eval", json=examples()["a program"]).json()
    assert answer.keys() == example.keys()
    assert (answer["stdout"], answer["usage"].keys()) == (example["stdout"], example["usage"].keys())


SCHEMA = schemathesis.openapi.from_dict(describe())


@schemathesis.serializer("application/x-ndjson")
def as_lines(_context: object, value: Any) -> bytes:
    """Send a text as it is."""
    return str(value).encode(errors="replace")


MAX_CASES = 20
"""Cases of a program that random requests have at most: each is an evaluation."""


CHECKED = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]  # a 5xx that is not described is among what they find


@SCHEMA.parametrize()
@settings(max_examples=15, database=None, suppress_health_check=list(HealthCheck))
def test_what_is_asked_at_random_is_answered_as_described(case: schemathesis.Case[Any], described: Server) -> None:
    """schemathesis makes requests that fit the description, and some that do not."""
    body: Any = case.body
    if isinstance(body, dict) and isinstance(body.get("cases"), list):
        body["cases"] = body["cases"][:MAX_CASES]
    url = str(described.client.base_url)
    case.call_and_validate(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, checks=CHECKED)


def test_the_page_has_all_its_parts_from_here(described: Server) -> None:
    page = described.client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert "docs/swagger-ui-bundle.js" in parts
    for part in parts:
        assert "//" not in part
        if not part.startswith("data:"):
            assert described.client.get(f"/{part}").status_code == 200
    assert described.client.get("/docs/another").status_code == 404
