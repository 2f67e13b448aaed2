"""A house that is open: its runtimes, and evaluations in them."""

import errno
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import anyio

from snekhouse.errors import BusyError
from snekhouse.house.admission import Admission
from snekhouse.house.keeper import Keeper
from snekhouse.jail.evaluation import Job, Result, Status
from snekhouse.jail.kit import Jail, Means
from snekhouse.jail.probe import Probe
from snekhouse.jail.run import run
from snekhouse.packages import Package, installed, site_on_host
from snekhouse.registry.models import Registry, Runtime

_log = logging.getLogger(__package__)


@dataclass(frozen=True, slots=True)
class Ready:
    """A runtime and how it stands.

    Attributes:
        jail: The runtime with its rendered profile.
        probe: What the runtime said of itself; None when it is unavailable.
        reason: Why it is unavailable; empty when it is not.
        keeper: Keeps a template of it; None where evaluations start cold.
    """

    jail: Jail
    probe: Probe | None
    reason: str = ""
    keeper: Keeper | None = None

    @property
    def runtime(self) -> Runtime:
        """What the registry says of it."""
        return self.jail.runtime

    @property
    def cold_reason(self) -> str:
        """Why evaluations start cold where the registry says that they fork; else empty."""
        return self.keeper.reason if self.keeper else ""

    def packages(self) -> tuple[Package, ...]:
        """List the third-party packages that its programs can import now; looks at the disk."""
        folder = site_on_host(self.runtime, self.probe.user_site) if self.probe else None
        return installed(folder) if folder else ()


class House:
    """All runtimes of a registry, ready to evaluate.

    Attributes:
        registry: What the house serves.
        runtimes: How each runtime stands, by name, in the registry's order.
    """

    def __init__(self, registry: Registry, runtimes: Mapping[str, Ready], means: Means) -> None:
        self.registry = registry
        self.runtimes = runtimes
        self._means = means
        self._admission = Admission(registry.server.places, registry.server.queue)
        self._is_closing = False
        self._accepted: set[anyio.CancelScope] = set()

    @property
    def is_ready(self) -> bool:
        """Whether the default runtime can evaluate, and the house is not closing."""
        return self.runtimes[self.registry.default].probe is not None and not self._is_closing

    async def settled(self) -> None:
        """Wait until every runtime's first template has started, or failed to."""
        for ready in self.runtimes.values():
            if ready.keeper:
                await ready.keeper.tried.wait()

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
            BusyError: The queue is full, the runtime is unavailable, the host is out of resources, or the house closes.
        """
        ready = self.runtimes[runtime.name]
        if self._is_closing:
            raise BusyError(_CLOSING)
        if ready.probe is None:
            raise BusyError(f"the runtime {runtime.name} is unavailable: {ready.reason}", retry_after=60)
        with self._endable(), _exhaustion_reported():
            result = await self._admitted(ready, job)
            _log.info("evaluation", extra=_asked(runtime, job) | _told(result))
            if result.status is Status.INTERNAL_ERROR:
                _log.error("internal error: %s", result.message)
            return result

    async def _admitted(self, ready: Ready, job: Job) -> Result:
        try:
            async with self._admission.turn(ready.runtime.name) as waited:
                result = await (ready.keeper.run(job) if ready.keeper else run(ready.jail, job, self._means))
        except anyio.get_cancelled_exc_class():
            _log.info("evaluation", extra=_asked(ready.runtime, job) | {"status": "abandoned"})
            raise
        return replace(result, usage=replace(result.usage, queue_time=waited))

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
