"""Memory for what is in transit: bodies until they are evaluated, and answers until their clients have read them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from snekhouse.errors import BusyError

_KEY = "snekhouse.share"

_STALLED = 1.0
"""Seconds without progress after which an answer may be given up for others."""

_PATIENCE = 30.0
"""Seconds that a client may take to read a piece of its answer."""


class Share:
    """What one request holds of the room."""

    def __init__(self, room: "Room") -> None:
        self._room = room
        self.size = 0
        self.scope = anyio.CancelScope()
        self.waiting_since: float | None = None

    def hold(self, size: int) -> None:
        """Hold so many bytes instead of those held before.

        Raises:
            BusyError: There is no room for them.
        """
        self._room.make(size - self.size)
        self.size = size

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Note that a client is waited for, and give it up when it takes too long."""
        self.waiting_since = time.monotonic()
        try:
            with anyio.fail_after(_PATIENCE):
                yield
        except TimeoutError:
            self.scope.cancel()
        finally:
            self.waiting_since = None


class Room:
    """All the memory that requests in transit may hold."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._shares: set[Share] = set()

    @contextmanager
    def share(self) -> Iterator[Share]:
        """Let one request have a share."""
        share = Share(self)
        self._shares.add(share)
        try:
            with share.scope:
                yield share
        finally:
            self._shares.discard(share)

    def make(self, size: int) -> None:
        """Make room, by giving up answers that nobody reads, the slowest readers first.

        Raises:
            BusyError: All else is in use.
        """
        now = time.monotonic()
        while size > self._left():
            stalled = [each for each in self._shares if each.size and now - (each.waiting_since or now) > _STALLED]
            if not stalled:
                raise BusyError("too much is being sent and received; see [server] max_in_transit")
            slowest = min(stalled, key=lambda share: share.waiting_since or now)
            slowest.size = 0
            slowest.scope.cancel()

    def _left(self) -> int:
        return self._size - sum(share.size for share in self._shares)


class Transit:
    """Middleware that gives each request a share of the room, and stops waiting for clients that do not read."""

    def __init__(self, app: ASGIApp, room: Room) -> None:
        self._app = app
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._room.share() as share:

            async def send_in_time(message: Message) -> None:
                with share.sending():
                    await send(message)

            await self._app({**scope, _KEY: share}, receive, send_in_time)


def share_of(scope: Scope) -> Share:
    """Find the share of a request."""
    share: Share = scope[_KEY]
    return share
