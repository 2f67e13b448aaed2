"""The resources that a server has for its runs: cgroups and host ids."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from snekhouse.evaluation import Enforcement, Enforcer
from snekhouse.host.cgroups import Cgroups, RunGroup
from snekhouse.host.ids import HostIdPool
from snekhouse.host.memory_watch import HAS_PROC_CHILDREN
from snekhouse.registry.models import Limits


@dataclass(frozen=True, slots=True)
class RunResources:
    """The resources that a server has for its runs.

    Attributes:
        cgroups: The server's cgroup, below which each run gets its own; None on a host without cgroups.
        ids: The host ids of runs.
    """

    cgroups: Cgroups | None
    ids: HostIdPool

    @property
    def enforcement(self) -> Enforcement:
        """What enforces the limits of runs."""
        walls = self.cgroups.walls if self.cgroups else frozenset[str]()
        watched = Enforcer.SERVER if HAS_PROC_CHILDREN else None
        return Enforcement(
            memory=Enforcer.KERNEL if "memory" in walls else watched, cpus=Enforcer.KERNEL if "cpu" in walls else None
        )

    @contextmanager
    def group(self, limits: Limits, *, loopback: bool) -> Iterator[RunGroup | None]:
        """Make a cgroup for one run, if the host has cgroups.

        Args:
            limits: The limits of the run.
            loopback: Whether the run has a network interface, over which it can fill socket buffers.
        """
        with self.cgroups.run(limits) if self.cgroups else nullcontext() as group:
            if group and loopback:
                group.limit_sockets(limits.memory // _SOCKET_DIVISOR)
            yield group


_SOCKET_DIVISOR = 4
"""If socket buffers do not count as memory, their own limit is the memory limit divided by this."""
