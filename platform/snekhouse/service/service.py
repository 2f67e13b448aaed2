"""The service: the runtimes of a registry, their evaluations, and the change to another registry."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace

import anyio

from snekhouse.errors import BusyError
from snekhouse.evaluation import NOBODY, Enforcement, Job, Observer, Result, Status
from snekhouse.jail.resources import RunResources
from snekhouse.registry.models import Registry, Runtime
from snekhouse.service.admission import Admission
from snekhouse.service.exhaustion import exhaustion_reported
from snekhouse.service.log_fields import job_fields, result_fields
from snekhouse.service.metrics import Metrics
from snekhouse.service.preparing import Preparer
from snekhouse.service.replacing import (
    report_unavailable,
    require_available,
    require_ids,
    retire,
    wait_for_fork_servers,
)
from snekhouse.service.runtime_state import RuntimeState

_log = logging.getLogger(__package__)

Run = Callable[[RuntimeState, Job, Observer], Awaitable[Result]]
"""Runs a job that already has a slot, and lets an observer follow it."""


class Service:
    """All runtimes of a registry, ready to evaluate.

    Attributes:
        registry: The registry that it serves.
        metrics: Its metrics.
        runtimes: The state of each runtime, by name, in the registry's order.
        diffs: Lets one request compute diffs at a time: they need the GIL, and evaluations need the other threads.
        idle_jails: Limits how many jails wait for the next case of a request (`case_jails`).
    """

    def __init__(
        self,
        registry: Registry,
        runtimes: Mapping[str, RuntimeState],
        resources: RunResources,
        preparer: Preparer,
        *,
        metrics: Metrics,
        admission: Admission,
    ) -> None:
        self.registry = registry
        self.metrics = metrics
        self.runtimes = runtimes
        self._resources = resources
        self._preparer = preparer
        self._changing = anyio.Lock()
        self._admission = admission
        self._is_closing = False
        self.diffs = anyio.CapacityLimiter(1)
        self.idle_jails = anyio.Semaphore(min(registry.server.slots, _MAX_IDLE_JAILS))
        self._accepted: set[anyio.CancelScope] = set()

    def require_ready(self) -> None:
        """Check that the default runtime can evaluate.

        Raises:
            BusyError: The default runtime cannot evaluate, or the server is shutting down.
        """
        if self._is_closing:
            raise BusyError(_CLOSING)
        if self.runtimes[self.registry.default].probe is None:
            raise BusyError(f"the default runtime {self.registry.default} is unavailable", retry_after=5)

    @property
    def is_closing(self) -> bool:
        """Whether the server is shutting down, and takes no more evaluations."""
        return self._is_closing

    @property
    def walls(self) -> frozenset[str]:
        """Which of ``memory``, ``pids`` and ``cpu`` cgroups limit on this host."""
        return self._resources.cgroups.walls if self._resources.cgroups else frozenset()

    @property
    def enforcement(self) -> Enforcement:
        """What enforces the limits of runs on this host."""
        return self._resources.enforcement

    async def settled(self) -> None:
        """Wait until the first fork server of each runtime has started, or has failed to start (`attempted`)."""
        await wait_for_fork_servers(self.runtimes)

    async def change(self, registry: Registry) -> None:
        """Serve another registry from now on; evaluations that run or wait keep the old one.

        Its runtimes are prepared first. Those that render as before keep their fork servers.

        Raises:
            RegistryError: An available runtime would become unavailable, the new fork server of a runtime that has one
                does not start, or the server has too few host ids; nothing changes.
            HostError: The host lacks a wall, and the registry does not allow that, or files cannot be written; nothing
                changes.
        """
        async with self._changing:
            before = self.runtimes
            require_ids(registry, self._resources.ids)
            runtimes = await self._preparer.prepare_again(registry, before)
            try:
                await wait_for_fork_servers(runtimes)
                require_available(registry, before, runtimes)
            except BaseException:
                retire(runtimes, before)
                raise
            self.registry, self.runtimes = registry, runtimes
            self._admission.resize(registry.server.slots, registry.server.queue)
            report_unavailable(runtimes, before)
            retire(before, runtimes)

    async def renew(self, name: str) -> RuntimeState:
        """Prepare a runtime again, with its interpreter as it is now.

        Args:
            name: Its name, or an alias.

        Raises:
            RuntimeUnknownError: There is no such runtime.
        """
        async with self._changing:
            runtime, before = self.registry.resolve(name), self.runtimes
            alone = self.registry.model_copy(update={"runtimes": {runtime.name: runtime}})
            fresh = await self._preparer.prepare_again(alone, {})
            try:
                await wait_for_fork_servers(fresh)
            except BaseException:
                retire(fresh, {})
                raise
            self.runtimes = {**before, **fresh}
            report_unavailable(fresh, {})
            retire(before, self.runtimes)
            return fresh[runtime.name]

    async def drain(self, grace: float) -> None:
        """Accept no more evaluations, wait for the accepted ones, and cancel those that do not end.

        Args:
            grace: Seconds for the accepted evaluations to end.
        """
        self._is_closing = True
        with anyio.move_on_after(grace):
            await self._admission.idle()
        for scope in self._accepted:
            scope.cancel()
        await self._admission.idle()

    async def evaluate(
        self,
        runtime: Runtime,
        job: Job,
        observer: Observer = NOBODY,
        *,
        in_bulk: bool = False,
        run: Run | None = None,
    ) -> Result:
        """Evaluate a job, once there is a slot for it.

        Args:
            runtime: One of the registry's runtimes.
            job: What to evaluate.
            observer: Follows the evaluation while it runs.
            in_bulk: Whether the job is one of many of a request. Such jobs wait in a queue of their own, which takes
                turns with that of the runtime.
            run: Runs the job once it has a slot; by default the runtime's own way to start evaluations.

        Raises:
            BusyError: The queue is full, the runtime is unavailable, the host is out of resources, or the server stops.
        """
        state = self.runtimes.get(runtime.name)
        if state is None:
            raise BusyError(f"the runtime {runtime.name} was removed")
        try:
            result = await self._evaluate(state, job, observer, in_bulk=in_bulk, run=run)
        except BusyError:
            if not in_bulk:  # a job in bulk tries again
                self.metrics.ended(runtime.name, "refused")
            raise
        if result is None:
            raise BusyError(_CLOSING)
        self.metrics.ended(runtime.name, result.status.value)
        _log.info("evaluation", extra=job_fields(runtime, job) | result_fields(result))
        if result.status is Status.INTERNAL_ERROR:
            state.preparation.last_error = result.message
            _log.error("internal error: %s", result.message)
        return result

    async def _evaluate(
        self, state: RuntimeState, job: Job, observer: Observer, *, in_bulk: bool, run: Run | None
    ) -> Result | None:
        """Evaluate a job; return None if `drain` cancelled it, which counts as abandoned."""
        self._require_open(state)
        with state.preparation.used(), self._cancellable(), exhaustion_reported():
            return await self._admitted(state, job, observer, in_bulk=in_bulk, run=run)
        return None

    def check_available(self, name: str) -> None:
        """Check that a runtime can evaluate.

        Args:
            name: Its name.

        Raises:
            BusyError: It is unavailable, or the server stops.
            RuntimeUnknownError: There is no such runtime.
        """
        try:
            self._require_open(self._state_of(name))
        except BusyError:
            self.metrics.ended(name, "refused")
            raise

    def _require_open(self, state: RuntimeState) -> None:
        if self._is_closing:
            raise BusyError(_CLOSING)
        if state.probe is None:
            raise BusyError(f"the runtime {state.runtime.name} is unavailable: {state.reason}", retry_after=60)

    async def _admitted(
        self, state: RuntimeState, job: Job, observer: Observer, *, in_bulk: bool, run: Run | None
    ) -> Result:
        name = state.runtime.name
        try:
            async with self._turn(f"{name}, in bulk" if in_bulk else name) as waited:
                observer.started()
                with self.metrics.running(name, waited):
                    result = await (run or _run)(state, job, observer)
        except anyio.get_cancelled_exc_class():
            self.metrics.ended(name, "abandoned")
            _log.info("evaluation", extra=job_fields(state.runtime, job) | {"status": "abandoned"})
            raise
        return replace(result, usage=replace(result.usage, queue_time=waited))

    @asynccontextmanager
    async def admitted(self, name: str) -> AsyncIterator[tuple[RuntimeState, float]]:
        """Wait for a slot, and hold it while the body runs; yield the state of a runtime, and the seconds of the wait.

        Args:
            name: Name of the runtime.

        Raises:
            BusyError: The queue is full, the runtime is unavailable, the host is out of resources, or the server stops.
            RuntimeUnknownError: There is no such runtime any more.
        """
        self._require_open(self._state_of(name))
        with self._cancellable() as scope, exhaustion_reported():
            async with self._turn(name) as waited:
                state = self._state_of(name)  # as it is now, after the wait
                with state.preparation.used():
                    yield state, waited
        if scope.cancelled_caught:
            raise BusyError(_CLOSING)

    def _state_of(self, name: str) -> RuntimeState:
        return self.runtimes[self.registry.resolve(name).name]

    @asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[float]:
        with ExitStack() as waiting:
            waiting.enter_context(self.metrics.queued())
            async with self._admission.turn(name) as waited:
                waiting.close()
                yield waited

    @contextmanager
    def _cancellable(self) -> Iterator[anyio.CancelScope]:
        """Let `drain` cancel the body, without an exception."""
        with anyio.CancelScope() as scope:
            self._accepted.add(scope)
            try:
                yield scope
            finally:
                self._accepted.discard(scope)


async def _run(state: RuntimeState, job: Job, observer: Observer) -> Result:
    return await state.preparation.starter.run(state.prepared, job, observer)


_MAX_IDLE_JAILS = 16
"""How many jails may wait for their next case: each has a host id, and a server reserves some that it does not need."""

_CLOSING = "the server is shutting down"
