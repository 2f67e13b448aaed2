"""Request bodies that the application does not read, because it refuses the request first."""

from contextlib import suppress

import anyio
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_DISCARD_TIMEOUT_S = 5.0
"""Seconds for the rest of a body to arrive; after that the connection closes."""


class BodyDiscard:
    """Middleware that reads and discards the rest of a body before the answer is sent.

    If a server closes a connection with unread data, TCP resets it, and the client may never see the answer. If the
    server keeps the connection, it must read the body before the next request. If the rest takes too long to arrive,
    the answer says that the connection closes.
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
                others = [each for each in message["headers"] if each[0].lower() != b"connection"]
                message = {**message, "headers": [*others, (b"connection", b"close")]}
            await send(message)

        with suppress(ClientDisconnect):  # there is no client to answer
            await self._app(scope, body.receive, send_after_reading)


class _Body:
    """A body, and whether its end has arrived."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_done = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._is_done = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def finish(self) -> bool:
        """Read and discard the rest; return whether its end arrived in time."""
        with anyio.move_on_after(_DISCARD_TIMEOUT_S):
            while not self._is_done:
                await self.receive()
        return self._is_done
