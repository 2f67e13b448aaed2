"""How runtimes are made ready: each is rendered, probed in its own jail, rendered anew for its bytecode, and kept."""

import logging
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
from snekhouse.errors import JailError, PackagesError
from snekhouse.house.installation import Installation, Ready
from snekhouse.house.keeper import Keeper
from snekhouse.house.metrics import Metrics
from snekhouse.jail.filters import compile_filter
from snekhouse.jail.host import Host, bootstrap_source, identities_of
from snekhouse.jail.identity import Identity
from snekhouse.jail.kit import Jail, Means, TemplateProfile
from snekhouse.jail.probe import probe
from snekhouse.jail.profile import render_profile
from snekhouse.jail.rules import policy
from snekhouse.jail.state import State
from snekhouse.packages import executable_on_host, make_room, site_on_host
from snekhouse.registry.models import Registry, Runtime
from snekhouse.registry.root import wrong_with_root
from snekhouse.waiting import first

_log = logging.getLogger(__package__)


@asynccontextmanager
async def installer(host: Host, state: State, means: Means, metrics: Metrics) -> AsyncIterator["Installer"]:
    """Have an installer, and what it installs kept up, until the end; an error of the body's comes out as it is."""
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        try:
            yield Installer(host, state, means, metrics, tasks)
        except Exception as error:  # noqa: BLE001 - it is raised again below, and not as one of a group
            failure = error
        tasks.cancel_scope.cancel()
    if failure:
        raise failure


class Installer:
    """Makes runtimes ready on this host."""

    def __init__(self, host: Host, state: State, means: Means, metrics: Metrics, tasks: TaskGroup) -> None:
        self._host, self._state, self._means, self._metrics, self._tasks = host, state, means, metrics, tasks
        self._source = bootstrap_source().read_text(encoding="utf-8")
        self._shared = state.write("bootstrap.py", self._source)  # once: interpreters read it while others open
        self._template = state.write("template.py", asset("runtimes/template.py").read_bytes())
        self._numbers = count()

    async def prepare(self, registry: Registry, before: Mapping[str, Ready]) -> dict[str, Ready]:
        """Make the runtimes of another registry ready, on the same host.

        Args:
            registry: What the house is to serve.
            before: How runtimes stand now; what renders as it did, and is available, stays as it is.

        Raises:
            HostError: The host lacks a wall for it, and the registry does not allow that.
        """
        host = replace(self._host, identities=identities_of(registry))
        if not registry.server.allow_degraded:
            await anyio.to_thread.run_sync(host.require_walls)
        return await self._make_ready(registry, host.identities, before, anyio.Semaphore(1))  # clients need the rest

    async def make_ready(self, registry: Registry) -> dict[str, Ready]:
        """Make the runtimes of a registry ready, a few at a time; one that fails keeps no other from serving."""
        return await self._make_ready(registry, self._host.identities, {}, anyio.Semaphore(os.cpu_count() or 1))

    async def _make_ready(
        self,
        registry: Registry,
        identities: Mapping[str, Identity],
        before: Mapping[str, Ready],
        turns: anyio.Semaphore,
    ) -> dict[str, Ready]:
        found: dict[str, Ready] = {}

        async def make_one(name: str, runtime: Runtime) -> None:
            async with turns:
                found[name] = await self._make(runtime, identities[name], before.get(name), turns)

        async with anyio.create_task_group() as tasks:
            for name, runtime in registry.runtimes.items():
                tasks.start_soon(make_one, name, runtime)
        return {name: found[name] for name in registry.runtimes}

    async def _make(self, runtime: Runtime, identity: Identity, before: Ready | None, turns: anyio.Semaphore) -> Ready:
        texts = self._render(runtime, identity, self._shared)
        rendered = (*texts, runtime.executable, runtime.limits, runtime.preload, runtime.start, _signature(runtime))
        if before and before.probe and before.installation.rendered == rendered:
            return Ready(replace(before.jail, runtime=runtime), before.installation)
        make_room(runtime)
        folder = self._state.folder(f"{runtime.name}-{next(self._numbers)}")
        jail = self._jail(runtime, folder, texts, self._shared)
        try:
            _require_root(runtime)
            answer, bytecode = await probe(jail, self._source, self._means)
        except (JailError, OSError) as error:
            failed = Installation(rendered, folder.path, None, reason=str(error))
            _log.error("runtime %s is unavailable: %s", runtime.name, failed.reason)
            return self._kept(jail, failed)
        compiled = folder.write("bootstrap.pyc", bytecode)
        jail = self._jail(runtime, folder, self._render(runtime, identity, compiled), compiled)
        keeper = None
        if runtime.start == "fork":
            packages = site_on_host(runtime, answer.user_site)
            keeper = Keeper(jail, self._means, packages, turns, self._metrics)
        return self._kept(jail, Installation(rendered, folder.path, answer, keeper=keeper))

    def _kept(self, jail: Jail, installation: Installation) -> Ready:
        self._tasks.start_soon(_keep, installation)
        return Ready(jail, installation)

    def _render(self, runtime: Runtime, identity: Identity, bootstrap: Path) -> tuple[str, str]:
        """Render the profile of a runtime's jails, and that of its templates."""
        limited = self._host.cgroups.limited
        return (
            render_profile(runtime, identity=identity, bootstrap=bootstrap, limited=limited),
            render_profile(
                runtime,
                identity=identity,
                bootstrap=bootstrap,
                limited=limited,
                template=self._template,
                ids=self._means.ids.count - 1,  # the last is the template's own
            ),
        )

    def _jail(self, runtime: Runtime, folder: State, texts: tuple[str, str], bootstrap: Path) -> Jail:
        profile, of_template = texts
        return Jail(
            runtime=runtime,
            profile=folder.write("profile.cfg", profile),
            bootstrap=bootstrap,
            nsjail=self._host.nsjail,
            template=TemplateProfile(
                profile=folder.write("template.cfg", of_template),
                policy=compile_filter(policy(memory_limited="memory" in self._host.cgroups.limited)),
            ),
        )


def _require_root(runtime: Runtime) -> None:
    """See that a runtime's root is there, and say it better than the jail would.

    Raises:
        JailError: It is not.
    """
    if runtime.root and (wrong := wrong_with_root(runtime.root)):
        raise JailError(wrong)


def _signature(runtime: Runtime) -> tuple[int, ...]:
    """Tell a runtime's executable from another that takes its place."""
    try:
        status = executable_on_host(runtime).stat()
    except (OSError, PackagesError):
        return ()
    return status.st_ino, status.st_mtime_ns, status.st_size


async def _keep(installation: Installation) -> None:
    """Keep a template up as long as the installation is used; remove its files then."""
    waits = [installation.over]
    if installation.keeper:
        waits.append(installation.keeper.keep)
    await first(*waits)
    shutil.rmtree(installation.folder)
