"""How many CPUs the server itself may use."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from snekhouse.host.cgroups.detection import mounted_groups


def cpu_limit(proc: Path = Path("/proc/self")) -> float:
    """Return how many CPUs the server may use: the minimum of its affinity and of the limits of its cgroups.

    Args:
        proc: The server's folder in procfs.
    """
    return min([float(len(os.sched_getaffinity(0))), *_limits(proc)])


def _limits(proc: Path) -> Iterator[float]:
    for group, top in mounted_groups("cpu", proc):
        for folder in (group, *group.parents):
            with suppress(OSError, ValueError):  # the root has no limit; "max" means no limit
                quota, period = (int(text) for text in _quota(folder))
                if quota > 0:  # v1 writes -1 for none
                    yield quota / period
            if folder == top:
                break


def _quota(folder: Path) -> list[str]:
    """Read quota and period in microseconds: of cgroups v2, or of v1 (Documentation/scheduler/sched-bwc.rst)."""
    if (folder / "cpu.max").exists():
        return (folder / "cpu.max").read_text().split()
    return [(folder / name).read_text() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
