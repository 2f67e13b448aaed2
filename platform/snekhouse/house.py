"""The house: keeps runtimes ready, admits, evaluates. The heart of the service; it knows no HTTP."""

import errno
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from snekhouse.errors import BusyError, HostError, JailError
from snekhouse.jail.cgroups import Cgroups
from snekhouse.jail.cgroups.groups import Layout, server_group
from snekhouse.jail.evaluation import Job, Result, Status
from snekhouse.jail.host import Host, bootstrap_source, survey_for
from snekhouse.jail.probe import Probe, probe
from snekhouse.jail.profile import render_profile
from snekhouse.jail.run import Jail, Means, run
from snekhouse.jail.state import State, state_folder
from snekhouse.packages import Package, installed, make_room, site_on_host
from snekhouse.registry.models import Registry, Runtime

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ready:
    """A runtime and how it stands.

    Attributes:
        jail: The runtime with its rendered profile.
        probe: What the runtime said of itself; None when it is unavailable.
        reason: Why it is unavailable; empty when it is not.
    """

    jail: Jail
    probe: Probe | None
    reason: str = ""

    @property
    def runtime(self) -> Runtime:
        """What the registry says of it."""
        return self.jail.runtime

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
        self._admission = _Admission(registry.server.concurrency or os.cpu_count() or 1, registry.server.queue)

    @property
    def is_ready(self) -> bool:
        """Whether the default runtime can evaluate."""
        return self.runtimes[self.registry.default].probe is not None

    async def evaluate(self, runtime: Runtime, job: Job) -> Result:
        """Evaluate a job, when its turn has come.

        Args:
            runtime: One of the registry's.
            job: What to evaluate.

        Raises:
            BusyError: The queue is full, the runtime is unavailable, or the host is out of resources.
        """
        ready = self.runtimes[runtime.name]
        if ready.probe is None:
            raise BusyError(f"the runtime {runtime.name} is unavailable: {ready.reason}", retry_after=60)
        try:
            async with self._admission.turn() as waited:
                with _exhaustion_reported():
                    result = await run(ready.jail, job, self._means)
        except anyio.get_cancelled_exc_class():
            _log.info("evaluation", extra=_asked(runtime, job) | {"status": "abandoned"})
            raise
        result = replace(result, usage=replace(result.usage, queue_time=waited))
        _log.info("evaluation", extra=_asked(runtime, job) | _told(result))
        if result.status is Status.INTERNAL_ERROR:
            _log.error("internal error: %s", result.message)
        return result


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


@asynccontextmanager
async def open_house(registry: Registry) -> AsyncIterator[House]:
    """Make every runtime of a registry ready, and hold what they need until the end.

    Raises:
        HostError: The host lacks a wall, and the registry does not allow it to.
    """
    host = survey_for(registry)
    _require_walls(host, registry)
    layout = host.cgroups.layout
    with ExitStack() as held:
        state = held.enter_context(state_folder(registry.server.state_path, layout))
        cgroups = held.enter_context(_claimed(layout, state.name)) if layout else None
        means = Means(cgroups, host.ids)
        runtimes = await _Opening(host, state, means).make_ready(registry)
        yield House(registry, runtimes, means)


@contextmanager
def _claimed(layout: Layout, name: str) -> Iterator[Cgroups]:
    with ExitStack() as held:
        try:
            cgroups = held.enter_context(server_group(layout, name))
        except OSError as error:
            raise HostError(f"the kernel refuses the server's cgroup: {error}") from error
        yield cgroups


def _require_walls(host: Host, registry: Registry) -> None:
    missing = [wall for wall in host.walls() if not wall.stands]
    if missing and not registry.server.allow_degraded:
        lines = "".join(f"\n  {wall.name}: {wall.detail}" for wall in missing)
        raise HostError(f"walls are missing on this host, and [server] allow_degraded is not set:{lines}")
    for wall in missing:
        _log.warning("degraded: %s: %s", wall.name, wall.detail)


class _Opening:
    """What happens to each runtime before it serves: it is rendered, probed, and rendered for its bytecode."""

    def __init__(self, host: Host, state: State, means: Means) -> None:
        self._host, self._state, self._means = host, state, means
        self._source = bootstrap_source().read_text(encoding="utf-8")
        self._shared = state.write("bootstrap.py", self._source)  # once: interpreters read it while others open
        self._at_once = anyio.Semaphore(os.cpu_count() or 1)

    async def make_ready(self, registry: Registry) -> Mapping[str, Ready]:
        """Open every runtime, a few at a time; one that fails keeps no other from serving."""
        found: dict[str, Ready] = {}

        async def open_one(runtime: Runtime) -> None:
            async with self._at_once:
                found[runtime.name] = await self._open(runtime)

        async with anyio.create_task_group() as tasks:
            for runtime in registry.runtimes.values():
                tasks.start_soon(open_one, runtime)
        return {name: found[name] for name in registry.runtimes}

    async def _open(self, runtime: Runtime) -> Ready:
        make_room(runtime)
        jail = self._jail(runtime, self._shared)
        try:
            answer, bytecode = await probe(jail, self._source, self._means)
        except (JailError, OSError) as error:
            _log.error("runtime %s is unavailable: %s", runtime.name, error)
            return Ready(jail, None, str(error))
        return Ready(self._jail(runtime, self._state.write(f"{runtime.name}.pyc", bytecode)), answer)

    def _jail(self, runtime: Runtime, bootstrap: Path) -> Jail:
        profile = render_profile(
            runtime,
            identity=self._host.identities[runtime.name],
            bootstrap=bootstrap,
            cgroups="pids" not in self._host.cgroups.missing,
        )
        return Jail(runtime, self._state.write(f"{runtime.name}.cfg", profile), bootstrap, self._host.nsjail)


class _Admission:
    """Evaluations at once, and the bounded queue before them: first come, first served."""

    def __init__(self, places: int, seats: int) -> None:
        self._places = anyio.Semaphore(places)
        self._seats = seats
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[float]:
        """Wait for a place; yield the seconds that it took.

        Raises:
            BusyError: All seats of the queue are taken.
        """
        arrived = time.monotonic()
        try:
            self._places.acquire_nowait()
        except anyio.WouldBlock:
            await self._queue()
        try:
            yield time.monotonic() - arrived
        finally:
            self._places.release()

    async def _queue(self) -> None:
        if self._waiting >= self._seats:
            raise BusyError(f"{self._waiting} evaluations are waiting already")
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1


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
