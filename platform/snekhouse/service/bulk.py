"""Many evaluations of one request: they run side by side, and share one place in the queue."""

import logging
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskStatus

from snekhouse.errors import BusyError
from snekhouse.evaluation import Job, Observer, Result, Status
from snekhouse.jail.verdict import JAIL_FAILED
from snekhouse.registry.models import Runtime
from snekhouse.service.service import Run, Service

_log = logging.getLogger(__package__)

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
        BusyError: There was no place in the queue for the first task, or the server stops.
    """
    bulk = _Bulk(service, done, run)
    failed: list[BusyError] = []
    async with anyio.create_task_group() as running:
        try:
            async for task in tasks:
                await bulk.places.acquire()
                await running.start(bulk.start, task)
        except BusyError as error:
            failed.append(error)
            running.cancel_scope.cancel()
    if failed:
        raise failed[0]


class _Bulk(Generic[_Name]):
    def __init__(self, service: Service, done: Done[_Name], run: Run | None) -> None:
        self._service, self._done, self._run = service, done, run
        self._has_started = False
        self.places = anyio.Semaphore(2 * service.registry.server.slots)

    async def start(self, task: Task[_Name], *, task_status: TaskStatus[None]) -> None:
        """Evaluate a task; it has started once it has a slot."""
        try:
            await self._done(task, await self._result(task, task_status))
        finally:
            self.places.release()

    async def _result(self, task: Task[_Name], task_status: TaskStatus[None]) -> Result:
        has_slot = False

        def started() -> None:
            nonlocal has_slot
            has_slot = self._has_started = True
            task_status.started()

        state = self._service.runtimes[task.runtime.name]
        while True:
            try:
                return await self._service.evaluate(
                    task.runtime, task.job, Observer(started), in_bulk=True, run=self._run
                )
            except BusyError as error:
                if has_slot:  # the host is out of resources
                    return Result(Status.INTERNAL_ERROR, JAIL_FAILED, message=str(error))
                if not self._has_started or self._service.is_closing or state.probe is None:
                    raise
            await anyio.sleep(_RETRY_PAUSE_S)
