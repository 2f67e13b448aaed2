"""A request's body: its media type, its size as it streams in, and its schema."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from itertools import islice
from urllib.parse import parse_qsl

import anyio
import anyio.lowlevel
import anyio.to_thread
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.requests import Request

from snekhouse.errors import RequestError
from snekhouse.registry.mistakes import nearest
from snekhouse.web.eval_request import EvalRequest, LimitsIn
from snekhouse.web.fields import INVALID_FILE
from snekhouse.web.json_outline import NOT_JSON, Outline
from snekhouse.web.long_string import LongString
from snekhouse.web.memory_budget import reservation_of

_INLINE = 1 << 16
"""Bytes of a body that is parsed as a whole, on the event loop; of a larger one, the long strings are set apart."""


async def read_eval_request(request: Request, limit: int) -> EvalRequest:
    """Read and validate the body of an evaluation.

    Args:
        request: The request.
        limit: Bytes that a body may have.

    Raises:
        HTTPException: 408, 413 or 415.
        RequestError: The body does not fit the schema.
    """
    if _is_form(request):
        return _validate(_from_form(await _Reading(request, min(limit, _FORM)).read_whole()))
    body = await _Reading(request, limit).read()
    if isinstance(body, bytes):
        return _validate(body)
    return await anyio.to_thread.run_sync(_validate, body.finish(), body.strings)


def _validate(body: bytes, strings: Mapping[str, LongString] | None = None) -> EvalRequest:
    try:
        return EvalRequest.model_validate_json(body, context=strings)
    except ValidationError as error:
        raise RequestError(_explain(error), title=_title(error)) from None


_FORM = 1 << 20
"""Bytes that a form may have; it is read as a whole."""

_FORM_FIELDS = 1000


def _is_form(request: Request) -> bool:
    """Tell whether the body is a form or JSON.

    Raises:
        HTTPException: It is neither.
    """
    sent = request.headers.get("content-type", "")
    kind = sent.partition(";")[0].strip().lower()
    if kind not in {"", "application/json", "application/x-www-form-urlencoded"}:
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send application/json, not {sent[:100]}")
    return kind == "application/x-www-form-urlencoded"


def _from_form(body: bytes) -> bytes:
    """Write a form as the JSON that says the same: a text for each field, and `args` as often as there are some.

    Raises:
        RequestError: It is not a form.
    """
    if body.lstrip().startswith(b"{"):  # as `curl -d '{...}'` sends it
        raise RequestError("the body is JSON, sent as a form; send it with Content-Type: application/json")
    try:
        sent = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_FORM_FIELDS)
    except ValueError as error:
        raise RequestError(f"the body is not a form: {error}") from None
    fields: dict[str, object] = {name: value for name, value in sent if name != "args"}
    if args := [value for name, value in sent if name == "args"]:
        fields["args"] = args
    return json.dumps(fields).encode()


_BODY_TIMEOUT_S = 10.0
_SLOWEST = 16 * 1024
"""A body has so many seconds, and one more for each so many bytes of it that have arrived."""


class _Reading:
    """A body while it is read."""

    def __init__(self, request: Request, limit: int) -> None:
        self._request = request
        self._limit = limit
        self._start = bytearray()
        self._outline: Outline | None = None
        self._size = 0

    async def read(self) -> bytes | Outline:
        """Read all of it: a small one as it is, a large one as an outline.

        Raises:
            HTTPException: It is too large or too slow.
            RequestError: It is not JSON.
        """
        async with self._in_time() as chunks:
            async for chunk in chunks:
                await self._take(chunk)
        return self._outline or bytes(self._start)

    async def read_whole(self) -> bytes:
        """Read all of it as it is.

        Raises:
            HTTPException: It is too large or too slow.
        """
        async with self._in_time() as chunks:
            async for chunk in chunks:
                self._start += chunk
        return bytes(self._start)

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[AsyncIterator[bytes]]:
        share = reservation_of(self._request.scope)
        begin = anyio.current_time() + _BODY_TIMEOUT_S
        with (
            self._dropped_on_error(),
            anyio.CancelScope(deadline=begin) as clock,
            share.waiting(clock) as waiting,
        ):

            async def chunks() -> AsyncIterator[bytes]:
                async for chunk in self._request.stream():
                    self._size += len(chunk)
                    if self._size > self._limit:
                        raise HTTPException(
                            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {self._limit} bytes"
                        )
                    share.hold(self._size)
                    yield chunk
                    waiting.moved = self._size
                    clock.deadline += len(chunk) / _SLOWEST

            yield chunks()
        if clock.cancelled_caught:
            self._drop()
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "the body arrives too slowly", {"Connection": "close"})

    @contextmanager
    def _dropped_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        """Let go of what has arrived: the error, whose traceback has it, lives until the rest of the body has come."""
        self._outline = None
        self._start.clear()

    async def _take(self, chunk: bytes) -> None:
        if self._outline is None:
            self._start += chunk
            if len(self._start) <= _INLINE:
                return
            self._outline, chunk = Outline(), bytes(self._start)
            self._start.clear()
        self._outline.feed(chunk)
        await anyio.lowlevel.checkpoint()  # chunks that have arrived already come without a pause


_NOT_VALID = "Request data failed validation"
_INVALID_FILE = "Request file is invalid"
"""Titles that snekbox has too, and its clients compare."""


def _title(error: ValidationError) -> str:
    """Choose the title; a file is looked at only where the schema has no complaint."""
    kinds = {problem["type"] for problem in error.errors(include_url=False, include_context=False, include_input=False)}
    if kinds == {"json_invalid"}:
        return NOT_JSON
    return _INVALID_FILE if kinds == {INVALID_FILE} else _NOT_VALID


_TOLD = 10
"""Problems of a body that an answer tells."""

_SHOWN = 100
"""Characters of a key that an answer repeats."""


def _explain(error: ValidationError) -> str:
    """Say in one sentence each what is wrong where."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    told = "; ".join(map(_sentence, islice(problems, _TOLD)))
    more = error.error_count() - _TOLD
    return (told + (f"; and {more} more" if more > 0 else "")).replace(
        "hex escape", "hex escape (a lone surrogate is not a character)"
    )


def _sentence(problem: ErrorDetails) -> str:
    location = ".".join(str(part)[:_SHOWN] for part in problem["loc"])
    words = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        known = list(LimitsIn.model_fields)  # the only object that may have no others
        otherwise = f"known: {', '.join(known)}"
        words = f"unknown; {nearest(str(problem['loc'][-1])[:_SHOWN], known, otherwise)}"
    return f"{location}: {words}" if location else words
