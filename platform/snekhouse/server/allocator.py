"""Settings of the C library's allocator with which a server returns memory to the system.

After one large body the GNU C library would keep that memory forever: it raises its thresholds to 64 MiB, gives each
thread its own heap, and returns memory below the end of a heap only when `malloc_trim` is called. Other C libraries
lack these functions. There, this module does nothing.

Sources: mallopt(3), malloc_trim(3)
"""

import ctypes
import os
from contextlib import suppress
from functools import cache
from pathlib import Path

import anyio
import anyio.to_thread

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_SETTINGS = {_M_TRIM_THRESHOLD: 4 << 20, _M_MMAP_THRESHOLD: 256 << 10, _M_ARENA_MAX: 2}

_TRIM_INTERVAL_S = 2.0
_TRIM_THRESHOLD = 8 << 20
"""Bytes by which the process may exceed its smallest size before its heap is trimmed."""


def keep_small() -> None:
    """Set the allocator to return large blocks to the system as soon as they are freed."""
    with suppress(AttributeError):
        for parameter, value in _SETTINGS.items():
            _library().mallopt(parameter, value)


async def keep_trimmed() -> None:
    """Return free memory to the system every few seconds, if the process has grown."""
    smallest = _resident_size()
    while True:
        await anyio.sleep(_TRIM_INTERVAL_S)
        with suppress(OSError, RuntimeError):  # out of descriptors or threads: the next attempt may succeed
            size = _resident_size()
            smallest = min(smallest, size)
            if size - smallest > _TRIM_THRESHOLD:
                await anyio.to_thread.run_sync(_trim)  # takes milliseconds, without the GIL


def _trim() -> None:
    with suppress(AttributeError):
        _library().malloc_trim(0)


def _resident_size() -> int:
    """Return the bytes of memory that the process uses (proc_pid_statm(5))."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None)
