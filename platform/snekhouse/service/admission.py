"""Admission: how many evaluations run at the same time, and which evaluation is next."""

import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from snekhouse.errors import BusyError
from snekhouse.host.per_worker_number import PerWorkerNumber


class Admission:
    """Slots for evaluations that run at the same time, and a bounded queue for the others, fair between runtimes.

    Runtimes take turns. For each runtime, the evaluations of `/judge`, `/compare` and `/batch` have a queue of their
    own, which takes a turn as well. The evaluations of each runtime start in the order of their arrival. If the queue
    is full, a new evaluation of a runtime with few waiting evaluations replaces the last evaluation of the runtime with
    the most.
    So a flood of requests for one runtime does not block the others. Each worker has a queue of its own; the limit is
    that of all these queues together.
    """

    def __init__(self, slots: int, queue_size: int, waiting: PerWorkerNumber | None = None) -> None:
        """Admit evaluations.

        Args:
            slots: How many run at the same time in this worker.
            queue_size: How many may wait for a slot, in all workers together.
            waiting: How many wait in each worker; None if there is one worker.
        """
        self._slots = slots
        self._queue_size = queue_size
        self._running = 0
        self._queues: dict[str, deque[_Waiter]] = {}  # by runtime, the next one first; none is empty
        self._waiting = waiting or PerWorkerNumber()
        self._idle = anyio.Event()
        self._idle.set()

    @asynccontextmanager
    async def turn(self, runtime: str) -> AsyncIterator[float]:
        """Wait for a slot; yield the seconds that it took.

        Args:
            runtime: The queue to wait in: a runtime, or its evaluations in bulk.

        Raises:
            BusyError: The queue is full.
        """
        arrived = time.monotonic()
        if self._running < self._slots:
            self._enter()
        else:
            await self._wait(runtime)
        try:
            yield time.monotonic() - arrived
        finally:
            self._leave()

    async def idle(self) -> None:
        """Wait until no evaluation runs or waits."""
        await self._idle.wait()

    def resize(self, slots: int, queue_size: int) -> None:
        """Change the number of slots and the limit of the queues; evaluations that run or wait stay."""
        self._slots, self._queue_size = slots, queue_size
        self._admit()

    def _enter(self) -> None:
        self._running += 1
        if self._idle.is_set():
            self._idle = anyio.Event()

    def _leave(self) -> None:
        """Free a slot, and give it to the next evaluation."""
        self._running -= 1
        self._admit()
        if not self._running:
            self._idle.set()

    def _admit(self) -> None:
        while self._queues and self._running < self._slots:
            runtime = next(iter(self._queues))
            queue = self._queues.pop(runtime)
            self._enter()
            queue.popleft().answered.set()
            self._waiting.own -= 1
            if queue:
                self._queues[runtime] = queue  # now the last

    async def _wait(self, runtime: str) -> None:
        self._make_room(runtime)
        waiter = _Waiter()
        self._queues.setdefault(runtime, deque()).append(waiter)
        self._waiting.own += 1
        try:
            await waiter.wait()
        except BaseException:
            if not waiter.answered.is_set():
                self._remove(runtime, waiter)
            elif not waiter.is_refused:
                self._leave()
            raise

    def _make_room(self, runtime: str) -> None:
        if self._waiting.own + sum(self._waiting.others) < self._queue_size:
            return
        longest = max(self._queues, key=lambda name: len(self._queues[name]), default=runtime)
        if len(self._queues.get(longest, ())) <= len(self._queues.get(runtime, ())) + 1:
            raise BusyError(f"the queue is full ({self._queue_size} waiting)")
        last = self._queues[longest][-1]
        self._remove(longest, last)
        last.refuse()

    def _remove(self, runtime: str, waiter: "_Waiter") -> None:
        self._queues[runtime].remove(waiter)
        self._waiting.own -= 1
        if not self._queues[runtime]:
            del self._queues[runtime]


class _Waiter:
    """An evaluation that waits for a slot."""

    def __init__(self) -> None:
        self.answered = anyio.Event()
        self.is_refused = False

    async def wait(self) -> None:
        await self.answered.wait()
        if self.is_refused:
            raise BusyError("the queue is full, and this runtime has the most evaluations in it")

    def refuse(self) -> None:
        self.is_refused = True
        self.answered.set()
