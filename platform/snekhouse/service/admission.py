"""Admission: how many evaluations run at once, and who is next."""

import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from snekhouse.errors import BusyError


class Admission:
    """Places for evaluations at once, and a bounded queue before them, fair between runtimes.

    Runtimes take turns, and each serves its own in the order in which they came. In a full queue a runtime with few
    takes the seat of the last of the one with most: a flood for one runtime shuts no other out.
    """

    def __init__(self, places: int, seats: int) -> None:
        self._places = places
        self._seats = seats
        self._taken = 0
        self._queues: dict[str, deque[_Visitor]] = {}  # in the order of their turns, none of them empty
        self._idle = anyio.Event()
        self._idle.set()

    @asynccontextmanager
    async def turn(self, runtime: str) -> AsyncIterator[float]:
        """Wait for a place; yield the seconds that it took.

        Args:
            runtime: Whose queue to wait in.

        Raises:
            BusyError: There is no seat in the queue.
        """
        arrived = time.monotonic()
        if self._taken < self._places:
            self._take()
        else:
            await self._wait(runtime)
        try:
            yield time.monotonic() - arrived
        finally:
            self._leave()

    async def idle(self) -> None:
        """Wait until nothing runs and nobody waits."""
        await self._idle.wait()

    def resize(self, places: int, seats: int) -> None:
        """Have so many places and seats from now on; those that are taken stay so."""
        self._places, self._seats = places, seats
        self._admit()

    @property
    def taken(self) -> int:
        """How many have a place."""
        return self._taken

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return sum(map(len, self._queues.values()))

    def _take(self) -> None:
        self._taken += 1
        if self._idle.is_set():
            self._idle = anyio.Event()

    def _leave(self) -> None:
        """Hand a place to the evaluation that is next."""
        self._taken -= 1
        self._admit()
        if not self._taken:
            self._idle.set()

    def _admit(self) -> None:
        while self._queues and self._taken < self._places:
            runtime = next(iter(self._queues))
            queue = self._queues.pop(runtime)
            self._take()
            queue.popleft().admit()
            if queue:
                self._queues[runtime] = queue  # last now

    async def _wait(self, runtime: str) -> None:
        self._make_room(runtime)
        visitor = _Visitor()
        self._queues.setdefault(runtime, deque()).append(visitor)
        try:
            await visitor.answer()
        except BaseException:
            if visitor.is_admitted:
                self._leave()
            elif not visitor.is_refused:
                self._forget(runtime, visitor)
            raise

    def _make_room(self, runtime: str) -> None:
        if self.waiting < self._seats:
            return
        longest = max(self._queues, key=lambda name: len(self._queues[name]), default=runtime)
        if len(self._queues.get(longest, ())) <= len(self._queues.get(runtime, ())) + 1:
            raise BusyError(f"{self._seats} evaluations are waiting already")
        last = self._queues[longest][-1]
        self._forget(longest, last)
        last.refuse()

    def _forget(self, runtime: str, visitor: "_Visitor") -> None:
        self._queues[runtime].remove(visitor)
        if not self._queues[runtime]:
            del self._queues[runtime]


class _Visitor:
    """Somebody who waits for a place."""

    def __init__(self) -> None:
        self._answered = anyio.Event()
        self.is_refused = False

    @property
    def is_admitted(self) -> bool:
        return self._answered.is_set() and not self.is_refused

    async def answer(self) -> None:
        await self._answered.wait()
        if self.is_refused:
            raise BusyError("the queue is full, and most of those who wait in it wait for this runtime")

    def admit(self) -> None:
        self._answered.set()

    def refuse(self) -> None:
        self.is_refused = True
        self._answered.set()
