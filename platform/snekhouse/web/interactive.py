"""Interactive evaluations over a WebSocket: input, signals and output while the program runs.

The first message of the client is a request, as for ``/eval``. Each later one is an object with `stdin` or `signal`.
The server sends the events of `streaming`, each as an object.
"""

import signal
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Annotated, Literal

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from pydantic import BaseModel, ConfigDict, Field
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from snekhouse.errors import BusyError, RequestError, SnekhouseError
from snekhouse.evaluation import Controls, Result
from snekhouse.service import Service
from snekhouse.web.answer import eval_pieces
from snekhouse.web.body import validated
from snekhouse.web.eval_request import EvalRequest
from snekhouse.web.fields import Utf8
from snekhouse.web.memory_budget import reservation_of
from snekhouse.web.output_events import OutputEvents, without_output
from snekhouse.web.refusals import error_told
from snekhouse.web.schemas import ErrorOut, EvalResponse
from snekhouse.web.streaming import Events, StreamFormat

MAX_MESSAGE = 1 << 17
"""Characters of a message from the client."""

APP_QUEUE_SIZE = 4
"""Messages that Hypercorn keeps until the application takes them."""

_WAITING = 2
"""Messages with input that may wait for a program that does not read. Then later messages wait, signals too."""

_QUEUED_SIZE = (APP_QUEUE_SIZE + _WAITING + 2) * 4 * MAX_MESSAGE
"""Bytes of messages of a client that may be in memory at once; a character may take four."""

_EARLY = 10
"""Signals that wait until the program has started; the latest are kept."""

_REQUEST_TIMEOUT_S = 10.0
"""Seconds for the request to arrive."""

_CLOSE_TIMEOUT_S = 5.0
"""Seconds for the client to close its side after the end."""

_SIGNALS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL}

_REFUSED, _ENDED = 1008, 1000
"""Codes of a close frame: the message cannot be used, and a normal end (RFC 6455, 7.4.1)."""


class MessageIn(BaseModel):
    """A message of the client while the program runs."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    stdin: Annotated[Utf8 | None, Field(description="More of the standard input; null ends it.")] = b""
    signal: Annotated[Literal["SIGINT", "SIGTERM", "SIGKILL"] | None, Field(description="A signal to the program.")] = (
        None
    )


async def _serve(websocket: WebSocket) -> None:
    """Evaluate the program that the first message has, and pass messages and output on until it ends."""
    service: Service = websocket.app.state.service
    await websocket.accept()
    sender, events = anyio.create_memory_object_stream[bytes](1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_send_all, websocket, events)
        with sender, suppress(WebSocketDisconnect):  # nobody is left to tell
            await _answer(websocket, service, Events(StreamFormat.NDJSON, sender.send))
        with anyio.move_on_after(_CLOSE_TIMEOUT_S) as clock, reservation_of(websocket.scope).waiting(clock):
            await _discard(websocket)


async def _discard(websocket: WebSocket) -> None:
    """Read what a client still sends after the end: its close frame comes after that."""
    while websocket.client_state is WebSocketState.CONNECTED:
        await websocket.receive()


async def _send_all(websocket: WebSocket, events: MemoryObjectReceiveStream[bytes]) -> None:
    """Send events, in a task that nothing cancels in the middle of one; then close the connection."""
    code, last = _ENDED, b""
    with events, suppress(WebSocketDisconnect, RuntimeError):  # the client is gone
        async for last in events:
            await websocket.send_text(last.decode().rstrip("\n"))
        if last.startswith(b'{"event":"end","error":{"title"'):
            code = _REFUSED
        await websocket.close(code)


async def _answer(websocket: WebSocket, service: Service, events: Events) -> None:
    try:
        await _Conversation(websocket, service, events).hold()
    except (SnekhouseError, TimeoutError) as error:
        await events.send("end", {"error": _told(error).model_dump()})


class _Conversation:
    def __init__(self, websocket: WebSocket, service: Service, events: Events) -> None:
        self._websocket, self._service, self._events = websocket, service, events
        self._reservation = reservation_of(websocket.scope)
        self._controls: Controls | None = None
        self._has_controls = anyio.Event()
        self._early: list[signal.Signals] = []

    async def hold(self) -> None:
        named = self._websocket.path_params["runtime"]
        self._service.registry.resolve(named)  # refuse an unknown runtime before the request arrives
        self._reservation.hold(_QUEUED_SIZE)
        body = await validated(EvalRequest, await self._receive_in_time())
        if body.result:
            raise RequestError("'result' is not supported here; leave it out, or use /eval")
        runtime = self._service.registry.resolve(named)
        job = body.to_job(runtime)
        self._reservation.hold(_QUEUED_SIZE + job.size)
        output = OutputEvents(self._events, job.encoding)
        failed: list[Exception] = []
        async with anyio.create_task_group() as tasks:
            inputs, waiting = anyio.create_memory_object_stream[bytes | None](_WAITING)
            tasks.start_soon(self._receive_all, inputs, tasks.cancel_scope, failed)
            tasks.start_soon(self._write_all, job.stdin, waiting)
            try:
                run = partial(self._service.evaluate, runtime)
                result: Result = await output.follow(job, run, lambda found: found, self._take)
            except SnekhouseError as error:
                failed.append(error)
            tasks.cancel_scope.cancel()
        if failed:
            raise failed[0]
        try:
            self._reservation.hold(_QUEUED_SIZE + 2 * result.size)
        except BusyError:
            result = result.without_content("too much is in transit, so the files are left out")
        rest = without_output(result, job.encoding)
        response = EvalResponse.of(runtime.name, job.limits, self._service.enforcement, rest)
        await self._events.send("end", eval_pieces(response))

    def _take(self, controls: Controls) -> None:
        self._controls = controls
        for number in self._early:
            controls.send_signal(number)
        self._has_controls.set()

    async def _receive_in_time(self) -> bytes:
        """Receive the request, unless the client is slow while others need the memory.

        Raises:
            TimeoutError: It took too long.
        """
        with anyio.move_on_after(_REQUEST_TIMEOUT_S) as clock, self._reservation.waiting(clock):
            return await self._receive()
        raise TimeoutError

    async def _receive(self) -> bytes:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        return bytes(message.get("bytes") or str(message.get("text", "")).encode())

    async def _receive_all(
        self, inputs: MemoryObjectSendStream[bytes | None], serving: anyio.CancelScope, failed: list[Exception]
    ) -> None:
        """Handle messages of the client; end the program if the client disconnects."""
        try:
            with inputs:
                while True:
                    await self._handle(await self._receive(), inputs)
        except WebSocketDisconnect as error:
            failed.append(error)
            serving.cancel()

    async def _handle(self, received: bytes, inputs: MemoryObjectSendStream[bytes | None]) -> None:
        try:
            message = await validated(MessageIn, received)
        except RequestError as error:
            await self._events.send("error", {"error": _told(error).model_dump()})
            return
        if message.signal and self._controls:
            self._controls.send_signal(_SIGNALS[message.signal])
        elif message.signal:
            self._early.append(_SIGNALS[message.signal])
            del self._early[:-_EARLY]
        if message.stdin != b"":
            await inputs.send(message.stdin)

    async def _write_all(self, stdin: bytes, waiting: MemoryObjectReceiveStream[bytes | None]) -> None:
        """Write to the standard input of the program, which may not read for a while."""
        await self._has_controls.wait()
        assert self._controls  # noqa: S101 - the event says so
        await self._controls.write(stdin)
        with waiting:
            async for piece in waiting:
                if piece is None:
                    self._controls.close_stdin()
                else:
                    await self._controls.write(piece)


def _told(error: SnekhouseError | TimeoutError) -> ErrorOut:
    if isinstance(error, TimeoutError):
        return ErrorOut.of(HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time")
    return error_told(error)


ROUTES = (WebSocketRoute("/eval/{runtime}/interactive", _serve),)
