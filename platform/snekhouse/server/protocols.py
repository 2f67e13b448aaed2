"""Hypercorn's protocols, restricted to what this server allows.

Hypercorn parses and answers. This module also refuses HTTP/2 unless the registry enables it, refuses requests whose
headers disagree about the end of the body, and closes connections after a failed WebSocket handshake.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import h2.errors
import h2.events
import h2.exceptions
import h2.stream
import h11
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import EndBody, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError, H11Protocol, H11WSConnection
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.typing import AppWrapper, ConnectionState

from snekhouse.web.schemas import ErrorOut

Send = Callable[[Event], Awaitable[None]]

Parties = tuple[AppWrapper, Config, WorkerContext, TaskGroup, ConnectionState, bool, Any, Any, Send]
"""Arguments of a Hypercorn protocol: application, settings, and both ends of the connection."""

_HTTP1_CHUNK = 1 << 14
_HTTP2_CHUNK = 1 << 11
"""Bytes to read at once. The buffers of a connection grow with this size. HTTP/2 handles all frames of a chunk without
letting other tasks run, and a frame may have only nine bytes."""

_MAX_HEADERS = 200
"""Headers that a request may have, because each lookup scans all of them."""

_DESCRIPTIONS = {
    400: "the request is not valid HTTP/1.1 (RFC 9112); the connection closes",
    431: f"the head has more than 16 KiB or {_MAX_HEADERS} headers; the connection closes",
    501: "send Transfer-Encoding: chunked, or no transfer coding; the connection closes",
    505: "this server speaks HTTP/1.1; set [server] http2 = true in the registry for HTTP/2",
}


class HttpProtocol:
    """The protocol of one connection: HTTP/1.1 at first, then HTTP/2 if the client asks for it and may use it.

    Attributes:
        is_http2: Whether the connection uses HTTP/2.
    """

    def __init__(self, parties: Parties, *, http2: bool, turn: asyncio.Lock) -> None:
        """Start with HTTP/1.1.

        Args:
            parties: Arguments of Hypercorn's protocols; the last one sends events to the connection.
            http2: Whether clients may use HTTP/2.
            turn: Shared by all connections; held while a pipelined or multiplexed request starts.
        """
        self._parties = parties
        self._turn = turn
        self._current: H11Protocol | H2Protocol = _Http1(*parties, http2=http2, turn=turn)
        self.is_http2 = False

    @property
    def chunk(self) -> int:
        """Bytes for the connection to read at once."""
        return _HTTP2_CHUNK if self.is_http2 else _HTTP1_CHUNK

    async def handle(self, event: Event) -> None:
        """Handle data that the connection has read, or its end."""
        try:
            await self._current.handle(event)
        except H2ProtocolAssumedError as error:
            await self._upgrade(error.data)
        except H2CProtocolRequiredError as error:
            await self._upgrade(error.data, error.headers, error.settings)
        except _RefusedError:
            pass  # the request is already answered, and the connection closes

    async def _upgrade(
        self, data: bytes, headers: list[tuple[bytes, bytes]] | None = None, settings: bytes | None = None
    ) -> None:
        protocol = self._current = _Http2(*self._parties, turn=self._turn)
        self.is_http2 = True
        await protocol.initiate(headers, settings)
        # Hypercorn regards a new HTTP/2 connection as busy: without a request it would stay open forever.
        await self._parties[-1](Updated(idle=protocol.idle))
        if data:
            await protocol.handle(RawData(data=data))


class _RefusedError(Exception):
    """The request was refused before it reached the application. `HttpProtocol` handles it."""


async def _next_turn(turn: asyncio.Lock) -> None:
    """Wait for a turn of the event loop in which no other pipelined or multiplexed request starts."""
    async with turn:
        await asyncio.sleep(0)


class _Http1(H11Protocol):
    def __init__(self, *parties: Any, http2: bool, turn: asyncio.Lock) -> None:
        super().__init__(*parties)
        self._allows_http2 = http2
        self._turn = turn
        self._requests = 0  # in the data that is handled now

    async def handle(self, event: Event) -> None:
        self._requests = 0
        await super().handle(event)
        if isinstance(self.stream, WSStream) and self.stream.buffer.length > self.config.websocket_max_message_size:
            await self.send(Closed())  # Hypercorn would go on reading, and keep what it reads

    async def stream_send(self, event: StreamEvent) -> None:
        await super().stream_send(event)
        if isinstance(event, EndBody) and isinstance(self.connection, H11WSConnection):
            await self.send(Closed())  # the handshake was refused: the client cannot send more

    async def _create_stream(self, request: h11.Request) -> None:
        """Start a request; refuse compression for a WebSocket, because small messages could become large ones."""
        headers = [each for each in request.headers if each[0] != b"sec-websocket-extensions"]
        plain = h11.Request(
            method=request.method, target=request.target, headers=headers, http_version=request.http_version
        )
        await super()._create_stream(plain)

    async def _check_protocol(self, event: h11.Request) -> None:
        self._requests += 1
        if self._requests > 1:  # pipelined
            await _next_turn(self._turn)
        names = [name for name, _ in event.headers]
        has_coding = b"transfer-encoding" in names
        if has_coding and (b"content-length" in names or event.http_version == b"1.0"):
            # A proxy may decide that this request ends elsewhere, and miss the next request (RFC 9112, 6.1 and 11.2).
            await self._refuse(400)
        if len(names) > _MAX_HEADERS:
            await self._refuse(431)
        if self._allows_http2:
            await super()._check_protocol(event)
        elif event.http_version not in {b"1.0", b"1.1"}:
            await self._refuse(505)

    async def _refuse(self, status_code: int) -> None:
        await self._send_error_response(status_code)
        await self.send(Closed())
        raise _RefusedError

    async def _send_error_response(self, status_code: int) -> None:
        body = ErrorOut.of(status_code, _DESCRIPTIONS.get(status_code, _DESCRIPTIONS[400]))
        content = body.model_dump_json().encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(content)),
            (b"connection", b"close"),
            *self.config.response_headers("h11"),
        ]
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        await self._send_h11_event(h11.Data(data=content))
        await self._send_h11_event(h11.EndOfMessage())


class _Http2(H2Protocol):
    def __init__(self, *parties: Any, turn: asyncio.Lock) -> None:
        super().__init__(*parties)
        self._turn = turn
        self._requests = 0  # in the data that is handled now

    async def handle(self, event: Event) -> None:
        self._requests = 0
        await super().handle(event)

    async def stream_send(self, event: StreamEvent) -> None:
        if isinstance(event, StreamClosed):
            await self._reset(event.stream_id)
        await super().stream_send(event)

    async def _send_data(self, stream_id: int) -> None:
        await super()._send_data(stream_id)
        if stream_id not in self.stream_buffers and stream_id not in self.streams:
            await self._reset(stream_id)

    async def _reset(self, stream_id: int) -> None:
        """Reset a stream that the application has left, if its answer or its request is not complete.

        Hypercorn would keep what the client has not read, and the client would wait for the rest.
        """
        buffer, stream = self.stream_buffers.get(stream_id), self.connection.streams.get(stream_id)
        if buffer and not buffer.complete:
            code = h2.errors.ErrorCodes.INTERNAL_ERROR
        elif stream and stream.state_machine.state is h2.stream.StreamState.HALF_CLOSED_LOCAL:
            code = h2.errors.ErrorCodes.NO_ERROR  # the client need not send the rest of its request
        else:
            return
        with suppress(h2.exceptions.ProtocolError):
            self.connection.reset_stream(stream_id, code)
            await self._flush()
        if buffer:
            await buffer.close()
            self.priority.unblock(stream_id)  # for the task that sends, which removes the buffer
            await self.has_data.set()

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        for event in events:
            if isinstance(event, h2.events.DataReceived) and event.stream_id not in self.streams:
                # The rest of a request that is answered or refused. Hypercorn would end the connection.
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            else:
                await super()._handle_events([event])
        await self._flush()
        if any(isinstance(event, h2.events.RequestReceived) for event in events):
            await self.send(Updated(idle=self.idle))  # Hypercorn regards a refused request as in progress

    async def _create_stream(self, request: h2.events.RequestReceived) -> None:
        self._requests += 1
        if self._requests > 1:
            await _next_turn(self._turn)
        headers = dict(request.headers or ())
        if headers.get(b":method") == b"CONNECT" or not headers.get(b":path", b"").isascii():
            # Hypercorn opens a WebSocket for CONNECT that never ends, and cannot decode a path that is not ASCII.
            self.connection.reset_stream(request.stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
        else:
            await super()._create_stream(request)
