"""One connection: pass what the client sends to the protocol, with a timeout for every wait for the client."""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress

from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.typing import AppWrapper, ConnectionState, LifespanState
from hypercorn.utils import parse_socket_addr

from snekhouse.server.protocols import HttpProtocol
from snekhouse.server.tasks import ConnectionTasks

_log = logging.getLogger("snekhouse.server")

IDLE_TIMEOUT_S = 5.0
"""Seconds for the complete head of the next request to arrive, after connecting and after each answer."""

_SEND_TIMEOUT_S = 30.0
"""Seconds for the client to read each piece of an answer."""

_LINGER_TIMEOUT_S = 1.0
"""Seconds that a client may still send after the last answer: a reset would discard what the client has not read."""

_HALF_CLOSED_TIMEOUT_S = 0.03
"""Seconds to answer a client that has closed its side: it may be gone, or wait for the answer (shutdown(2))."""

MAX_ENDING = 8
"""How many connections may report to the application in parallel that their client is gone: each takes 0.5 ms."""

_TELL_TIMEOUT_S = 0.05
"""Seconds for the application to take the message that the client is gone; its queue may be full of other messages."""

_END_TIMEOUT_S = 0.5
"""Seconds for the application to end by itself after the client is gone. Then its tasks are cancelled: it may wait for
something else than the client, such as a program that does not read its input."""


class Connection(asyncio.StreamReaderProtocol):
    """A connection of a client.

    Attributes:
        group: The client's address or network, for counting connections.
        idle_since: When the connection became idle (`loop.time`); None during a request.
    """

    def __init__(
        self,
        group: str,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        *,
        ending: asyncio.Semaphore,
        http2: bool,
        turn: asyncio.Lock,
    ) -> None:
        """Prepare to serve.

        Args:
            group: The client's address or network, for counting connections.
            app: The application.
            config: Hypercorn's settings.
            context: Shared by all connections; set when the server shuts down.
            ending: Shared by all connections; held while the application learns that the client is gone.
            http2: Whether the client may use HTTP/2.
            turn: Shared by all connections; held while a pipelined or multiplexed request starts.
        """
        self._loop = asyncio.get_running_loop()
        self._reader = asyncio.StreamReader(loop=self._loop)
        super().__init__(self._reader, loop=self._loop)
        self.group = group
        self.idle_since: float | None = self._loop.time()
        self._app = app
        self._config = config
        self._context = context
        self._ending = ending
        self._http2 = http2
        self._turn = turn
        self._answered = asyncio.Event()
        self._sending = asyncio.Lock()
        self._is_closing = False
        self._timer: asyncio.TimerHandle | None = None
        self._reading: asyncio.Task[None] | None = None
        self._is_handling = False
        self._is_served = False  # True once the writer and the protocol exist
        self._tasks = ConnectionTasks()
        self._writer: asyncio.StreamWriter
        self._protocol: HttpProtocol

    async def serve(self, socket: socket.socket) -> None:
        """Serve a client to the end of its connection.

        Args:
            socket: The accepted socket.
        """
        transport, _ = await self._loop.connect_accepted_socket(lambda: self, socket)
        self._writer = asyncio.StreamWriter(transport, self, self._reader, self._loop)
        if self._is_closing:
            transport.abort()
            return
        self._is_served = True
        try:
            async with self._tasks:
                self._protocol = self._speak(socket)
                self._set_timer(IDLE_TIMEOUT_S, self.close)
                self._reading = self._loop.create_task(self._read())
                await asyncio.wait({self._reading})
                await self._finish()
        except* OSError:
            pass  # the client is gone
        except* Exception as errors:  # noqa: BLE001 - the outermost handler: a client can make a parser raise anything
            _log.warning("a connection was closed: %r", errors.exceptions[0])
            _log.debug("a connection was closed", exc_info=errors)
        finally:
            self._stop_timer()
            transport.abort()

    def close(self) -> None:
        """Close the connection once the client has read what was sent."""
        if self._is_closing:
            return
        self._is_closing = True
        self._answered.set()
        if not self._is_served:
            return
        with suppress(OSError, RuntimeError):
            self._writer.write_eof()
        self._set_timer(_LINGER_TIMEOUT_S, self._linger, self._loop.time() + _SEND_TIMEOUT_S)

    def abort(self) -> None:
        """Close the connection now, even if the client has not read everything."""
        self._is_closing = True
        if self._is_served:
            self._writer.transport.abort()

    def eof_received(self) -> bool:
        """Note that the client has closed its side, even while no task reads."""
        if self._is_handling and self._reading:
            self._reading.cancel()
        super().eof_received()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is lost, even while no task reads."""
        if self._is_handling and self._reading:
            self._reading.cancel()
        super().connection_lost(exc)

    def _speak(self, socket: socket.socket) -> HttpProtocol:
        parties = (
            self._app,
            self._config,
            self._context,
            self._tasks,
            ConnectionState(LifespanState()),
            False,  # TLS
            parse_socket_addr(socket.family, socket.getpeername()),
            parse_socket_addr(socket.family, socket.getsockname()),
            self._send,
        )
        return HttpProtocol(parties, http2=self._http2, turn=self._turn)

    async def _read(self) -> None:
        while data := await self._reader.read(self._protocol.chunk):
            if self._is_closing:
                continue  # discard what arrives after the last answer
            self._is_handling = True
            try:
                async with asyncio.timeout(_HALF_CLOSED_TIMEOUT_S if self._reader.at_eof() else None):
                    await self._protocol.handle(RawData(data))
            except TimeoutError:
                return
            finally:
                self._is_handling = False
            await asyncio.sleep(0)  # let other tasks run: a read returns immediately if data has already arrived

    async def _finish(self) -> None:
        """Tell the application that the client is gone, and wait until it ends."""
        assert self._reading is not None  # noqa: S101 - `serve` has set it
        if not self._reading.cancelled():
            self._reading.result()
        if self.idle_since is None and not self._is_closing:
            with suppress(TimeoutError):
                async with asyncio.timeout(_HALF_CLOSED_TIMEOUT_S):
                    await self._answered.wait()
        self._is_closing = True
        self._set_timer(_END_TIMEOUT_S, self._tasks.cancel)
        if self._writer.transport.get_write_buffer_size():
            self._writer.close()
        else:
            self._writer.transport.abort()
        async with self._ending:
            try:
                async with asyncio.timeout(_TELL_TIMEOUT_S):
                    await self._protocol.handle(Closed())
            except TimeoutError:
                self._tasks.cancel()
            await asyncio.sleep(0)  # let the application handle this before another connection reports its end
        await self._tasks.end()

    async def _send(self, event: Event) -> None:
        """Handle an event of the protocol."""
        if isinstance(event, RawData):
            async with self._sending:
                await self._write(event.data)
        elif isinstance(event, Closed):
            self.close()
        elif isinstance(event, Updated):
            self._set_idle(idle=event.idle)

    async def _write(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            if self._writer.transport.get_write_buffer_size():
                async with asyncio.timeout(_SEND_TIMEOUT_S):
                    await self._writer.drain()
        except (ConnectionError, RuntimeError):
            await self._protocol.handle(Closed())
        except TimeoutError:
            self.abort()

    def _set_idle(self, *, idle: bool) -> None:
        if self._is_closing:
            return
        if idle:
            self.idle_since = self._loop.time()
            self._answered.set()
            self._set_timer(IDLE_TIMEOUT_S, self.close)
            if self._context.terminated.is_set():
                self.close()
        else:
            self.idle_since = None
            self._answered.clear()
            self._stop_timer()

    def _linger(self, deadline: float) -> None:
        if self._writer.transport.get_write_buffer_size() and self._loop.time() < deadline:
            self._set_timer(_LINGER_TIMEOUT_S, self._linger, deadline)
        else:
            self.abort()

    def _set_timer(self, seconds: float, action: Callable[..., object], *arguments: object) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(seconds, action, *arguments)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
