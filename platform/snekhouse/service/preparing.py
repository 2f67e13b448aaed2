"""The preparation of runtimes: render the profile, probe the interpreter, render again for the bootstrap's bytecode."""

import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from snekhouse.assets import asset
from snekhouse.errors import HostError, JailError, PackagesError
from snekhouse.host.identity import Identity
from snekhouse.host.state import State
from snekhouse.host.survey import Host, identities_of
from snekhouse.jail.cold import ColdStart
from snekhouse.jail.prepared import PreparedRuntime
from snekhouse.jail.probe import probe
from snekhouse.jail.resources import RunResources
from snekhouse.packages.site import executable_on_host, make_user_base, site_on_host
from snekhouse.profile.bpf import compile_filter
from snekhouse.profile.rendering import render_profile
from snekhouse.profile.seccomp_policy import policy
from snekhouse.registry.models import Registry, Runtime
from snekhouse.registry.root import wrong_with_root
from snekhouse.service.metrics import Metrics
from snekhouse.service.replacing import retire
from snekhouse.service.runtime_state import Preparation, RuntimeState
from snekhouse.service.starting import Starter
from snekhouse.service.supervisor import ForkServerSupervisor
from snekhouse.waiting import first

_FORK_SERVER = ("fork_server.py", "libc.py", "process.py", "aside.py", "outside.py", "record.py", "leaving.py")
"""The files in runtimes/ that a fork server executes."""

_SESSION = ("session.py", "showing.py")
"""The files in runtimes/ that a session executes."""


@asynccontextmanager
async def started_preparer(
    host: Host, state: State, resources: RunResources, metrics: Metrics
) -> AsyncIterator["Preparer"]:
    """Yield a preparer, and keep fork servers up until leaving; an error of the body is raised as it is."""
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        try:
            yield Preparer(host, state, resources, metrics, tasks)
        except Exception as error:  # noqa: BLE001 - raised again below, outside the exception group
            failure = error
        tasks.cancel_scope.cancel()
    if failure:
        raise failure


class Preparer:
    """Prepares runtimes on this host."""

    def __init__(self, host: Host, state: State, resources: RunResources, metrics: Metrics, tasks: TaskGroup) -> None:
        self._host, self._state, self._resources, self._metrics, self._tasks = host, state, resources, metrics, tasks
        self._source = asset("runtimes/bootstrap.py").read_text(encoding="utf-8")
        self._bootstrap = state.write("bootstrap.py", self._source)  # written once: many interpreters read it
        self._fork_server = [state.write(name, asset(f"runtimes/{name}").read_bytes()) for name in _FORK_SERVER]
        self._session = [state.write(name, asset(f"runtimes/{name}").read_bytes()) for name in _SESSION]
        self._numbers = count()

    async def prepare_again(self, registry: Registry, before: Mapping[str, RuntimeState]) -> dict[str, RuntimeState]:
        """Prepare the runtimes of another registry.

        Args:
            registry: The registry that the server will serve.
            before: The current runtimes. A runtime that is available and renders as before keeps its preparation.

        Raises:
            HostError: The host lacks a wall, and the registry does not allow that; or files cannot be written.
        """
        host = replace(self._host, identities=identities_of(registry))
        if not registry.server.allow_degraded:
            await anyio.to_thread.run_sync(host.require_walls)
        # One at a time: clients need the other CPUs.
        return await self._prepare_all(registry, host.identities, before, anyio.Semaphore(1))

    async def prepare(self, registry: Registry) -> dict[str, RuntimeState]:
        """Prepare the runtimes of a registry, as many at once as there are CPUs. One that fails is unavailable.

        Raises:
            HostError: The files of a runtime cannot be written.
        """
        return await self._prepare_all(registry, self._host.identities, {}, anyio.Semaphore(os.cpu_count() or 1))

    async def _prepare_all(
        self,
        registry: Registry,
        identities: Mapping[str, Identity],
        before: Mapping[str, RuntimeState],
        turns: anyio.Semaphore,
    ) -> dict[str, RuntimeState]:
        found: dict[str, RuntimeState] = {}
        failed: list[OSError] = []

        async def prepare_one(name: str, runtime: Runtime) -> None:
            async with turns:
                try:
                    found[name] = await self._prepare(runtime, identities[name], before.get(name), turns)
                except OSError as error:
                    failed.append(error)
                    tasks.cancel_scope.cancel()

        try:
            async with anyio.create_task_group() as tasks:
                for name, runtime in registry.runtimes.items():
                    tasks.start_soon(prepare_one, name, runtime)
        except BaseException:
            retire(found, before)
            raise
        if failed:
            retire(found, before)
            raise HostError(f"the files of a runtime cannot be written: {failed[0]}") from failed[0]
        return {name: found[name] for name in registry.runtimes}

    async def _prepare(
        self, runtime: Runtime, identity: Identity, before: RuntimeState | None, turns: anyio.Semaphore
    ) -> RuntimeState:
        texts = self._render(runtime, identity, self._bootstrap)
        preload = (runtime.preload, runtime.preload_memory)
        rendered = (*texts, runtime.executable, runtime.limits, preload, runtime.start, _signature(runtime))
        if before and before.probe and before.preparation.rendered == rendered:
            return RuntimeState(replace(before.prepared, runtime=runtime), before.preparation)
        make_user_base(runtime)
        folder = self._state.folder(f"{runtime.name}-{next(self._numbers)}")
        prepared = self._write(runtime, folder, texts, self._bootstrap)
        cold = ColdStart(self._resources)
        try:
            _require_root(runtime)
            answer, bytecode = await probe(prepared, self._source, cold)
        except (JailError, OSError) as error:
            failed = Preparation(rendered, folder.path, None, Starter(cold), reason=str(error))
            return self._activate(prepared, failed)
        compiled = folder.write("bootstrap.pyc", bytecode)
        prepared = self._write(runtime, folder, self._render(runtime, identity, compiled), compiled)
        supervisor = None
        if runtime.start == "fork":
            packages = site_on_host(runtime, answer.user_site)
            supervisor = ForkServerSupervisor(prepared, self._resources, packages, turns, self._metrics)
        return self._activate(prepared, Preparation(rendered, folder.path, answer, Starter(cold, supervisor)))

    def _activate(self, prepared: PreparedRuntime, preparation: Preparation) -> RuntimeState:
        self._tasks.start_soon(_maintain, preparation)
        return RuntimeState(prepared, preparation)

    def _render(self, runtime: Runtime, identity: Identity, bootstrap: Path) -> tuple[str, str]:
        """Render the profile of a runtime's jails, and that of its fork servers."""
        limited = self._host.cgroups.limited
        return (
            render_profile(runtime, identity=identity, bootstrap=bootstrap, limited=limited, session=self._session),
            render_profile(
                runtime,
                identity=identity,
                bootstrap=bootstrap,
                limited=limited,
                session=self._session,
                fork_server=self._fork_server,
                ids=self._resources.ids.count - 1,  # the last is the fork server's own
            ),
        )

    def _write(self, runtime: Runtime, folder: State, texts: tuple[str, str], bootstrap: Path) -> PreparedRuntime:
        profile, fork_server_profile = texts
        return PreparedRuntime(
            runtime=runtime,
            profile=folder.write("profile.cfg", profile),
            bootstrap=bootstrap,
            nsjail=self._host.nsjail,
            fork_server_profile=folder.write("fork_server.cfg", fork_server_profile),
            policy=compile_filter(policy(memory_limited="memory" in self._host.cgroups.limited)),
        )


def _require_root(runtime: Runtime) -> None:
    """Check that a runtime's root exists: this error is clearer than NsJail's.

    Raises:
        JailError: The root cannot be used.
    """
    if runtime.root and (wrong := wrong_with_root(runtime.root)):
        raise JailError(wrong)


def _signature(runtime: Runtime) -> tuple[int, ...]:
    """Return a signature of a runtime's executable. It changes if another file replaces the executable."""
    try:
        status = executable_on_host(runtime).stat()
    except (OSError, PackagesError):
        return ()
    return status.st_ino, status.st_mtime_ns, status.st_size


async def _maintain(preparation: Preparation) -> None:
    """Keep a fork server up while the preparation is in use; then remove the preparation's files."""
    waits = [preparation.unused]
    if supervisor := preparation.starter.supervisor:
        waits.append(supervisor.keep)
    await first(*waits)
    shutil.rmtree(preparation.folder, ignore_errors=True)  # the rest goes with the server's folder
