"""How a house opens: the host is surveyed, and every runtime rendered and probed."""

import logging
import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import anyio

from snekhouse.assets import asset
from snekhouse.errors import HostError, JailError
from snekhouse.house.house import House, Ready
from snekhouse.house.keeper import Keeper
from snekhouse.jail.cgroups import Cgroups
from snekhouse.jail.cgroups.groups import Layout, server_group
from snekhouse.jail.filters import compile_filter
from snekhouse.jail.host import Host, bootstrap_source, survey_for
from snekhouse.jail.kit import Jail, Means, Mould
from snekhouse.jail.probe import probe
from snekhouse.jail.profile import render_profile
from snekhouse.jail.seccomp import render_policy
from snekhouse.jail.state import State, state_folder
from snekhouse.packages import make_room, site_on_host
from snekhouse.registry.models import Registry, Runtime

_log = logging.getLogger(__package__)


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
        async with _kept(ready.keeper for ready in runtimes.values() if ready.keeper):
            yield House(registry, runtimes, means)


@asynccontextmanager
async def _kept(keepers: Iterable[Keeper]) -> AsyncIterator[None]:
    """Have keepers at work meanwhile; an error of the body's comes out as it is, and not as one of a group."""
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        for keeper in keepers:
            tasks.start_soon(keeper.keep)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - it is raised again below
            failure = error
        tasks.cancel_scope.cancel()
    if failure:
        raise failure


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
        self._template = state.write("template.py", asset("runtimes/template.py").read_bytes())
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
        jail = self._jail(runtime, self._state.write(f"{runtime.name}.pyc", bytecode))
        packages = site_on_host(runtime, answer.user_site)
        keeper = Keeper(jail, self._means, packages, self._at_once) if runtime.start == "fork" else None
        return Ready(jail, answer, keeper=keeper)

    def _jail(self, runtime: Runtime, bootstrap: Path) -> Jail:
        cgroups = "pids" not in self._host.cgroups.missing
        identity = self._host.identities[runtime.name]
        profile = render_profile(runtime, identity=identity, bootstrap=bootstrap, cgroups=cgroups)
        of_template = render_profile(
            runtime, identity=identity, bootstrap=bootstrap, cgroups=cgroups, template=self._template
        )
        return Jail(
            runtime=runtime,
            profile=self._state.write(f"{runtime.name}.cfg", profile),
            bootstrap=bootstrap,
            nsjail=self._host.nsjail,
            mould=Mould(
                profile=self._state.write(f"{runtime.name}-template.cfg", of_template),
                policy=compile_filter(render_policy(cgroups=cgroups)),
            ),
        )
