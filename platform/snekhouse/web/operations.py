"""The operations of the HTTP API: what each takes and answers, for its description (`openapi`)."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from snekhouse.web.admin_schemas import AdminRuntimeDetail, AdminRuntimesOut, ReloadOut
from snekhouse.web.eval_request import EvalRequest
from snekhouse.web.judge_request import CompareRequest, JudgeRequest
from snekhouse.web.judge_schemas import CompareResponse, JudgeResponse
from snekhouse.web.schemas import EvalResponse, IndexOut, RuntimesOut
from snekhouse.web.session_request import CellRequest, SessionRequest
from snekhouse.web.session_schemas import CellResponse, FilesOut, SessionOut
from snekhouse.web.streaming import StreamFormat

_EVAL_ERRORS = (400, 403, 408, 413, 415, 421, 503)
_ADMIN_ERRORS = (401, 404, 429)
_SESSION_ERRORS = (403, 404, 410, 421)
BYTES = "application/octet-stream"
"""Media type of a file."""


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
        streams: Whether a client may ask for events instead.
    """

    name: str
    summary: str
    answer: type[BaseModel] | str | None
    request: type[BaseModel] | str | None = None
    errors: tuple[int, ...] = ()
    status: int = 200
    streams: bool = False


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("/", "get"): Operation("index", "Show the name and version of the server, and its main routes.", IndexOut),
    ("/eval", "post"): Operation(
        "evaluate",
        "Evaluate a program in the default runtime, or in the one that the body names.",
        EvalResponse,
        EvalRequest,
        (*_EVAL_ERRORS, 404),
        streams=True,
    ),
    ("/eval/{runtime}", "post"): Operation(
        "evaluate_in", "Evaluate a program in a runtime.", EvalResponse, EvalRequest, (*_EVAL_ERRORS, 404), streams=True
    ),
    ("/judge", "post"): Operation(
        "judge",
        "Judge a program by its cases, in the default runtime, or in the one that the body names.",
        JudgeResponse,
        JudgeRequest,
        (*_EVAL_ERRORS, 404),
        streams=True,
    ),
    ("/judge/{runtime}", "post"): Operation(
        "judge_in",
        "Judge a program by its cases, in a runtime.",
        JudgeResponse,
        JudgeRequest,
        (*_EVAL_ERRORS, 404),
        streams=True,
    ),
    ("/compare", "post"): Operation(
        "compare",
        "Evaluate a program in several runtimes, and group equal results.",
        CompareResponse,
        CompareRequest,
        (*_EVAL_ERRORS, 404),
        streams=True,
    ),
    ("/batch", "post"): Operation(
        "evaluate_batch",
        "Evaluate each line of the body; the answer has a line for each program, in the order in which they end.",
        StreamFormat.NDJSON.value,
        StreamFormat.NDJSON.value,
        _EVAL_ERRORS,
    ),
    ("/sessions", "post"): Operation(
        "open_session", "Open a session.", SessionOut, SessionRequest, (*_EVAL_ERRORS, 404, 500), status=201
    ),
    ("/sessions/{session}", "get"): Operation("show_session", "Show a session.", SessionOut, errors=_SESSION_ERRORS),
    ("/sessions/{session}", "delete"): Operation(
        "end_session", "End a session.", None, errors=_SESSION_ERRORS, status=204
    ),
    ("/sessions/{session}/eval", "post"): Operation(
        "run_cell", "Run a cell in a session.", CellResponse, CellRequest, (*_EVAL_ERRORS, 404, 410), streams=True
    ),
    ("/sessions/{session}/branch", "post"): Operation(
        "branch_session",
        "Open another session with a copy of the state.",
        SessionOut,
        errors=(*_SESSION_ERRORS, 503),
        status=201,
    ),
    ("/sessions/{session}/rollback", "post"): Operation(
        "roll_session_back", "Go back to the latest checkpoint.", SessionOut, errors=(400, *_SESSION_ERRORS, 503)
    ),
    ("/sessions/{session}/interrupt", "post"): Operation(
        "interrupt_session", "Raise KeyboardInterrupt in the cell that runs.", None, errors=_SESSION_ERRORS, status=204
    ),
    ("/sessions/{session}/files", "get"): Operation(
        "list_files", "List the files of a session.", FilesOut, errors=(400, *_SESSION_ERRORS)
    ),
    ("/sessions/{session}/files/{path}", "get"): Operation(
        "read_file", "Read a file of a session, or a range of it.", BYTES, errors=(400, *_SESSION_ERRORS, 416)
    ),
    ("/sessions/{session}/files/{path}", "put"): Operation(
        "write_file", "Write a file of a session.", None, BYTES, (400, *_SESSION_ERRORS, 408, 413, 503), 204
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
