"""The body of a request: check its media type, its size while it arrives, and its schema."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import parse_qsl

import anyio
import anyio.lowlevel
import anyio.to_thread
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from snekhouse.errors import RequestError
from snekhouse.web.explaining import explained
from snekhouse.web.json_outline import Outline
from snekhouse.web.long_string import LongString
from snekhouse.web.memory_budget import reservation_of

_INLINE = 1 << 16
"""Maximum bytes of a body that is parsed as a whole, on the event loop. Long strings of larger bodies are taken out."""


_Model = TypeVar("_Model", bound=BaseModel)


async def read_request(request: Request, limit: int, model: type[_Model], *, empty: bytes = b"") -> _Model:
    """Read and validate a body.

    Args:
        request: The request.
        limit: Maximum size of the body in bytes.
        model: Its schema.
        empty: What an empty body stands for.

    Raises:
        HTTPException: 408, 413 or 415.
        RequestError: The body does not fit the schema.
    """
    is_form = _is_form(request)
    limit, inline = (min(limit, _MAX_FORM), _MAX_FORM) if is_form else (limit, _INLINE)
    body = await _Reading(request, limit, inline).read()
    if isinstance(body, bytes):
        if len(body) > _INLINE:
            return await anyio.to_thread.run_sync(_validate_form, model, body)
        return _validate_form(model, body) if is_form else _validate(model, body or empty)
    return await anyio.to_thread.run_sync(_validate, model, body.finish(), body.strings)


async def read_bytes(request: Request, limit: int) -> bytes:
    """Read a body of any media type.

    Args:
        request: The request.
        limit: Maximum size of the body in bytes.

    Raises:
        HTTPException: 408 or 413.
    """
    body = await _Reading(request, limit, inline=limit).read()
    assert isinstance(body, bytes)  # noqa: S101 - only a larger body becomes an outline
    return body


async def read_lines(request: Request, limit: int) -> list[bytes]:
    """Read a body of JSON lines; empty lines are left out.

    Args:
        request: The request.
        limit: Maximum size of the body in bytes.

    Raises:
        HTTPException: 408, 413 or 415.
        RequestError: There are too many lines.
    """
    sent = request.headers.get("content-type", "")
    if sent.partition(";")[0].strip().lower() not in _LINES:
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send application/x-ndjson, not {sent[:100]}")
    body = await read_bytes(request, limit)
    reservation_of(request.scope).hold(2 * len(body))
    if (count := body.count(b"\n")) > MAX_LINES:
        raise RequestError(f"the body has {count} lines; send at most {MAX_LINES}")
    return [line for line in body.split(b"\n") if line.strip()]


_LINES = {"", "application/x-ndjson", "application/jsonl", "application/json-lines"}

MAX_LINES = 10_000
"""Lines of a body, empty ones included."""


async def validated(model: type[_Model], body: bytes) -> _Model:
    """Validate JSON; if it is large, take long strings out first, and validate the rest in a thread.

    Raises:
        RequestError: It does not fit the schema, or has too many values.
    """
    if len(body) <= _INLINE:
        return _validate(model, body)
    outline = Outline()
    for start in range(0, len(body), _PIECE):
        outline.feed(body[start : start + _PIECE])
        await anyio.lowlevel.checkpoint()  # let other tasks run
    return await anyio.to_thread.run_sync(_validate, model, outline.finish(), outline.strings)


_PIECE = 1 << 14
"""Bytes that are searched for long strings without a pause."""


def _validate(model: type[_Model], body: bytes, strings: Mapping[str, LongString] | None = None) -> _Model:
    try:
        return model.model_validate_json(body, context=strings)
    except ValidationError as error:
        title, description = explained(error, model, body)
        raise RequestError(description, title=title) from None


def _validate_form(model: type[_Model], body: bytes) -> _Model:
    return _validate(model, _from_form(body))


_MAX_FORM = 1 << 20
"""Maximum size of a form in bytes; it is read as a whole."""

_MAX_FORM_FIELDS = 1000


def _is_form(request: Request) -> bool:
    """Return whether the body is a form and not JSON.

    Raises:
        HTTPException: The body is neither.
    """
    sent = request.headers.get("content-type", "")
    kind = sent.partition(";")[0].strip().lower()
    if kind not in {"", "application/json", "application/x-www-form-urlencoded"}:
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send application/json, not {sent[:100]}")
    return kind == "application/x-www-form-urlencoded"


def _from_form(body: bytes) -> bytes:
    """Convert a form to JSON: a string for each field, and a list for `args`, which may repeat.

    Raises:
        RequestError: The body is not a form.
    """
    if body.lstrip().startswith(b"{"):  # as `curl -d '{...}'` sends it
        raise RequestError("the body is JSON, sent as a form; send it with Content-Type: application/json")
    try:
        sent = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FORM_FIELDS)
    except ValueError as error:
        raise RequestError(f"the body is not a form: {error}") from None
    fields: dict[str, object] = {name: value for name, value in sent if name != "args"}
    if args := [value for name, value in sent if name == "args"]:
        fields["args"] = args
    return json.dumps(fields).encode()


_BODY_TIMEOUT_S = 10.0
MIN_BYTES_PER_S = 16 * 1024
"""A body must arrive within the timeout, which grows by one second with every `MIN_BYTES_PER_S` bytes."""


class _Reading:
    """A body while it is read."""

    def __init__(self, request: Request, limit: int, inline: int) -> None:
        self._request, self._limit, self._inline = request, limit, inline
        self._start = bytearray()
        self._outline: Outline | None = None
        self._size = 0

    async def read(self) -> bytes | Outline:
        """Read the body: return one of at most `inline` bytes unchanged, and a larger one as an outline.

        Raises:
            HTTPException: The body is too large or too slow.
            RequestError: The body is not JSON.
        """
        try:
            await self._receive()
        except BaseException:
            # Free the bytes that have arrived: the traceback of the error would keep them until the rest is discarded.
            self._outline = None
            self._start.clear()
            raise
        return self._outline or bytes(self._start)

    async def _receive(self) -> None:
        reservation = reservation_of(self._request.scope)
        deadline = anyio.current_time() + _BODY_TIMEOUT_S
        with anyio.CancelScope(deadline=deadline) as clock, reservation.waiting(clock) as waiting:
            async for chunk in self._request.stream():
                self._size += len(chunk)
                if self._size > self._limit:
                    raise HTTPException(
                        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {self._limit} bytes"
                    )
                reservation.hold(self._size)
                await self._add(chunk)
                waiting.moved = self._size
                clock.deadline += len(chunk) / MIN_BYTES_PER_S
        if clock.cancelled_caught:
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "the body arrives too slowly", {"Connection": "close"})

    async def _add(self, chunk: bytes) -> None:
        if self._outline is None:
            self._start += chunk
            if len(self._start) <= self._inline:
                return
            self._outline, chunk = Outline(), bytes(self._start)
            self._start.clear()
        self._outline.feed(chunk)
        await anyio.lowlevel.checkpoint()  # let other tasks run: a read returns immediately if data has already arrived
