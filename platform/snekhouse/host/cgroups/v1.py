"""Cgroups version 1: a hierarchy for each controller (admin-guide/cgroup-v1)."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from snekhouse.host.cgroups.files import field, read, write
from snekhouse.host.cgroups.groups import CFS_PERIOD_US, GroupUsage
from snekhouse.registry.models import Limits

CONTROLLERS = ("memory", "pids", "cpu", "cpuacct")
"""The controllers that limit and measure a run."""

MEMORY_LIMIT = "memory.limit_in_bytes"
"""The file of the memory limit. Kernels without CONFIG_MEMCG_V1 (Linux 6.12) mount the hierarchy without such files."""


@dataclass(frozen=True)
class V1:
    """The hierarchies of this host.

    Attributes:
        bases: The server's own folder in each controller's hierarchy. Controllers mounted together share one.
    """

    bases: Mapping[str, Path]

    @property
    def walls(self) -> frozenset[str]:
        """Which of ``memory``, ``pids`` and ``cpu`` this host can limit."""
        return frozenset(self.bases) & {"memory", "pids", "cpu"}

    @cached_property
    def limits_swap(self) -> bool:
        """Whether memory in swap is limited as well."""
        return "memory" in self.bases and (self.bases["memory"] / "memory.memsw.limit_in_bytes").exists()

    @property
    def tasks_file(self) -> str:
        """The file through which a thread moves itself, in 0.07 ms; moving another process takes a grace period, 5 ms.

        Source: cgroup_procs_write_start() in the kernel's kernel/cgroup/cgroup.c.
        """
        return "tasks"

    def folders(self, name: str) -> tuple[str, ...]:
        """Return the folders that together are the group `name`."""
        return tuple(dict.fromkeys(f"{base}/{name}" for base in self.bases.values()))

    def claim(self) -> None:
        """Do nothing: the hierarchies are ready for groups."""

    def prepare(self, name: str) -> None:
        """Count the memory of children in their parent, too; kernels before 5.11 do so only on request."""
        if base := self.bases.get("memory"):
            with suppress(OSError):
                (base / name / "memory.use_hierarchy").write_text("1")

    def limit(self, name: str, limits: Limits) -> None:
        """Write the limits of the group `name`. The CFS period keeps the kernel's default."""
        if base := self.bases.get("memory"):
            write(f"{base}/{name}/{MEMORY_LIMIT}", str(int(limits.memory)))
            if self.limits_swap:
                write(f"{base}/{name}/memory.memsw.limit_in_bytes", str(int(limits.memory)))
        if base := self.bases.get("pids"):
            write(f"{base}/{name}/pids.max", str(limits.processes))
        self.limit_cpus(name, limits.cpus)

    def limit_cpus(self, name: str, cpus: float) -> None:
        """Limit the CPUs that the group `name` may keep busy."""
        if base := self.bases.get("cpu"):
            write(f"{base}/{name}/cpu.cfs_quota_us", str(int(cpus * CFS_PERIOD_US)))

    def limit_sockets(self, name: str, size: int) -> None:
        """Limit the buffers of sockets, UDP's included; the kernel counts them only if there is a limit."""
        if base := self.bases.get("memory"):
            write(f"{base}/{name}/memory.kmem.tcp.limit_in_bytes", str(size))

    def usage(self, name: str) -> GroupUsage:
        """Read the counters of the group `name`."""
        memory, cpu_time, oom_kills, refused_forks = None, None, 0, 0
        if base := self.bases.get("memory"):
            memory = int(read(f"{base}/{name}/memory.max_usage_in_bytes"))
            oom_kills = field(read(f"{base}/{name}/memory.oom_control"), "oom_kill")
        if base := self.bases.get("cpuacct"):
            cpu_time = int(read(f"{base}/{name}/cpuacct.usage")) / 1e9
        if base := self.bases.get("pids"):
            refused_forks = field(read(f"{base}/{name}/pids.events"), "max")
        return GroupUsage(memory, cpu_time, oom_kills, refused_forks)

    def memory(self, name: str) -> int:
        """Return the memory of the group `name` in bytes; 0 if this host does not measure it."""
        base = self.bases.get("memory")
        return int(read(f"{base}/{name}/memory.usage_in_bytes")) if base else 0
