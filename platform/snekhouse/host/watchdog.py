"""A watchdog: a process beside the server that ends its jails when the server is gone, however it went.

It is started as a file of its own, by an interpreter without site-packages, and so imports the standard library alone;
`host/watchdogs.py` starts it.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_GRACE = 1.0
"""Seconds that NsJail has to end its jail, before it is killed and takes the jail with it."""


def end_jails(state: Path) -> None:
    """End all jails of a server.

    Args:
        state: The folder with their profiles, which the command line of each NsJail names.
    """
    deadline = time.monotonic() + _GRACE
    while jails := list(_jails(os.fsencode(state) + b"/")):
        is_over = time.monotonic() > deadline
        for pid in jails:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if is_over else signal.SIGTERM)
        time.sleep(0.02)


def _jails(folder: bytes) -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):
            arguments = entry.read_bytes().split(b"\0")
            if b"--config" in arguments and any(argument.startswith(folder) for argument in arguments):
                yield int(entry.parent.name)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends when the server does, and not before
    sys.stdin.buffer.read()
    end_jails(Path(sys.argv[1]))
