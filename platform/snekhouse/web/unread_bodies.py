"""Bodies that nobody reads, because their request is refused before."""

from collections.abc import Iterable
from contextlib import suppress

import anyio
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PATIENCE = 5.0
"""Seconds that the rest of a body may take to arrive."""


class ReadUnread:
    """Middleware that reads and discards the rest of a body before its answer is sent.

    A server that closes a connection with unread data resets it, and the client may never see the answer; and one that
    keeps it would take the rest for the next request, so it closes it in the moment in which a client may use it again.
    What takes too long to arrive is given up: the answer then says that the connection closes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(receive)

        async def send_after_reading(message: Message) -> None:
            if message["type"] == "http.response.start" and not await body.finish():
                message = {**message, "headers": [*_others(message["headers"]), (b"connection", b"close")]}
            await send(message)

        with suppress(ClientDisconnect):  # nobody is there to be answered
            await self._app(scope, body.receive, send_after_reading)


class _Body:
    """The body as it arrives, and whether its end has."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_done = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._is_done = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def finish(self) -> bool:
        """Read and discard what is left; tell whether that was all."""
        with anyio.move_on_after(_PATIENCE):
            while not self._is_done:
                await self.receive()
        return self._is_done


def _others(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name.lower() != b"connection"]
