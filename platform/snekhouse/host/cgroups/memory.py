"""How much memory the server itself may use."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from snekhouse.host.cgroups.detection import mounted_groups

_LIMITS = ("memory.max", "memory.limit_in_bytes")
"""Files of a group with its limit: of cgroups v2 and v1 (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/)."""


def memory_limit(proc: Path = Path("/proc/self")) -> int:
    """Return how many bytes the server may use: the minimum of the machine's memory and its cgroups' limits.

    Args:
        proc: The server's folder in procfs.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_limits(proc)])


def _limits(proc: Path) -> Iterator[int]:
    for group, top in mounted_groups("memory", proc):
        for folder in (group, *group.parents):
            for name in _LIMITS:
                with suppress(OSError, ValueError):  # the root has no limit; "max" means no limit
                    yield int((folder / name).read_text())
            if folder == top:
                break
