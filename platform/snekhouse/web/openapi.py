"""The description of the HTTP API, OpenAPI 3.1, from the models that validate requests and render answers.

Source: https://spec.openapis.org/oas/v3.1.1.html
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from snekhouse.web.eval_request import EvalRequest
from snekhouse.web.judge_request import CompareRequest, JudgeRequest
from snekhouse.web.operations import BYTES, OPERATIONS, Operation
from snekhouse.web.schemas import ErrorOut, EvalResponse
from snekhouse.web.session_request import CellRequest, SessionRequest
from snekhouse.web.streaming import StreamFormat

_ERRORS = {
    400: "The body does not fit the schema, a limit is above the runtime's, the session has no checkpoint, or a file "
    "of a session cannot be written, listed or removed.",
    401: "The token is missing or wrong.",
    403: "A web page of an origin that is not allowed sent the request.",
    404: "There is no such runtime, no such session, no such file, or no such route.",
    408: "The body arrives too slowly.",
    410: "The session has ended; the description has the reason.",
    413: "The body is too large.",
    416: "The file has none of the bytes of the range.",
    415: "The body has another media type.",
    421: "The server does not serve the host in the request's Host header.",
    422: "The registry's file is invalid; the server keeps its current registry.",
    429: "The client sent too many wrong tokens. Retry-After has the seconds to wait.",
    500: "The session did not start; the description has the reason.",
    503: "The server is busy, or the runtime or session is unavailable. Retry-After has the seconds to wait.",
}
_HEADERS = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}

_EVAL_EXAMPLES = {
    "a program": {"input": "print(6 * 7)"},
    "files, and lower limits": {
        "input": "open('out.txt', 'w').write(open('in.txt').read().upper())",
        "files": [{"path": "in.txt", "content": "aGVsbG8="}],
        "limits": {"wall_time": 2.0},
    },
    "as clients of snekbox send it": {"args": ["main.py"], "files": [{"path": "main.py", "content": "cHJpbnQoMSk="}]},
}

_REQUEST_EXAMPLES: Mapping[type[BaseModel], Mapping[str, Any]] = {
    EvalRequest: _EVAL_EXAMPLES,
    SessionRequest: {"the default runtime": {}, "another runtime": {"runtime": "3.12"}},
    CellRequest: {"a cell": {"input": "x = 6\nx * 7"}},
    JudgeRequest: {
        "two cases": {
            "input": "print(int(input()) * 2)",
            "cases": [{"stdin": "1", "expected": {"stdout": "2"}}, {"stdin": "2", "expected": {"stdout": "4"}}],
        }
    },
    CompareRequest: {"every runtime": {"input": "import sys; print(sys.version_info > (3, 9))"}},
}

_RESPONSE_EXAMPLE = {
    "stdout": "42\n",
    "returncode": 0,
    "runtime": "3.14",
    "status": "ok",
    "signal": None,
    "message": "",
    "error": None,
    "stderr": None,
    "encoding": "utf-8",
    "truncated": False,
    "limits": {
        "wall_time": 6.0,
        "memory": 73400320,
        "address_space": 734003200,
        "processes": 15,
        "cpus": 1.0,
        "output": 1000000,
        "enforced_by": {
            "wall_time": "server",
            "memory": "kernel",
            "address_space": "kernel",
            "processes": "kernel",
            "cpus": "kernel",
            "output": "server",
        },
    },
    "usage": {"wall_time": 0.0024, "cpu_time": 0.0019, "queue_time": 0.0, "memory": 1150976},
    "files": [],
}


@cache
def describe() -> dict[str, Any]:
    """Return the description of the API."""
    refs, schemas = _schemas()
    paths: dict[str, dict[str, Any]] = {}
    for (path, method), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method] = _operation(path, operation, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "snekhouse",
            "version": version("snekhouse"),
            "summary": "Run untrusted Python in many Python versions.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "."}],
        "tags": [
            {"name": "evaluations", "description": "Evaluations of programs, and the runtimes for them."},
            {"name": "sessions", "description": "Interpreters that keep their state between requests."},
            {"name": "operation", "description": "Health checks, metrics and this description."},
            {"name": "admin", "description": "For operators; off unless the server has a token."},
        ],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"admin": {"type": "http", "scheme": "bearer"}}},
    }


def _schemas() -> tuple[dict[type[BaseModel], dict[str, str]], dict[str, Any]]:
    """Convert the models to JSON schemas; return the reference to each, and the schemas by name."""
    requests = {each.request for each in OPERATIONS.values() if isinstance(each.request, type)}
    answers = {each.answer for each in OPERATIONS.values() if isinstance(each.answer, type)} | {ErrorOut}
    modes: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [
        *((model, "validation") for model in requests),
        *((model, "serialization") for model in answers),
    ]
    modes.sort(key=lambda each: each[0].__name__)
    refs, definitions = models_json_schema(modes, ref_template="#/components/schemas/{model}")
    return {model: refs[model, mode] for model, mode in modes}, definitions["$defs"]


def _operation(path: str, operation: Operation, refs: Mapping[type[BaseModel], Any]) -> dict[str, Any]:
    is_admin = path.startswith("/admin")
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [_tag(path)],
        "responses": {str(operation.status): _answer(operation, refs)}
        | {str(code): _error(code, refs[ErrorOut]) for code in sorted(operation.errors)},
    }
    if is_admin:
        described["security"] = [{"admin": []}]
    if parameters := [_PARAMETERS[name] for name in _PARAMETERS if f"{{{name}}}" in path]:
        described["parameters"] = parameters
    if isinstance(operation.request, str):
        described["requestBody"] = {"required": True, "content": {operation.request: {"schema": {}}}}
    elif operation.request:
        examples = {name: {"value": value} for name, value in _REQUEST_EXAMPLES[operation.request].items()}
        content = {"schema": refs[operation.request], "examples": examples}
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    return described


def _parameter(name: str, description: str, **more: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "description": description} | {
        "schema": {"type": "string"},
        **more,
    }


_PARAMETERS = {
    "runtime": _parameter("runtime", "Name or alias of a runtime.", example="3.14"),
    "session": _parameter("session", "The session's `id`."),
    "path": _parameter("path", "Path below the home, with / between names.", example="data/in.csv"),
}


_EVALUATIONS = ("/eval", "/judge", "/compare", "/batch", "/runtimes")


def _tag(path: str) -> str:
    starts = {"/admin": "admin", "/sessions": "sessions"} | dict.fromkeys(_EVALUATIONS, "evaluations")
    return next((tag for start, tag in starts.items() if path.startswith(start)), "operation")


def _answer(operation: Operation, refs: Mapping[type[BaseModel], Any]) -> dict[str, Any]:
    answer = operation.answer
    if answer is None:
        return {"description": "Done."}
    if isinstance(answer, str):
        schema = {BYTES: {}, "application/json": {"type": "object"}}.get(answer, {"type": "string"})
        return {"description": "OK", "content": {answer: {"schema": schema}}}
    content: dict[str, Any] = {"schema": refs[answer]}
    if answer is EvalResponse:
        content["example"] = _RESPONSE_EXAMPLE
    streams = {kind.value: {"schema": {"type": "string"}} for kind in StreamFormat if operation.streams}
    return {"description": str(answer.__doc__), "content": {"application/json": content} | streams}


def _error(code: int, ref: Mapping[str, str]) -> dict[str, Any]:
    described: dict[str, Any] = {"description": _ERRORS[code], "content": {"application/json": {"schema": ref}}}
    if code in _HEADERS:
        described["headers"] = {_HEADERS[code]: {"schema": {"type": "string"}}}
    return described
