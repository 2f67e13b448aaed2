"""A memory budget for requests in transit: bodies until they are evaluated, answers until clients have read them."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from snekhouse.errors import BusyError

_KEY = "snekhouse.reservation"

_PACE_DELAY_S = 1.0
"""Seconds of waiting for a client before its pace is known."""

_SEND_TIMEOUT_S = 30.0
"""Seconds for a client to read a piece of its answer."""


class Reservation:
    """The part of the budget that one request holds.

    Attributes:
        size: Bytes.
    """

    def __init__(self, budget: "MemoryBudget") -> None:
        self._budget = budget
        self._waiting: _Waiting | None = None
        self._is_resting = False
        self.size = 0

    def hold(self, size: int) -> None:
        """Change the reservation to this many bytes.

        Raises:
            BusyError: The budget has too little left.
        """
        self._budget.free(size - self.size)
        self._resize(size)

    @contextmanager
    def waiting(self, scope: anyio.CancelScope) -> Iterator["_Waiting"]:
        """Mark the request as waiting for its client; the budget may then cancel it to free memory for others.

        Args:
            scope: The scope that the budget cancels.
        """
        self._waiting = _Waiting(scope)
        try:
            yield self._waiting
        finally:
            self._waiting = None

    @contextmanager
    def more(self, size: int) -> Iterator[None]:
        """Hold some more bytes while the body runs.

        Raises:
            BusyError: The budget has too little left.
        """
        self.hold(self.size + size)
        try:
            yield
        finally:
            self._resize(max(0, self.size - size))

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Mark the client as not to blame while the body runs, because there is nothing for it to read."""
        self._is_resting, begin = True, time.monotonic()
        try:
            yield
        finally:
            self._is_resting = False
            if self._waiting:
                self._waiting.since += time.monotonic() - max(begin, self._waiting.since)

    @property
    def pace(self) -> float:
        """Bytes a second that the client sends or reads; infinite if unknown, or if nothing waits for the client."""
        age = time.monotonic() - self._waiting.since if self._waiting and not self._is_resting else 0
        return self._waiting.moved / age if self._waiting and self.size and age > _PACE_DELAY_S else math.inf

    def give_up(self) -> None:
        """Release the reservation, and cancel the wait for the client."""
        self._resize(0)
        if self._waiting:
            self._waiting.scope.cancel()

    def _resize(self, size: int) -> None:
        self._budget.held += size - self.size
        self.size = size


@dataclass
class _Waiting:
    scope: anyio.CancelScope
    moved: int = 0
    since: float = field(default_factory=time.monotonic)


class MemoryBudget:
    """The memory that all requests in transit may hold.

    Attributes:
        held: Bytes that they hold now.
    """

    def __init__(self, size: Callable[[], int]) -> None:
        """Make a budget.

        Args:
            size: Returns its current size in bytes.
        """
        self._size = size
        self._reservations: set[Reservation] = set()
        self.held = 0

    @contextmanager
    def reserve(self) -> Iterator[Reservation]:
        """Make a reservation for one request, at first of no bytes."""
        reservation = Reservation(self)
        self._reservations.add(reservation)
        try:
            yield reservation
        finally:
            reservation.give_up()
            self._reservations.discard(reservation)

    def free(self, size: int) -> None:
        """Disconnect the slowest clients until `size` bytes are free.

        Raises:
            BusyError: There is no slow client.
        """
        while size > self._size() - self.held:
            slowest = min(self._reservations, key=lambda reservation: reservation.pace)
            if slowest.pace == math.inf:
                raise BusyError("requests and answers in transit fill [server] max_in_transit; try again later")
            slowest.give_up()


class TransitLimit:
    """Middleware that makes a reservation for each request, and disconnects clients that do not read."""

    def __init__(self, app: ASGIApp, budget: MemoryBudget) -> None:
        self._app = app
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            with self._budget.reserve() as reservation:
                await self._app({**scope, _KEY: reservation}, receive, send)
            return
        with self._budget.reserve() as reservation, anyio.CancelScope() as serving, ExitStack() as answering:
            waiting: _Waiting | None = None

            async def send_in_time(message: Message) -> None:
                nonlocal waiting
                waiting = waiting or answering.enter_context(reservation.waiting(serving))
                with anyio.move_on_after(_SEND_TIMEOUT_S) as clock:
                    await send(message)
                waiting.moved += len(message.get("body", b""))
                if clock.cancelled_caught:
                    serving.cancel()

            await self._app({**scope, _KEY: reservation}, receive, send_in_time)


def reservation_of(scope: Scope) -> Reservation:
    """Return the reservation of a request."""
    reservation: Reservation = scope[_KEY]
    return reservation
