"""The memory of runs, which the server checks on hosts where no cgroup limits it.

A run's memory is the memory of its processes and of the files in its tmpfs. The server reads it every 20 ms,
and sees no peak between two readings. A page that several processes share counts once (Pss of
proc_pid_smaps_rollup(5)). Pss is slow to read, so the server reads it only if the resident sizes exceed the limit.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import anyio

from snekhouse.host.processes import descendants, proc_text

_INTERVAL_S = 0.02
"""Seconds between two readings of a run's memory."""

_PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")

HAS_PROC_CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children").exists()
"""Whether this kernel lists the children of a process (CONFIG_PROC_CHILDREN), as `MemoryWatch` needs."""


@dataclass(frozen=True, slots=True)
class MemoryWatch:
    """The memory of one run.

    Attributes:
        pid: The process id on the host of the run's first process, from which all others descend.
        folders: Descriptors of the tmpfs mounts that it writes to.
        limit: Its limit in bytes.
    """

    pid: int
    folders: tuple[int, ...]
    limit: int

    async def above(self) -> None:
        """Wait until the run has more memory than its limit."""
        while not self.is_above():  # noqa: ASYNC110 - without a cgroup there is no event to wait for
            await anyio.sleep(_INTERVAL_S)

    def is_above(self) -> bool:
        """Check whether the run has more memory than its limit now."""
        files = sum(_size(folder) for folder in self.folders)
        processes = tuple(descendants(self.pid))
        if files + sum(map(_resident, processes)) <= self.limit:
            return False
        return files + sum(map(_proportional, processes)) > self.limit


def _size(folder: int) -> int:
    """Return the bytes that are in use in the file system of a folder."""
    status = os.fstatvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def _resident(pid: int) -> int:
    """Return the resident bytes of a process (proc_pid_statm(5)); 0 if it is gone."""
    fields = proc_text(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE_SIZE if fields else 0


def _proportional(pid: int) -> int:
    """Return the bytes of a process, files left out, with its share of shared pages; 0 if the process is gone."""
    fields = dict(line.split(":", 1) for line in proc_text(f"/proc/{pid}/smaps_rollup").splitlines()[1:])
    sizes = {name: int(size.split()[0]) << 10 for name, size in fields.items()}
    own = sizes.get("Pss_Anon", 0) + sizes.get("SwapPss", 0)
    return own + (_shared(pid) if sizes.get("Pss_Shmem") else 0)


def _shared(pid: int) -> int:
    """Return a process's share of memory that mmap(2) shares. Files in tmpfs are left out: they are counted already."""
    size, is_counted = 0, False
    for line in proc_text(f"/proc/{pid}/smaps").splitlines():
        if line.startswith("Pss:"):
            size += is_counted * int(line.split()[1]) << 10
        elif not line.split(" ", 1)[0].endswith(":"):  # the first line of a mapping
            is_counted = line.endswith(" /dev/zero (deleted)")
    return size
