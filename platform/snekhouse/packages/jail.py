"""The jail in which uv changes packages.

It differs from the jail of an evaluation in three ways: it has the network if uv needs it, it may write to the copy of
the packages, and its limits are for builds. If source distributions may be built, it also sees the host's compilers.
"""

import os
import re
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from pydantic import ByteSize
from uv import find_uv_bin

from snekhouse.assets import asset
from snekhouse.errors import JailError, PackagesError
from snekhouse.evaluation import Job, Result
from snekhouse.host.cgroups.groups import server_group
from snekhouse.host.ids import HostIdPool, HostIds, reserved_ids
from snekhouse.host.state import State, state_folder
from snekhouse.host.survey import Host, identity_of, survey
from snekhouse.jail.cold import ColdStart
from snekhouse.jail.prepared import PreparedRuntime
from snekhouse.jail.probe import probe
from snekhouse.jail.resources import RunResources
from snekhouse.jail.run import run
from snekhouse.packages.site import Site
from snekhouse.profile.rendering import render_profile
from snekhouse.registry.discovery.mounts import loader_of
from snekhouse.registry.models import Limits, Mount, Registry, Runtime
from snekhouse.registry.root import PLACES, root_mounts, wrong_with_root

UV = "/snekhouse/uv"
"""Path of uv in the jail."""

_LIMITS = Limits(
    wall_time=3600.0,
    memory=ByteSize(8 << 30),
    address_space=ByteSize(1 << 40),
    processes=512,
    cpus=float(os.cpu_count() or 1),
    output=ByteSize(16 << 20),
    home=ByteSize(2 << 30),
    open_files=4096,
)
"""Limits for installing and building."""

_NETWORK_FILES = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/ssl",
    "/etc/pki",
    "/usr/share/ca-certificates",
)
"""Files for name resolution (resolv.conf(5), nsswitch.conf(5)), and the certificates that TLS trusts."""

_TOOL_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives")
"""Folders with compilers and what they need, on the host or in a runtime's root: hier(7)."""


@dataclass(frozen=True, slots=True)
class InstallJail:
    """The jail of one change.

    Attributes:
        online: The runtime, with a profile that shares the host's network.
        offline: The runtime, with a profile that has no network.
        start: Starts its guests.
    """

    online: PreparedRuntime
    offline: PreparedRuntime
    start: ColdStart

    async def uv(self, command: Sequence[str], *, network: bool) -> Result:
        """Run ``uv pip`` with these arguments."""
        code = f"import subprocess, sys; sys.exit(subprocess.call({[UV, 'pip', *command]!r}))"
        return await self._run(self.online if network else self.offline, code)

    async def compile(self, folder: PurePath) -> None:
        """Compile the modules of a folder; ignore modules that do not compile in this version of Python."""
        code = f"import compileall; compileall.compile_dir({str(folder)!r}, quiet=2, workers=0)"
        await self._run(self.offline, code)

    async def _run(self, prepared: PreparedRuntime, code: str) -> Result:
        return await run(prepared, Job(args=("-c", code), limits=prepared.runtime.limits), self.start)


@dataclass(frozen=True, slots=True)
class Workplace:
    """The resources for jails that change packages.

    Attributes:
        host: What the survey found on this host.
        degraded: Whether walls may be missing.
        state: The folder for profiles.
        start: Starts guests.
        owner: Host ids of the guests.
    """

    host: Host
    degraded: bool
    state: State
    start: ColdStart
    owner: HostIds

    def jail(self, runtime: Runtime, mounts: Sequence[Mount], env: Mapping[str, str]) -> InstallJail:
        """Make the jail of a change.

        Args:
            runtime: The runtime whose packages change.
            mounts: Mounts besides those of the runtime.
            env: Environment besides what the runtime's loader needs.

        Raises:
            HostError: A build would run with root's id mapped, and the registry does not allow that.
        """
        widened = _widened(runtime, mounts, env)
        if runtime.packages_build == "source" and not self.degraded:
            replace(self.host, identities={runtime.name: identity_of(widened)}).require_walls()
        online, offline = self._prepared(widened, "online.cfg", network=True), self._prepared(widened, "offline.cfg")
        return InstallJail(online, offline, self.start)

    async def site(self, runtime: Runtime) -> Site:
        """Find the packages of a runtime: run its interpreter in the jail of an evaluation.

        Raises:
            PackagesError: The runtime has no place for packages, or its interpreter does not answer.
        """
        prepared = self._prepared(runtime, "probe.cfg")
        try:
            answer, _ = await probe(prepared, prepared.bootstrap.read_text(encoding="utf-8"), self.start)
        except (JailError, OSError) as error:
            wrong = wrong_with_root(runtime.root) if runtime.root else ""
            raise PackagesError(f"the runtime {runtime.name} does not answer in its jail: {wrong or error}") from error
        return Site.seen_at(answer.user_site, runtime)

    def _prepared(self, runtime: Runtime, name: str, *, network: bool = False) -> PreparedRuntime:
        bootstrap = self.state.write("bootstrap.py", asset("runtimes/bootstrap.py").read_text(encoding="utf-8"))
        text = render_profile(
            runtime,
            identity=identity_of(runtime),
            bootstrap=bootstrap,
            limited=self.host.cgroups.limited,
            network=network,
        )
        profile = self.state.write(name, text)
        return PreparedRuntime(runtime, profile, bootstrap, self.host.nsjail, profile, policy=b"")


@asynccontextmanager
async def workplace(registry: Registry, runtime: Runtime) -> AsyncIterator[Workplace]:
    """Acquire the resources for jails that change packages, and release them at the end.

    Raises:
        HostError: The host lacks a wall, and the registry does not allow that, or the kernel refuses a cgroup.
    """
    host = survey({runtime.name: identity_of(runtime)}, registry.server.uids)
    if not registry.server.allow_degraded:
        host.require_walls()
    layout = host.cgroups.layout
    with ExitStack() as resources:
        state = resources.enter_context(state_folder(registry.server.state_path, layout))
        cgroups = resources.enter_context(server_group(layout, state.name)) if layout else None
        owner = resources.enter_context(_leased_ids(host.ids, registry.server.uids))
        start = ColdStart(RunResources(cgroups, HostIdPool([owner], fork_server=owner)))
        yield Workplace(host, registry.server.allow_degraded, state, start, owner)


@contextmanager
def _leased_ids(ids: HostIdPool, uids: Sequence[int]) -> Iterator[HostIds]:
    """Lease host ids that neither a server nor another command uses."""
    if ids.shared:
        with ids.lease() as shared:
            yield shared
        return
    with reserved_ids(uids, needed=2, wanted=2) as own, HostIdPool.of(own).lease() as leased:
        yield leased


async def find_site(registry: Registry, runtime: Runtime) -> Site:
    """Find the packages of a runtime; an interpreter of another root runs only in its jail, never on the host.

    Raises:
        HostError: The host lacks a wall, and the registry does not allow that.
        PackagesError: The runtime has no place for packages, or its interpreter does not answer.
    """
    if runtime.root is None:
        return Site.of(runtime)
    async with workplace(registry, runtime) as place:
        return await place.site(runtime)


def _widened(runtime: Runtime, mounts: Sequence[Mount], env: Mapping[str, str]) -> Runtime:
    """Return the runtime with what uv needs, and without its user base: Python must not import packages from there."""
    kept_env = {name: value for name, value in runtime.env.items() if name in {"HOME", "LANG", "LD_LIBRARY_PATH"}}
    rooted = tuple(root_mounts(runtime.root)) if runtime.root else ()
    tools = tuple(_tools(runtime)) if runtime.packages_build == "source" else ()
    own = tuple(mount.model_copy(update={"writable": False}) for mount in runtime.mounts if not _is_among(mount, tools))
    network = (mount for mount in _present(_NETWORK_FILES) if not _is_below(mount.target, rooted))
    all_mounts = (*tools, *own, *_uv((*rooted, *tools, *own)), *network, *mounts)
    return runtime.model_copy(
        update={
            "env": {"PATH": "/usr/local/bin:/usr/bin:/bin", "TMPDIR": kept_env.get("HOME", "/home"), **kept_env, **env},
            "mounts": tuple({mount.target: mount for mount in all_mounts}.values()),
            "tmpfs": (),
            "loopback": False,
            "limits": _LIMITS,
        }
    )


def _tools(runtime: Runtime) -> Iterator[Mount]:
    """List the folders with compilers: the host's, or those of the runtime's root that its jail does not mount yet."""
    if runtime.root is None:
        return _present(_TOOL_FOLDERS)
    return root_mounts(runtime.root, [place for place in _TOOL_FOLDERS if place not in PLACES])


def _present(paths: Sequence[str]) -> Iterator[Mount]:
    return (Mount(source=path, target=path) for path in paths if Path(path).exists())


def _is_among(mount: Mount, folders: Sequence[Mount]) -> bool:
    """Return whether a mount can be left out: other mounts show the same file, or it is missing and not mandatory."""
    if not Path(mount.source).exists():
        return not mount.mandatory
    same = os.path.realpath(mount.source) == os.path.realpath(mount.target)
    return same and _is_below(mount.target, folders)


def _is_below(path: str, folders: Sequence[Mount]) -> bool:
    return any(PurePath(path).is_relative_to(folder.target) for folder in folders)


def _uv(mounts: Sequence[Mount]) -> Iterator[Mount]:
    """List uv and the shared objects that it needs, except those that other mounts show."""
    try:
        binary = Path(find_uv_bin())
    except FileNotFoundError as error:
        raise PackagesError("uv is not installed; install the package uv") from error
    yield Mount(source=str(binary), target=UV)
    if loader := loader_of(binary):
        listed = subprocess.run(
            [loader, "--list", binary], cwd="/", env={}, check=True, capture_output=True, text=True
        ).stdout
        for path in (str(loader), *re.findall(r"=> (/\S+)", listed)):
            if not _is_below(path, mounts):
                yield Mount(source=os.path.realpath(path), target=path)
