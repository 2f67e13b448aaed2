"""The answer to an evaluation, in pieces: output and files are encoded while they are sent, and never held twice."""

import binascii
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence

import anyio.lowlevel
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from snekhouse.web.judge_schemas import CaseOut
from snekhouse.web.memory_budget import reservation_of
from snekhouse.web.schemas import ErrorOut, EvalResponse

_WHOLE = 1 << 17
"""Maximum bytes of output and files of an answer that is sent in one piece."""

_TEXT_STEP = 1 << 16
"""Characters of output in one piece."""

_FILE_STEP = 3 << 16
"""Bytes of a file in one piece: a multiple of three, so that base64 needs padding only at the end."""


_FIXED_STEP = 1 << 16
"""Bytes of a fixed answer in one piece."""


def json_answer(model: BaseModel, headers: Mapping[str, str] | None = None) -> Response:
    """Make an HTTP response from a model."""
    return Response(model.model_dump_json(), headers=headers, media_type="application/json")


def error_answer(
    status: int, description: str, headers: Mapping[str, str] | None = None, *, title: str = ""
) -> Response:
    """Make the HTTP response to a request that failed; `ErrorOut.of` explains the arguments."""
    body = ErrorOut.of(status, description, title)
    return Response(body.model_dump_json(), status, headers, media_type="application/json")


class FixedAnswer(Response):
    """An answer that does not depend on the client, such as a file. It is sent in pieces that the client must read."""

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Send the answer.

        Raises:
            BusyError: Too much is in transit.
        """
        content = bytes(self.body)
        reservation_of(scope).hold(min(len(content), 2 * _FIXED_STEP))  # all clients share the content itself
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for start in range(0, len(content), _FIXED_STEP):
            piece = content[start : start + _FIXED_STEP]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def answer(response: EvalResponse) -> Response:
    """Make the HTTP response to an evaluation."""
    pieces = eval_pieces(response)
    size = len(response.stdout) + len(response.stderr or "") + sum(file.size for file in response.files)
    size += sum(map(len, (*(response.result or {}).values(), *(response.figures or ()))))
    if size <= _WHOLE:
        return Response(b"".join(pieces), media_type="application/json")
    return StreamingResponse(in_turn(pieces), media_type="application/json")


async def in_turn(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield pieces, and let other tasks run after each."""
    for piece in pieces:
        yield piece
        await anyio.lowlevel.checkpoint()


async def joined(pieces: Iterable[bytes]) -> bytes:
    """Join pieces, and let other tasks run in between."""
    kept, size = [], 0
    for piece in pieces:
        kept.append(piece)
        size += len(piece)
        if size > _TEXT_STEP:
            await anyio.lowlevel.checkpoint()
            size = 0
    return b"".join(kept)


def eval_pieces(response: EvalResponse | CaseOut) -> Iterator[bytes]:
    """Encode an answer as pydantic does, but with ``files`` last, and in each file ``content`` last; in one line."""
    yield from _text(b'{"stdout":', response.stdout)
    if response.stderr is not None:
        yield from _text(b',"stderr":', response.stderr)
    absent = {"stdout", "files", "result", "figures"} | ({"stderr"} if response.stderr is not None else set())
    yield b"," + _open(response.model_dump_json(exclude=absent))[1:]
    if isinstance(response, EvalResponse) and response.figures is not None:
        yield from _value(response.result, response.figures)
    yield b',"files":['
    for index, file in enumerate(response.files):
        yield (b"," if index else b"") + _open(file.model_dump_json(exclude={"content"})) + b',"content":"'
        for start in range(0, file.size, _FILE_STEP):
            yield binascii.b2a_base64(file.content[start : start + _FILE_STEP], newline=False)
        yield b'"}'
    yield b"]}"


def _value(result: Mapping[str, str] | None, figures: Sequence[str]) -> Iterator[bytes]:
    """Encode ``result`` and ``figures``."""
    if result is None:
        yield b',"result":null'
    else:
        for index, (name, text) in enumerate(result.items()):
            yield from _text((b"," if index else b',"result":{') + to_json(name) + b":", text)
        yield b"}"
    yield b',"figures":['
    for index, figure in enumerate(figures):
        yield from _text(b"," if index else b"", figure)
    yield b"]"


def _text(member: bytes, text: str) -> Iterator[bytes]:
    yield member + b'"'
    for start in range(0, len(text), _TEXT_STEP):
        yield to_json(text[start : start + _TEXT_STEP])[1:-1]
    yield b'"'


def _open(written: str) -> bytes:
    return written.removesuffix("}").encode()
