"""Cgroups version 2: one hierarchy (admin-guide/cgroup-v2)."""

import errno
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from snekhouse.host.cgroups.files import field, read, write
from snekhouse.host.cgroups.groups import CFS_PERIOD_US, GroupUsage
from snekhouse.registry.models import Limits

CONTROLLERS = ("memory", "pids", "cpu")
"""The controllers that limit a run; CPU time is counted without a controller."""

LEAF = "snekhouse-server"
"""The group that the server moves into if its original group must have no processes."""


@dataclass(frozen=True, slots=True)
class V2:
    """The hierarchy of this host.

    Attributes:
        base: The folder below which the server makes its group. Its ``cgroup.subtree_control`` lists `walls`.
        walls: Those of CONTROLLERS that are delegated to the server.
    """

    base: Path
    walls: frozenset[str]

    @property
    def limits_swap(self) -> bool:
        """Whether memory in swap is limited as well; assumed at the root of the hierarchy, which has no file for it."""
        return (self.base / "memory.swap.max").exists() or not (self.base / "cgroup.type").exists()

    @property
    def tasks_file(self) -> None:
        """None: a single thread cannot move between groups with a memory controller."""
        return

    def folders(self, name: str) -> tuple[str, ...]:
        """Return the one folder that is the group `name`."""
        return (f"{self.base}/{name}",)

    def may_claim(self) -> bool:
        """Check whether children of the base can have limits, without changing anything."""
        control = self.base / "cgroup.subtree_control"
        return self.walls <= set(control.read_text().split()) or os.access(control, os.W_OK)

    def claim(self) -> None:
        """Enable the controllers for children of the base; v2 allows that only if the base itself has no processes.

        In a container or a service, the group that is delegated to the server contains the server and perhaps other
        processes. All of them move into a leaf first.
        """
        if self.walls <= set((self.base / "cgroup.subtree_control").read_text().split()):
            return
        for pause in (*_CLAIM_PAUSES_S, None):
            self._empty_base()
            try:
                _delegate(self.base, self.walls)
            except OSError as error:
                if error.errno != errno.EBUSY or pause is None:
                    raise
                time.sleep(pause)  # another worker, or a health check, has started a process there meanwhile
            else:
                return

    def _empty_base(self) -> None:
        if not (self.base / "cgroup.type").exists():
            return  # the root of the hierarchy is exempt
        leaf = self.base / LEAF
        leaf.mkdir(exist_ok=True)
        for pid in (self.base / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):  # it has ended
                (leaf / "cgroup.procs").write_text(pid)

    def prepare(self, name: str) -> None:
        """Enable the controllers for children of the group `name`."""
        _delegate(self.base / name, self.walls)

    def limit(self, name: str, limits: Limits) -> None:
        """Write the limits of the group `name`."""
        folder = f"{self.base}/{name}"
        if "memory" in self.walls:
            write(f"{folder}/memory.max", str(int(limits.memory)))
            with suppress(FileNotFoundError):  # the kernel does not count swap
                write(f"{folder}/memory.swap.max", "0")
        if "pids" in self.walls:
            write(f"{folder}/pids.max", str(limits.processes))
        self.limit_cpus(name, limits.cpus)

    def limit_cpus(self, name: str, cpus: float) -> None:
        """Limit the CPUs that the group `name` may keep busy."""
        if "cpu" in self.walls:
            write(f"{self.base}/{name}/cpu.max", f"{int(cpus * CFS_PERIOD_US)} {CFS_PERIOD_US}")

    def limit_sockets(self, name: str, size: int) -> None:
        """Do nothing: buffers of sockets count as memory ("sock" in memory.stat)."""

    def usage(self, name: str) -> GroupUsage:
        """Read the counters of the group `name`; memory.peak came with Linux 5.19."""
        folder, memory, oom_kills, refused_forks = f"{self.base}/{name}", None, 0, 0
        cpu_time = field(read(f"{folder}/cpu.stat"), "usage_usec") / 1e6
        if "pids" in self.walls:
            refused_forks = field(read(f"{folder}/pids.events"), "max")
        if "memory" in self.walls:
            oom_kills = field(read(f"{folder}/memory.events"), "oom_kill")
            with suppress(FileNotFoundError):
                memory = int(read(f"{folder}/memory.peak"))
        return GroupUsage(memory, cpu_time, oom_kills, refused_forks)

    def memory(self, name: str) -> int:
        """Return the memory of the group `name` in bytes; 0 if this host does not measure it."""
        return int(read(f"{self.base}/{name}/memory.current")) if "memory" in self.walls else 0


_CLAIM_PAUSES_S = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Seconds between the attempts to enable controllers for the children of a group that must have no processes."""


def _delegate(folder: Path, controllers: frozenset[str]) -> None:
    (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in sorted(controllers)))
