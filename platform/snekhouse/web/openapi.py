"""The description of the HTTP API, OpenAPI 3.1, from the models that validate requests and render answers.

Source: https://spec.openapis.org/oas/v3.1.1.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from snekhouse.web.admin_schemas import AdminRuntimeDetail, AdminRuntimesOut, ReloadOut
from snekhouse.web.eval_request import EvalRequest
from snekhouse.web.schemas import ErrorOut, EvalResponse, IndexOut, RuntimesOut
from snekhouse.web.session_request import CellRequest, SessionRequest
from snekhouse.web.session_schemas import CellResponse, FilesOut, SessionOut

_ERRORS = {
    400: "The body does not fit the schema, a limit is above the runtime's, or the session has no checkpoint.",
    401: "The token is missing or wrong.",
    403: "A web page of an origin that is not allowed sent the request.",
    404: "There is no such runtime, no such session, no such file, or no such route.",
    408: "The body arrives too slowly.",
    410: "The session has ended; the description has the reason.",
    413: "The body is too large.",
    416: "The file has none of the bytes of the range.",
    415: "The body is neither application/json nor a form.",
    421: "The server does not serve the host in the request's Host header.",
    422: "The registry's file is invalid; the server keeps its current registry.",
    429: "The client sent too many wrong tokens. Retry-After has the seconds to wait.",
    500: "The session did not start; the description has the reason.",
    503: "The server is busy, or the runtime or session is unavailable. Retry-After has the seconds to wait.",
}
_HEADERS = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}
_EVAL_ERRORS = (400, 403, 408, 413, 415, 421, 503)
_ADMIN_ERRORS = (401, 404, 429)
_SESSION_ERRORS = (403, 404, 410, 421)
_BYTES = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API.

    Attributes:
        name: Its ``operationId``.
        summary: What it does, in one line.
        answer: Model or media type of the answer; None if it is empty.
        request: Model or media type of the body.
        errors: Status codes of its errors.
        status: Status code of the answer.
    """

    name: str
    summary: str
    answer: type[BaseModel] | str | None
    request: type[BaseModel] | str | None = None
    errors: tuple[int, ...] = ()
    status: int = 200


_OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("/", "get"): Operation("index", "Show the name and version of the server, and its main routes.", IndexOut),
    ("/eval", "post"): Operation(
        "evaluate",
        "Evaluate a program in the default runtime, or in the one that the body names.",
        EvalResponse,
        EvalRequest,
        (*_EVAL_ERRORS, 404),
    ),
    ("/eval/{runtime}", "post"): Operation(
        "evaluate_in", "Evaluate a program in a runtime.", EvalResponse, EvalRequest, (*_EVAL_ERRORS, 404)
    ),
    ("/sessions", "post"): Operation(
        "open_session", "Open a session.", SessionOut, SessionRequest, (*_EVAL_ERRORS, 404, 500), status=201
    ),
    ("/sessions/{session}", "get"): Operation("show_session", "Show a session.", SessionOut, errors=_SESSION_ERRORS),
    ("/sessions/{session}", "delete"): Operation(
        "end_session", "End a session.", None, errors=_SESSION_ERRORS, status=204
    ),
    ("/sessions/{session}/eval", "post"): Operation(
        "run_cell", "Run a cell in a session.", CellResponse, CellRequest, (*_EVAL_ERRORS, 404, 410)
    ),
    ("/sessions/{session}/branch", "post"): Operation(
        "branch_session",
        "Open another session with a copy of the state.",
        SessionOut,
        errors=(*_SESSION_ERRORS, 503),
        status=201,
    ),
    ("/sessions/{session}/rollback", "post"): Operation(
        "roll_session_back", "Go back to the checkpoint.", SessionOut, errors=(400, *_SESSION_ERRORS, 503)
    ),
    ("/sessions/{session}/interrupt", "post"): Operation(
        "interrupt_session", "Raise KeyboardInterrupt in the cell that runs.", None, errors=_SESSION_ERRORS, status=204
    ),
    ("/sessions/{session}/files", "get"): Operation(
        "list_files", "List the files of a session.", FilesOut, errors=(400, *_SESSION_ERRORS)
    ),
    ("/sessions/{session}/files/{path}", "get"): Operation(
        "read_file", "Read a file of a session, or a range of it.", _BYTES, errors=(400, *_SESSION_ERRORS, 416)
    ),
    ("/sessions/{session}/files/{path}", "put"): Operation(
        "write_file", "Write a file of a session.", None, _BYTES, (400, *_SESSION_ERRORS, 408, 413, 503), 204
    ),
    ("/sessions/{session}/files/{path}", "delete"): Operation(
        "remove_file", "Remove a file or an empty folder.", None, errors=(400, *_SESSION_ERRORS), status=204
    ),
    ("/runtimes", "get"): Operation("list_runtimes", "List the runtimes.", RuntimesOut),
    ("/healthz", "get"): Operation("health", "Check that the server answers.", "text/plain"),
    ("/readyz", "get"): Operation(
        "readiness", "Check that the default runtime can evaluate.", "text/plain", errors=(503,)
    ),
    ("/metrics", "get"): Operation("metrics", "Read the metrics, as Prometheus text or OpenMetrics.", "text/plain"),
    ("/openapi.json", "get"): Operation("describe", "Describe this API.", "application/json"),
    ("/docs", "get"): Operation("browse", "Show this description as a web page.", "text/html"),
    ("/admin/runtimes", "get"): Operation(
        "admin_list_runtimes",
        "List the runtimes with their settings and their state.",
        AdminRuntimesOut,
        None,
        _ADMIN_ERRORS,
    ),
    ("/admin/runtimes/{runtime}", "get"): Operation(
        "admin_show_runtime", "Show one runtime, with its rendered profile.", AdminRuntimeDetail, None, _ADMIN_ERRORS
    ),
    ("/admin/runtimes/{runtime}/probe", "post"): Operation(
        "admin_probe_runtime", "Probe a runtime again.", AdminRuntimeDetail, None, _ADMIN_ERRORS
    ),
    ("/admin/reload", "post"): Operation(
        "admin_reload", "Reload the registry's file.", ReloadOut, None, (*_ADMIN_ERRORS, 422)
    ),
}

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
    for (path, method), operation in _OPERATIONS.items():
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
    requests = {each.request for each in _OPERATIONS.values() if isinstance(each.request, type)}
    answers = {each.answer for each in _OPERATIONS.values() if isinstance(each.answer, type)} | {ErrorOut}
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
        "responses": {str(operation.status): _answer(operation.answer, refs)}
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


def _tag(path: str) -> str:
    starts = {"/admin": "admin", "/eval": "evaluations", "/runtimes": "evaluations", "/sessions": "sessions"}
    return next((tag for start, tag in starts.items() if path.startswith(start)), "operation")


def _answer(answer: type[BaseModel] | str | None, refs: Mapping[type[BaseModel], Any]) -> dict[str, Any]:
    if answer is None:
        return {"description": "Done."}
    if isinstance(answer, str):
        schema = {_BYTES: {}, "application/json": {"type": "object"}}.get(answer, {"type": "string"})
        return {"description": "OK", "content": {answer: {"schema": schema}}}
    content: dict[str, Any] = {"schema": refs[answer]}
    if answer is EvalResponse:
        content["example"] = _RESPONSE_EXAMPLE
    return {"description": str(answer.__doc__), "content": {"application/json": content}}


def _error(code: int, ref: Mapping[str, str]) -> dict[str, Any]:
    described: dict[str, Any] = {"description": _ERRORS[code], "content": {"application/json": {"schema": ref}}}
    if code in _HEADERS:
        described["headers"] = {_HEADERS[code]: {"schema": {"type": "string"}}}
    return described
