"""A watchdog: a process that kills the jails of a server when the server has ended, even by SIGKILL.

`host/watchdogs.py` runs this file in an interpreter without site-packages, so it imports only the standard library.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_TERM_TIMEOUT_S = 1.0
"""Seconds that NsJail has after SIGTERM to end its jail; SIGKILL ends both."""


def end_jails(state: Path) -> None:
    """Kill all jails of a server.

    Args:
        state: The folder with their profiles, which the command line of each NsJail names.
    """
    deadline = time.monotonic() + _TERM_TIMEOUT_S
    while jails := list(_jails(os.fsencode(state) + b"/")):
        is_late = time.monotonic() > deadline
        for pid in jails:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if is_late else signal.SIGTERM)
        time.sleep(0.02)


def _jails(folder: bytes) -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):
            arguments = entry.read_bytes().split(b"\0")
            if b"--config" in arguments and any(argument.startswith(folder) for argument in arguments):
                yield int(entry.parent.name)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the watchdog must not end before the server
    sys.stdin.buffer.read()
    end_jails(Path(sys.argv[1]))
