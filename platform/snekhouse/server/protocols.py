"""Hypercorn's protocols, held to what this server allows.

Hypercorn parses and answers; what stands here refuses what it lets pass: HTTP/2 where the registry does not ask for it,
requests whose end two headers tell differently, and WebSockets whose handshake has failed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import h2.errors
import h2.events
import h11
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import EndBody
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError, H11Protocol, H11WSConnection
from hypercorn.typing import AppWrapper, ConnectionState

from snekhouse.web.schemas import ErrorOut

Send = Callable[[Event], Awaitable[None]]

Parties = tuple[AppWrapper, Config, WorkerContext, TaskGroup, ConnectionState, bool, Any, Any, Send]
"""What a protocol of Hypercorn is made with: application, settings, and both ends of the connection."""

_HTTP1_CHUNK = 1 << 14
_HTTP2_CHUNK = 1 << 11
"""Bytes that are read at once. Each connection has buffers as large as what it has read at once; and HTTP/2 handles all
frames of a chunk without a pause, of which some have only nine bytes."""

_MOST_HEADERS = 200
"""Headers that a request may have: each thing that looks for one goes through all of them."""

_DESCRIPTIONS = {
    400: "this is not HTTP/1.1 as RFC 9112 has it; the connection closes",
    431: f"the head has more than 16 KiB or {_MOST_HEADERS} headers; the connection closes",
    501: "send Transfer-Encoding: chunked, or no transfer coding; the connection closes",
    505: "this server speaks HTTP/1.1; set [server] http2 = true in the registry for HTTP/2",
}


class HttpProtocol:
    """The protocol of one connection: HTTP/1.1 at first, and HTTP/2 when the client asks for it and may have it.

    Attributes:
        is_http2: Whether HTTP/2 is spoken.
    """

    def __init__(self, parties: Parties, *, http2: bool, turn: asyncio.Lock) -> None:
        """Begin with HTTP/1.1.

        Args:
            parties: What Hypercorn's protocols are made with; its last item sends events to the connection.
            http2: Whether clients may ask for HTTP/2.
            turn: Shared by all connections; held while a request begins that was sent before the last was answered.
        """
        self._parties = parties
        self._current: H11Protocol | H2Protocol = _Http1(*parties, http2=http2, turn=turn)
        self.is_http2 = False

    @property
    def chunk(self) -> int:
        """Bytes that the connection may read at once."""
        return _HTTP2_CHUNK if self.is_http2 else _HTTP1_CHUNK

    async def handle(self, event: Event) -> None:
        """Handle what the connection read, or its end."""
        try:
            await self._current.handle(event)
        except H2ProtocolAssumedError as error:
            await self._upgrade(error.data)
        except H2CProtocolRequiredError as error:
            await self._upgrade(error.data, error.headers, error.settings)
        except _RefusedError:
            pass  # answered, and about to close

    async def _upgrade(
        self, data: bytes, headers: list[tuple[bytes, bytes]] | None = None, settings: bytes | None = None
    ) -> None:
        protocol = self._current = _Http2(*self._parties)
        self.is_http2 = True
        await protocol.initiate(headers, settings)
        # Hypercorn takes a new HTTP/2 connection to be busy: without a request it would stay for ever.
        await self._parties[-1](Updated(idle=protocol.idle))
        if data:
            await protocol.handle(RawData(data=data))


class _RefusedError(Exception):
    """The request was refused before the application saw it. Never leaves `HttpProtocol`."""


class _Http1(H11Protocol):
    def __init__(self, *parties: Any, http2: bool, turn: asyncio.Lock) -> None:
        super().__init__(*parties)
        self._may_have_http2 = http2
        self._turn = turn
        self._begun = 0

    async def handle(self, event: Event) -> None:
        self._begun = 0
        await super().handle(event)

    async def stream_send(self, event: StreamEvent) -> None:
        await super().stream_send(event)
        if isinstance(event, EndBody) and isinstance(self.connection, H11WSConnection):
            await self.send(Closed())  # the handshake was refused: nothing more can come

    async def _check_protocol(self, event: h11.Request) -> None:
        self._begun += 1
        if self._begun > 1:  # it has waited in the buffer: one such begins at a turn of the event loop
            async with self._turn:
                await asyncio.sleep(0)
        names = [name for name, _ in event.headers]
        has_coding = b"transfer-encoding" in names
        if has_coding and (b"content-length" in names or event.http_version == b"1.0"):
            # Somebody else may see another end (RFC 9112, 6.1 and 11.2): what follows is not to be taken for a request.
            await self._refuse(400)
        if len(names) > _MOST_HEADERS:
            await self._refuse(431)
        if self._may_have_http2:
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
    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        await super()._handle_events(events)
        if any(isinstance(event, h2.events.RequestReceived) for event in events):
            await self.send(Updated(idle=self.idle))  # Hypercorn takes a refused one to be under way

    async def _create_stream(self, request: h2.events.RequestReceived) -> None:
        headers = dict(request.headers or ())
        if headers.get(b":method") == b"CONNECT" or not headers.get(b":path", b"").isascii():
            # Hypercorn opens a WebSocket for CONNECT, which never ends, and cannot decode other paths.
            self.connection.reset_stream(request.stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
        else:
            await super()._create_stream(request)
