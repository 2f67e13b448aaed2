"""The C library's allocator, set so that a server gives memory back.

After one large body the GNU C library would keep as much memory for good: it raises its thresholds to 64 MiB, lets each
thread have a heap of its own, and returns what lies below the end of a heap only when it is told to. Other C
libraries have none of these functions; nothing is done there.

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
_WORTH = 8 << 20
"""Bytes above the least that the process has held, from which on it is trimmed."""


def keep_small() -> None:
    """Have large blocks go back to the system as soon as they are freed."""
    with suppress(AttributeError):
        for parameter, value in _SETTINGS.items():
            _library().mallopt(parameter, value)


async def keep_trimmed() -> None:
    """Give free memory back to the system every few seconds, while the process holds more than at its least."""
    least = _resident()
    while True:
        await anyio.sleep(_TRIM_INTERVAL_S)
        with suppress(OSError, RuntimeError):  # out of descriptors, or of threads: the next time may have more luck
            held = _resident()
            least = min(least, held)
            if held - least > _WORTH:
                await anyio.to_thread.run_sync(_trim)  # takes milliseconds, and not the interpreter's lock


def _trim() -> None:
    with suppress(AttributeError):
        _library().malloc_trim(0)


def _resident() -> int:
    """Read how many bytes the process holds (proc_pid_statm(5))."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None)
