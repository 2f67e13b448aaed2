"""A server that is open: its runtimes, evaluations in them, and how it comes to have others."""

import errno
import logging
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace

import anyio

from snekhouse.errors import BusyError, Problem, RegistryError
from snekhouse.evaluation import Enforcement, Job, Result, Status
from snekhouse.host.ids import HostIdPool
from snekhouse.jail.resources import RunResources
from snekhouse.registry.cross_check import ids_needed
from snekhouse.registry.models import Registry, Runtime
from snekhouse.service.admission import Admission
from snekhouse.service.metrics import Metrics
from snekhouse.service.preparing import Preparer
from snekhouse.service.runtime_state import RuntimeState

_log = logging.getLogger(__package__)


class Service:
    """All runtimes of a registry, ready to evaluate.

    Attributes:
        registry: What the server serves.
        metrics: What it counts.
        runtimes: How each runtime stands, by name, in the registry's order.
    """

    def __init__(
        self,
        registry: Registry,
        runtimes: Mapping[str, RuntimeState],
        resources: RunResources,
        preparer: Preparer,
        metrics: Metrics,
    ) -> None:
        self.registry = registry
        self.metrics = metrics
        self.runtimes = runtimes
        self._resources = resources
        self._preparer = preparer
        self._changing = anyio.Lock()
        self._admission = Admission(registry.server.places, registry.server.queue)
        self._is_closing = False
        self._accepted: set[anyio.CancelScope] = set()

    def require_ready(self) -> None:
        """Check that the default runtime can evaluate.

        Raises:
            BusyError: It cannot, or the server closes.
        """
        if self._is_closing:
            raise BusyError(_CLOSING)
        if self.runtimes[self.registry.default].probe is None:
            raise BusyError(f"the default runtime {self.registry.default} is unavailable", retry_after=5)

    @property
    def enforcement(self) -> Enforcement:
        """Who keeps runs to their limits on this host."""
        return self._resources.enforcement

    async def settled(self) -> None:
        """Wait until every runtime's first fork server has started, or failed to."""
        await _tried(self.runtimes)

    async def change(self, registry: Registry) -> None:
        """Serve another registry from now on; evaluations under way, and those that wait, end as they began.

        Its runtimes are made ready aside. Those that render as before stay as they are, and warm.

        Raises:
            RegistryError: A runtime that can evaluate now could not any more, or the server has too few host ids; all
                stays as it is.
            HostError: The host lacks a wall for it, and the registry does not allow that; all stays as it is.
        """
        async with self._changing:
            before = self.runtimes
            _require_ids(registry, self._resources.ids)
            runtimes = await self._preparer.prepare_again(registry, before)
            try:
                _require_all(registry, before, runtimes)
                await _tried(runtimes)
            except BaseException:
                _retire(runtimes, before)
                raise
            self.registry, self.runtimes = registry, runtimes
            self._admission.resize(registry.server.places, registry.server.queue)
            _retire(before, runtimes)

    async def renew(self, name: str) -> RuntimeState:
        """Probe a runtime again, as its interpreter is now, and have it evaluate from now on as that says.

        Args:
            name: Its name, or an alias.

        Raises:
            RuntimeUnknownError: There is none.
        """
        async with self._changing:
            runtime, before = self.registry.resolve(name), self.runtimes
            alone = self.registry.model_copy(update={"runtimes": {runtime.name: runtime}})
            fresh = await self._preparer.prepare_again(alone, {})
            await _tried(fresh)
            self.runtimes = {**before, **fresh}
            _retire(before, self.runtimes)
            return fresh[runtime.name]

    async def drain(self, grace: float) -> None:
        """Accept no more evaluations, let those accepted finish, and end those that do not.

        Args:
            grace: Seconds that they have.
        """
        self._is_closing = True
        with anyio.move_on_after(grace):
            await self._admission.idle()
        for scope in self._accepted:
            scope.cancel()
        await self._admission.idle()

    async def evaluate(self, runtime: Runtime, job: Job) -> Result:
        """Evaluate a job, when its turn has come.

        Args:
            runtime: One of the registry's.
            job: What to evaluate.

        Raises:
            BusyError: The queue is full, the runtime is unavailable, the host is out of resources, or the server stops.
        """
        ready = self.runtimes[runtime.name]
        try:
            result = await self._evaluate(ready, job)
        except BusyError:
            self.metrics.ended(runtime.name, "refused")
            raise
        self.metrics.ended(runtime.name, result.status.value)
        _log.info("evaluation", extra=_asked(runtime, job) | _told(result))
        if result.status is Status.INTERNAL_ERROR:
            ready.preparation.last_error = result.message
            _log.error("internal error: %s", result.message)
        return result

    async def _evaluate(self, ready: RuntimeState, job: Job) -> Result:
        if self._is_closing:
            raise BusyError(_CLOSING)
        if ready.probe is None:
            raise BusyError(f"the runtime {ready.runtime.name} is unavailable: {ready.reason}", retry_after=60)
        with ready.preparation.used(), self._endable(), _exhaustion_reported():
            return await self._admitted(ready, job)

    async def _admitted(self, ready: RuntimeState, job: Job) -> Result:
        name = ready.runtime.name
        try:
            async with self._turn(name) as waited:
                with self.metrics.running(name, waited):
                    result = await ready.preparation.starter.run(ready.prepared, job)
        except anyio.get_cancelled_exc_class():
            self.metrics.ended(name, "abandoned")
            _log.info("evaluation", extra=_asked(ready.runtime, job) | {"status": "abandoned"})
            raise
        return replace(result, usage=replace(result.usage, queue_time=waited))

    @asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[float]:
        with ExitStack() as waiting:
            waiting.enter_context(self.metrics.queued())
            async with self._admission.turn(name) as waited:
                waiting.close()
                yield waited

    @contextmanager
    def _endable(self) -> Iterator[None]:
        """Let `drain` end what goes on inside.

        Raises:
            BusyError: It did.
        """
        with anyio.CancelScope() as scope:
            self._accepted.add(scope)
            try:
                yield
            finally:
                self._accepted.discard(scope)
        if scope.cancelled_caught:
            raise BusyError(_CLOSING)


_CLOSING = "the server is shutting down"


async def _tried(runtimes: Mapping[str, RuntimeState]) -> None:
    for ready in runtimes.values():
        if ready.supervisor:
            await ready.supervisor.tried.wait()


def _retire(old: Mapping[str, RuntimeState], new: Mapping[str, RuntimeState]) -> None:
    """Let installations go that are no longer in use."""
    stay = {ready.preparation for ready in new.values()}
    for ready in old.values():
        if ready.preparation not in stay:
            ready.preparation.retire()


def _require_ids(registry: Registry, ids: HostIdPool) -> None:
    """See that the host ids that the server took at its start are enough.

    Raises:
        RegistryError: They are not.
    """
    needed = ids_needed(registry.server.places, 1, len(registry.runtimes))
    if ids.count < needed and not ids.shared:
        message = f"the server has {ids.count} of these ids, and needs {needed} for this"
        raise RegistryError([Problem(registry.source, "server.uids", message, "restart the server")])


def _require_all(registry: Registry, before: Mapping[str, RuntimeState], runtimes: Mapping[str, RuntimeState]) -> None:
    """See that no runtime gets lost.

    Raises:
        RegistryError: One that was available would not be any more.
    """
    lost = [ready for name, ready in runtimes.items() if not ready.probe and name in before and before[name].probe]
    if lost:
        remedy = "correct it, or remove the runtime"
        raise RegistryError(
            [
                Problem(registry.source, f'runtimes."{ready.runtime.name}"', f"cannot evaluate: {ready.reason}", remedy)
                for ready in lost
            ]
        )


def _asked(runtime: Runtime, job: Job) -> dict[str, object]:
    """Say for the log what was asked: sizes, and nothing of what was sent."""
    return {
        "runtime": runtime.name,
        "args_size": sum(map(len, job.args)),
        "stdin_size": len(job.stdin),
        "files_in": len(job.files),
        "files_in_size": sum(len(file.content) for file in job.files),
    }


def _told(result: Result) -> dict[str, object]:
    """Say for the log how it ended."""
    return {
        "status": result.status.value,
        "returncode": result.returncode,
        "wall_time": round(result.usage.wall_time, 6),
        "cpu_time": round(result.usage.cpu_time, 6),
        "queue_time": round(result.usage.queue_time, 6),
        "memory": result.usage.memory,
        "output_size": len(result.stdout) + len(result.stderr or ""),
        "files_out": len(result.files),
        "files_out_size": sum(len(file.content) for file in result.files),
    }


_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC}


@contextmanager
def _exhaustion_reported() -> Iterator[None]:
    """Translate the host's being out of something into a refusal that a client may repeat."""
    try:
        yield
    except OSError as error:
        if error.errno not in _EXHAUSTED:
            raise
        raise BusyError(f"the host is out of resources: {os.strerror(error.errno)}") from error
    except RuntimeError as error:
        if str(error) != "can't start new thread":  # what threading makes of EAGAIN
            raise
        raise BusyError(f"the host is out of resources: {error}") from error
