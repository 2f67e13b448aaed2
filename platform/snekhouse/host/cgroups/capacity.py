"""How much memory and how many CPUs the server itself may use."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from snekhouse.host.cgroups.detection import groups_above

_MEMORY_LIMITS = ("memory.max", "memory.limit_in_bytes")
"""Files of a group with its limit: of cgroups v2 and v1 (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/)."""


def memory_limit(proc: Path = Path("/proc/self")) -> int:
    """Return how many bytes the server may use: the minimum of the machine's memory and its cgroups' limits.

    Args:
        proc: The server's folder in procfs.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_memory_limits(proc)])


def cpu_limit(proc: Path = Path("/proc/self")) -> float:
    """Return how many CPUs the server may use: the minimum of its affinity and of the limits of its cgroups.

    Args:
        proc: The server's folder in procfs.
    """
    return min([float(len(os.sched_getaffinity(0))), *_cpu_limits(proc)])


def _memory_limits(proc: Path) -> Iterator[int]:
    for folder in groups_above("memory", proc):
        for name in _MEMORY_LIMITS:
            with suppress(OSError, ValueError):  # the root has no limit; "max" means no limit
                yield int((folder / name).read_text())


def _cpu_limits(proc: Path) -> Iterator[float]:
    for folder in groups_above("cpu", proc):
        with suppress(OSError, ValueError):  # as above
            quota, period = map(int, _quota(folder))
            if quota > 0:  # v1 writes -1 for none
                yield quota / period


def _quota(folder: Path) -> list[str]:
    """Read quota and period in microseconds: of cgroups v2, or of v1 (Documentation/scheduler/sched-bwc.rst)."""
    if (folder / "cpu.max").exists():
        return (folder / "cpu.max").read_text().split()
    return [(folder / name).read_text() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
