"""The C library's allocator, set so that a server gives memory back.

After one large body the GNU C library would keep as much memory for good: it raises its thresholds to 64 MiB, lets each
thread have a heap of its own, and returns what lies below the end of a heap only when it is told to. Other C
libraries have none of these functions; nothing is done there.

Sources: mallopt(3), malloc_trim(3)
"""

import ctypes
from contextlib import suppress
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_SETTINGS = {_M_TRIM_THRESHOLD: 4 << 20, _M_MMAP_THRESHOLD: 256 << 10, _M_ARENA_MAX: 2}


def keep_small() -> None:
    """Have large blocks go back to the system as soon as they are freed."""
    with suppress(AttributeError):
        for parameter, value in _SETTINGS.items():
            _library().mallopt(parameter, value)


def trim() -> None:
    """Give all that is free back to the system; takes milliseconds, and not the interpreter's lock."""
    with suppress(AttributeError):
        _library().malloc_trim(0)


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None)
