"""Requests for sessions of other workers: each worker passes them on to the worker that holds the session.

Clients connect to any worker, but a session lives in one. So each worker also listens on a Unix socket in a folder that
only the server can enter. The id of a session begins with the number of its worker.
"""

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import anyio
import httpx
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from snekhouse.server.worker import Worker
from snekhouse.service.session import worker_of
from snekhouse.web.answer import error_answer
from snekhouse.web.body import MIN_BYTES_PER_S
from snekhouse.web.client_network import CLIENT_HEADER, network_of

_IDLE_TIMEOUT_S = 3.0
"""Seconds for which a connection to another worker stays open without a request; that worker would close it later."""

_BODY_TIMEOUT_S = 15.0
"""Seconds for a body, as in `web.body`, and some more, in which the worker that gets it refuses it first."""

_HOP_BY_HOP = {b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"date"}
"""Headers that concern one connection (RFC 9110, 7.6.1); and `date`, which each worker adds itself."""


_WITH_BODY = {"POST", "PUT", "PATCH"}


def worker_socket(folder: Path, number: int) -> Path:
    """Return the path of the socket of a worker.

    Args:
        folder: The folder that the workers share.
        number: The worker's number.
    """
    return folder / f"worker-{number}.sock"


def bound_socket(path: Path) -> socket.socket:
    """Bind the socket of a worker, in place of that of a killed worker with the same number."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    return listener


class Forwarding:
    """Middleware that passes a request on if another worker holds its session, or has room for a new one."""

    def __init__(self, app: ASGIApp, worker: Worker, clients: Sequence[httpx.AsyncClient]) -> None:
        self._app, self._worker, self._clients = app, worker, clients
        self._count = 0
        self._idle = anyio.Event()
        self._idle.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        holder = self._holder(scope) if scope["type"] == "http" else self._worker.number
        if holder == self._worker.number or holder >= len(self._clients):
            await self._app(scope, receive, send)
            return
        self._count += 1
        self._idle = self._idle if self._count > 1 else anyio.Event()
        try:
            await _Forwarded(self._clients[holder], scope, receive, send).serve()
        finally:
            self._count -= 1
            if not self._count:
                self._idle.set()

    async def idle(self) -> None:
        """Wait until no request is passed on."""
        await self._idle.wait()

    def _holder(self, scope: Scope) -> int:
        """Return the number of the worker that a request is for."""
        names = scope["path"].strip("/").split("/")
        if names[0] != "sessions":
            return self._worker.number
        if len(names) > 1:
            holder = worker_of(names[1])
            return self._worker.number if holder is None else holder
        room = self._worker.room
        if scope["method"] == "POST" and room.own <= 0 < max(room.others, default=0):
            return room.worker_with_largest
        return self._worker.number


@dataclass
class _Forwarded:
    """A request that is passed on."""

    client: httpx.AsyncClient
    scope: Scope
    receive: Receive
    send: Send
    sent: anyio.Event = field(default_factory=anyio.Event)
    is_answered: bool = False

    async def serve(self) -> None:
        """Pass the request on, and its answer back; end the request if the client disconnects."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, tasks.cancel_scope)
            try:
                await self._answer()
            except httpx.ReadTimeout as error:
                await error_answer(HTTPStatus.REQUEST_TIMEOUT, str(error), {"Connection": "close"})(
                    self.scope, self.receive, self.send
                )
            except httpx.TransportError as error:
                if not self.is_answered:
                    reason = f"the worker that holds the session does not answer: {type(error).__name__}"
                    answer = error_answer(HTTPStatus.SERVICE_UNAVAILABLE, reason, {"Retry-After": "1"})
                    await answer(self.scope, self.receive, self.send)
            tasks.cancel_scope.cancel()

    async def _watch(self, serving: anyio.CancelScope) -> None:
        await self.sent.wait()
        while (await self.receive())["type"] != "http.disconnect":
            pass
        serving.cancel()

    async def _answer(self) -> None:
        left_out = {*_HOP_BY_HOP, CLIENT_HEADER}
        headers = [(name, value) for name, value in self.scope["headers"] if name.lower() not in left_out]
        headers.append((CLIENT_HEADER, network_of(self.scope).encode()))
        given = {name.lower() for name, _ in self.scope["headers"]}
        is_open = self.scope["http_version"] == "2" and b"content-length" not in given  # HTTP/2 ends bodies by frames
        if b"transfer-encoding" in given or (is_open and self.scope["method"] in _WITH_BODY):
            headers.append((b"transfer-encoding", b"chunked"))
        # httpx would change the path of a URL. Hypercorn's `raw_path` has the query as well.
        target = {"target": self.scope["raw_path"]}
        request = httpx.Request(
            self.scope["method"], "http://worker/", headers=headers, stream=_Body(self), extensions=target
        )
        answer = await self.client.send(request, stream=True)
        try:
            self.sent.set()
            kept = [(name.lower(), value) for name, value in answer.headers.raw if name.lower() not in _HOP_BY_HOP]
            self.is_answered = True
            await self.send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
            async for piece in answer.aiter_raw():
                await self.send({"type": "http.response.body", "body": piece, "more_body": True})
            await self.send({"type": "http.response.body", "body": b""})
        finally:
            with anyio.CancelScope(shield=True):
                await answer.aclose()


class _Body(httpx.AsyncByteStream):
    """The body of a request, as it arrives."""

    def __init__(self, forwarded: _Forwarded) -> None:
        self._forwarded = forwarded

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces.

        Raises:
            httpx.ReadError: The client disconnects; the request then ends.
            httpx.ReadTimeout: The body arrives too slowly.
        """
        more, deadline = True, anyio.current_time() + _BODY_TIMEOUT_S
        while more:
            try:
                with anyio.fail_after(deadline - anyio.current_time()):
                    message: Message = await self._forwarded.receive()
            except TimeoutError as error:
                raise httpx.ReadTimeout("the body arrives too slowly") from error
            deadline += len(message.get("body", b"")) / MIN_BYTES_PER_S
            if message["type"] == "http.disconnect":
                raise httpx.ReadError("the client has disconnected")
            if message.get("body"):
                yield message["body"]
            more = message.get("more_body", False)
        self._forwarded.sent.set()


@asynccontextmanager
async def opened_clients(folder: Path | None, workers: int) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Open a client for the socket of each worker, and close them on leaving.

    Args:
        folder: The folder that the workers share; None if there is only one worker.
        workers: How many there are.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=_IDLE_TIMEOUT_S)
    clients = [
        httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(worker_socket(folder or Path(), number)), limits=limits),
            timeout=None,  # noqa: S113 - the worker that holds the session limits the time
        )
        for number in range(workers if folder else 0)
    ]
    try:
        yield clients
    finally:
        for client in clients:
            await client.aclose()
