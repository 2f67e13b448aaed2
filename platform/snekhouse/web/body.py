"""A request's body: its media type, its size as it streams in, and its schema."""

from http import HTTPStatus
from io import BytesIO
from itertools import islice

import anyio
import anyio.to_thread
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from snekhouse.errors import RequestError
from snekhouse.web.schemas import EvalRequest
from snekhouse.web.transit import share_of

_INLINE = 1 << 18
"""Bytes that are parsed on the event loop; more would hold up everybody else, and go to a thread."""


async def read_eval_request(request: Request, limit: int) -> EvalRequest:
    """Read and validate the body of an evaluation.

    Args:
        request: The request.
        limit: Bytes that a body may have.

    Raises:
        HTTPException: 413 or 415.
        RequestError: The body does not fit the schema.
    """
    _check_media_type(request)
    body = await _read(request, limit)
    return _validate(body) if len(body) <= _INLINE else await anyio.to_thread.run_sync(_validate, body)


def _validate(body: bytes) -> EvalRequest:
    try:
        return EvalRequest.model_validate_json(body)
    except ValidationError as error:
        raise RequestError(_explain(error)) from None


def _check_media_type(request: Request) -> None:
    sent = request.headers.get("content-type")
    if sent and sent.partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send application/json, not {sent}")


_PATIENCE = 10.0
_SLOWEST = 16 * 1024
"""A body has so many seconds, and one more for each so many bytes of it that have arrived."""


async def _read(request: Request, limit: int) -> bytes:
    body = BytesIO()  # one buffer that grows, and is then the result: neither joining nor pydantic makes a copy
    share = share_of(request.scope)
    with anyio.CancelScope(deadline=anyio.current_time() + _PATIENCE) as clock, share.waiting(clock) as waiting:
        async for chunk in request.stream():
            if body.tell() + len(chunk) > limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {limit} bytes")
            body.write(chunk)
            share.hold(body.tell())
            waiting.moved = body.tell()
            clock.deadline += len(chunk) / _SLOWEST
    if clock.cancelled_caught:
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "the body arrives too slowly", {"Connection": "close"})
    return body.getvalue()


_TOLD = 10
"""Problems of a body that an answer tells."""


def _explain(error: ValidationError) -> str:
    """Say in one sentence each what is wrong where."""
    problems = (
        ": ".join(filter(None, [".".join(map(str, problem["loc"])), problem["msg"].removeprefix("Value error, ")]))
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    )
    told = "; ".join(islice(problems, _TOLD))
    more = error.error_count() - _TOLD
    return (told + (f"; and {more} more" if more > 0 else "")).replace(
        "hex escape", "hex escape (a lone surrogate is no character)"
    )
