"""Memory for what is in transit: bodies until they are evaluated, and answers until their clients have read them."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from snekhouse.errors import BusyError

_KEY = "snekhouse.share"

_AGE = 1.0
"""Seconds after which a client has shown its pace."""

_PATIENCE = 30.0
"""Seconds that a client may take to read a piece of its answer."""


class Reservation:
    """What one request holds of the room.

    Attributes:
        size: Bytes.
    """

    def __init__(self, room: "MemoryBudget") -> None:
        self._room = room
        self._waiting: _Waiting | None = None
        self.size = 0

    def hold(self, size: int) -> None:
        """Hold so many bytes instead of those held before.

        Raises:
            BusyError: There is no room for them.
        """
        self._room.make(size - self.size)
        self._resize(size)

    @contextmanager
    def waiting(self, scope: anyio.CancelScope) -> Iterator["_Waiting"]:
        """Wait for the client, who may be given up for others.

        Args:
            scope: What to cancel then.
        """
        self._waiting = _Waiting(scope)
        try:
            yield self._waiting
        finally:
            self._waiting = None

    @property
    def pace(self) -> float:
        """Bytes a second that the client takes or gives; infinite where it is not known, or not the client's doing."""
        age = time.monotonic() - self._waiting.since if self._waiting else 0
        return self._waiting.moved / age if self._waiting and self.size and age > _AGE else math.inf

    def give_up(self) -> None:
        """Wait for the client no longer."""
        self._resize(0)
        if self._waiting:
            self._waiting.scope.cancel()

    def close(self) -> None:
        """Hold nothing more."""
        self._resize(0)

    def _resize(self, size: int) -> None:
        self._room.held += size - self.size
        self.size = size


@dataclass
class _Waiting:
    scope: anyio.CancelScope
    moved: int = 0
    since: float = field(default_factory=time.monotonic)


class MemoryBudget:
    """All the memory that requests in transit may hold.

    Attributes:
        held: Bytes that they hold.
    """

    def __init__(self, size: Callable[[], int]) -> None:
        """Make one.

        Args:
            size: Tells how many bytes, now.
        """
        self._size = size
        self._shares: set[Reservation] = set()
        self.held = 0

    @contextmanager
    def share(self) -> Iterator[Reservation]:
        """Let one request have a share."""
        share = Reservation(self)
        self._shares.add(share)
        try:
            yield share
        finally:
            share.close()
            self._shares.discard(share)

    def make(self, size: int) -> None:
        """Make room, by giving up the slowest clients.

        Raises:
            BusyError: There is no slow one.
        """
        while size > self._size() - self.held:
            slowest = min(self._shares, key=lambda share: share.pace)
            if slowest.pace == math.inf:
                raise BusyError("too much is being sent and received; see [server] max_in_transit")
            slowest.give_up()


class BudgetRequests:
    """Middleware that gives each request a share of the room, and stops waiting for clients that do not read."""

    def __init__(self, app: ASGIApp, room: MemoryBudget) -> None:
        self._app = app
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._room.share() as share, anyio.CancelScope() as serving, ExitStack() as answering:
            waiting: _Waiting | None = None

            async def send_in_time(message: Message) -> None:
                nonlocal waiting
                waiting = waiting or answering.enter_context(share.waiting(serving))
                with anyio.move_on_after(_PATIENCE) as clock:
                    await send(message)
                waiting.moved += len(message.get("body", b""))
                if clock.cancelled_caught:
                    serving.cancel()

            await self._app({**scope, _KEY: share}, receive, send_in_time)


def reservation_of(scope: Scope) -> Reservation:
    """Find the share of a request."""
    share: Reservation = scope[_KEY]
    return share
