"""Many evaluations of one request: they run side by side, and share one place in the queue."""

from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskStatus

from snekhouse.errors import SnekhouseError
from snekhouse.evaluation import Job, Observer, Result, Status
from snekhouse.jail.verdict import JAIL_FAILED
from snekhouse.registry.models import Runtime
from snekhouse.service.service import Run, Service
from snekhouse.service.task_groups import unwrapped_tasks

_Name = TypeVar("_Name")

_RETRY_PAUSE_S = 0.05
"""Seconds until the next attempt to get a place in a full queue."""


@dataclass(frozen=True, slots=True)
class Task(Generic[_Name]):
    """One evaluation of many.

    Attributes:
        name: What the request calls it.
        runtime: Its runtime.
        job: What to evaluate.
    """

    name: _Name
    runtime: Runtime
    job: Job


Done = Callable[[Task[_Name], Result], Awaitable[None]]
"""Takes the result of a task. At most twice as many tasks as there are slots have begun and are not done."""


async def evaluate_all(
    service: Service, tasks: AsyncIterable[Task[_Name]], done: Done[_Name], run: Run | None = None
) -> None:
    """Evaluate many tasks, as many at once as there are slots.

    Only one task at a time waits in the queue. There, all requests of this kind together take turns with the other
    evaluations of a runtime. So when a slot becomes free, a waiting evaluation lets at most one task go first.

    Args:
        service: The service.
        tasks: The tasks; each is taken when there is a slot for it.
        done: Takes the result of each. It may cancel the rest by cancelling a scope around this call.
        run: Runs each job; None for the way in which evaluations start.

    Raises:
        BusyError: There was no place in the queue for the first task, a runtime is unavailable, or the server stops.
        SnekhouseError: `done` raised it.
    """
    bulk = _Bulk(service, done, run)
    async with unwrapped_tasks() as running:
        async for task in tasks:
            await bulk.places.acquire()
            await running.start(bulk.start, task)
            bulk.require_done()
    bulk.require_done()


async def evaluate_in_bulk(
    service: Service, runtime: Runtime, job: Job, *, started: Callable[[], None], run: Run | None, is_first: bool
) -> Result:
    """Evaluate one job of many, and try again while the queue is full.

    Args:
        service: The service.
        runtime: Its runtime.
        job: What to evaluate.
        started: Called once it has a slot.
        run: Runs it; None for the way in which evaluations start.
        is_first: Whether to give up if the queue is full, because no job of the request has begun.

    Returns:
        The result; an error after the job had a slot is a result as well, because others of the request may go on.

    Raises:
        BusyError: The queue is full, the runtime is unavailable, or the server stops.
    """
    has_slot = False

    def note() -> None:
        nonlocal has_slot
        has_slot = True
        started()

    while True:
        try:
            return await service.evaluate(runtime, job, Observer(note), in_bulk=True, run=run)
        except SnekhouseError as error:
            if has_slot:
                return Result(Status.INTERNAL_ERROR, JAIL_FAILED, message=str(error))
            if is_first or service.is_closing:
                if is_first:
                    service.metrics.ended(runtime.name, "refused")
                raise
            state = service.runtimes.get(runtime.name)
            if state is None or state.probe is None:  # since a reload
                started()
                return Result(Status.INTERNAL_ERROR, JAIL_FAILED, message=str(error))
        await anyio.sleep(_RETRY_PAUSE_S)


class _Bulk(Generic[_Name]):
    def __init__(self, service: Service, done: Done[_Name], run: Run | None) -> None:
        self._service, self._done, self._run = service, done, run
        self._has_started = False
        self._failed: SnekhouseError | None = None
        self.places = anyio.Semaphore(2 * service.registry.server.slots)

    def require_done(self) -> None:
        """Check that no result was refused.

        Raises:
            SnekhouseError: `done` raised it.
        """
        if self._failed:
            raise self._failed

    async def start(self, task: Task[_Name], *, task_status: TaskStatus[None]) -> None:
        """Evaluate a task; it has started once it has a slot."""

        def started() -> None:
            self._has_started = True
            task_status.started()

        try:
            is_first = not self._has_started
            run = partial(evaluate_in_bulk, self._service, task.runtime, task.job, run=self._run)
            found = [await run(started=started, is_first=is_first)]
            try:
                await self._done(task, found.pop())  # `done` may free it
            except SnekhouseError as error:
                self._failed = self._failed or error
        finally:
            self.places.release()
