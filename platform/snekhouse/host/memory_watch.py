"""Memory of runs, watched by the server where no cgroup limits it.

A run's memory is what its processes have for themselves, and the files that it wrote, which are memory as well. It is
read every 20 ms: what a run takes between two readings goes unseen until the second. A page that several processes have
counts once in all (Pss of proc_pid_smaps_rollup(5)); since reading that takes long, it is read only where the resident
sizes together are above the limit.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

_INTERVAL_S = 0.02

_PAGE = os.sysconf("SC_PAGE_SIZE")

CAN_WATCH = Path(f"/proc/self/task/{os.getpid()}/children").exists()
"""Whether this kernel tells the children of a process (CONFIG_PROC_CHILDREN)."""


@dataclass(frozen=True, slots=True)
class MemoryWatch:
    """A look at one run.

    Attributes:
        pid: Its first process, as the server sees it: all others descend from it while it lives.
        folders: Descriptors of the file systems in memory that it writes to.
        limit: Bytes that it may have.
    """

    pid: int
    folders: tuple[int, ...]
    limit: int

    async def above(self) -> None:
        """Wait until the run has more memory than it may."""
        while not self.is_above():  # noqa: ASYNC110 - without a cgroup, no event tells of memory
            await anyio.sleep(_INTERVAL_S)

    def is_above(self) -> bool:
        """Tell whether the run has more memory than it may, right now."""
        files = sum(_size(folder) for folder in self.folders)
        processes = tuple(_descendants(self.pid))
        if files + sum(map(_resident, processes)) <= self.limit:
            return False
        return files + sum(map(_proportional, processes)) > self.limit


def _size(folder: int) -> int:
    """Tell how many bytes the file system of a folder has in use."""
    told = os.fstatvfs(folder)
    return (told.f_blocks - told.f_bfree) * told.f_frsize


def _descendants(pid: int) -> Iterator[int]:
    """Name a process and all that descend from it; what dies meanwhile may be left out."""
    found = [pid]
    while found:
        parent = found.pop()
        yield parent
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):  # noqa: PTH208 - quicker, and read often
                found += map(int, _read(f"/proc/{parent}/task/{thread}/children").split())


def _resident(pid: int) -> int:
    """Tell the bytes of memory that a process has (proc_pid_statm(5)); 0 when it is gone."""
    fields = _read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE if fields else 0


def _proportional(pid: int) -> int:
    """Tell the bytes of memory outside files, each divided by how many processes have it; 0 when it is gone."""
    fields = dict(line.split(":", 1) for line in _read(f"/proc/{pid}/smaps_rollup").splitlines()[1:])
    sizes = {name: int(size.split()[0]) << 10 for name, size in fields.items()}
    own = sizes.get("Pss_Anon", 0) + sizes.get("SwapPss", 0)
    return own + (_shared(pid) if sizes.get("Pss_Shmem") else 0)


def _shared(pid: int) -> int:
    """Tell the bytes of memory that processes share by mmap(2), without those of files, which are counted already."""
    size, is_counted = 0, False
    for line in _read(f"/proc/{pid}/smaps").splitlines():
        if line.startswith("Pss:"):
            size += is_counted * int(line.split()[1]) << 10
        elif not line.split(" ", 1)[0].endswith(":"):  # the first line of a mapping
            is_counted = line.endswith(" /dev/zero (deleted)")
    return size


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - as above
            return file.read()
    except OSError:
        return ""
