"""Answers that stream: events, as they happen, as server-sent events or as lines of JSON.

One encoder serves both. Sources: https://html.spec.whatwg.org/multipage/server-sent-events.html, https://ndjson.org.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from snekhouse.errors import SnekhouseError
from snekhouse.web.answer import joined
from snekhouse.web.memory_budget import reservation_of
from snekhouse.web.refusals import error_told

_KEEP_ALIVE_S = 5.0
"""Seconds without an event, after which a line without meaning shows that the server still works."""

_PIECE = 1 << 16
"""Bytes that are sent at once."""

_BUFFER = 1
"""Events that wait for a client which does not read. The next one makes its program wait."""


class StreamFormat(StrEnum):
    """How events are encoded; the value is the media type."""

    SSE = "text/event-stream"
    NDJSON = "application/x-ndjson"


def wanted_format(request: Request) -> StreamFormat | None:
    """Return the format of events that a request asks for; None for an ordinary answer.

    The first media type in the header that the server knows decides.
    """
    for accepted in request.headers.get("accept", "").lower().split(","):
        kind, *parameters = (part.strip() for part in accepted.split(";"))
        if _REFUSED.intersection(parameters):
            continue
        if kind in _ORDINARY:
            return None
        if kind in set(StreamFormat):
            return StreamFormat(kind)
    return None


_REFUSED = {"q=0", "q=0.0", "q=0.00", "q=0.000"}
_ORDINARY = {"application/json", "application/*", "*/*"}


_NOTHING: Mapping[str, Any] = {}


class Events:
    """Sends events to a client, one after the other."""

    def __init__(self, kind: StreamFormat, deliver: Callable[[bytes], Awaitable[None]]) -> None:
        """Prepare to send.

        Args:
            kind: How to encode.
            deliver: Takes each encoded event; waits while the client does not read.
        """
        self._kind, self._deliver = kind, deliver

    async def send(self, name: str, fields: Mapping[str, Any] | BaseModel | Iterator[bytes] = _NOTHING) -> None:
        """Send an event; wait while the client does not read.

        Args:
            name: Its name.
            fields: Its fields; as bytes, they are the pieces of a JSON object.
        """
        match fields:
            case BaseModel():
                pieces = iter([fields.model_dump_json().encode()])
            case Mapping():
                pieces = iter([to_json(fields)])
            case _:
                pieces = fields
        await self._deliver(await joined(encoded(self._kind, name, pieces)))


def encoded(kind: StreamFormat, name: str, fields: Iterator[bytes]) -> Iterator[bytes]:
    """Encode an event, piece by piece.

    Args:
        kind: The format.
        name: Name of the event.
        fields: The pieces of a JSON object in one line; the first is more than its bracket.
    """
    if kind is StreamFormat.SSE:
        yield b"event: " + name.encode() + b"\ndata: "
        yield from map(_escaped, fields)
        yield b"\n\n"
        return
    first = next(fields)
    yield b'{"event":' + to_json(name) + (b"" if first == b"{}" else b",") + _escaped(first[1:])
    yield from map(_escaped, fields)
    yield b"\n"


def _escaped(piece: bytes) -> bytes:
    for character, escaped in _LINE_BREAKS:
        piece = piece.replace(character, escaped)
    return piece


_LINE_BREAKS = tuple((character.encode(), b"\\u%04x" % ord(character)) for character in "\x85\u2028\u2029")
"""Characters that JSON allows in strings, but that end a line for `str.splitlines`, which many clients use."""

_KEEP_ALIVE = {StreamFormat.SSE: b": keep-alive\n\n", StreamFormat.NDJSON: b'{"event":"keep-alive"}\n'}

Work = Callable[[Events], Awaitable[None]]
"""Does the work of a request, and sends events. The last one is ``end``."""


class StreamedAnswer(Response):
    """The events of some work. The work ends if the client disconnects.

    An error before the first event is answered as any other. After that, it is the event ``end``, with its `error`.
    """

    def __init__(self, request: Request, kind: StreamFormat, work: Work) -> None:
        """Prepare the answer.

        Args:
            request: The request; its body has been read.
            kind: How to encode the events.
            work: What to do.
        """
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the second is for nginx
        super().__init__(status_code=HTTPStatus.OK, headers=headers)
        self.headers["Content-Type"] = kind.value
        del self.headers["Content-Length"]
        self._request, self._kind, self._work = request, kind, work
        self._reservation = reservation_of(request.scope)
        self._failure: SnekhouseError | None = None
        self._is_gone = False

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Do the work, and send its events.

        Raises:
            SnekhouseError: The work failed before its first event.
            ClientDisconnect: The client disconnected.
        """
        sender, events = anyio.create_memory_object_stream[bytes](_BUFFER)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, tasks.cancel_scope)
            tasks.start_soon(self._produce, sender)
            with events:
                await self._send(events, send)
            tasks.cancel_scope.cancel()
        if self._is_gone:
            raise ClientDisconnect
        if self._failure:
            raise self._failure

    async def _produce(self, sender: MemoryObjectSendStream[bytes]) -> None:
        with sender:
            try:
                await self._work(Events(self._kind, sender.send))
            except SnekhouseError as error:
                self._failure = error

    async def _send(self, events: MemoryObjectReceiveStream[bytes], send: Send) -> None:
        has_started = False
        while True:
            piece = _KEEP_ALIVE[self._kind]
            try:
                with self._reservation.resting(), anyio.move_on_after(_KEEP_ALIVE_S):
                    piece = await events.receive()
            except anyio.EndOfStream:
                break
            if not has_started:
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                has_started = True
            for start in range(0, len(piece), _PIECE):  # each may take the client some time to read
                await send({"type": "http.response.body", "body": piece[start : start + _PIECE], "more_body": True})
        if self._failure and has_started:
            error, self._failure = error_told(self._failure), None
            last = encoded(self._kind, "end", iter([b'{"error":' + error.model_dump_json().encode() + b"}"]))
            await send({"type": "http.response.body", "body": b"".join(last), "more_body": True})
        if has_started:
            await send({"type": "http.response.body", "body": b""})

    async def _watch(self, serving: anyio.CancelScope) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        serving.cancel()
