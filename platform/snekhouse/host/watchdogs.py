"""The server's watchdogs: two processes that end its jails when it is gone, each replaced when it is killed.

Two, so that one is there while the other is replaced, or is stopped (SIGSTOP), which is not noticed.
"""

import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from snekhouse.backoff import Backoff
from snekhouse.host import watchdog

_log = logging.getLogger(__name__)

_COUNT = 2

_PAUSES_S = (0.0, 0.1, 1.0, 5.0, 30.0)
"""Seconds until one is replaced, after none, one, two, ... before it that did not live long."""

_STABLE_AFTER_S = 60.0
"""Uptime in seconds that resets the pauses."""

_END_TIMEOUT_S = 5.0
"""Seconds that one may take to end; one that is stopped does not."""


@contextmanager
def watchdogs_for(state: Path) -> Iterator[None]:
    """Have watchdogs for as long as this process lives, and longer.

    Args:
        state: The folder with the profiles of this server's jails, and of no other's.

    Raises:
        OSError: They cannot be started.
    """
    over = os.eventfd(0, os.EFD_CLOEXEC)
    with ExitStack() as held:
        held.callback(os.close, over)
        for _ in range(_COUNT):
            first = _Watchdog(state)
            keeping = threading.Thread(target=_keep, args=(state, first, over), name="watchdog", daemon=True)
            with ExitStack() as unkept:
                unkept.callback(first.close)
                keeping.start()
                unkept.pop_all()
            held.callback(keeping.join)
            held.callback(os.eventfd_write, over, 1)
        yield


def _keep(state: Path, running: "_Watchdog | None", over: int) -> None:
    """Replace a watchdog each time that it ends, until `over` is readable."""
    backoff = Backoff(_PAUSES_S, _STABLE_AFTER_S)
    begin = time.monotonic()
    while True:
        if running and not running.has_ended_before(over):
            running.close()
            return
        pause = backoff.pause(time.monotonic() - begin)
        if running:
            _log.error("a watchdog was ended by %s; another is started in %g s", running.close(), pause)
        if _readable(over, timeout=pause):
            return
        begin = time.monotonic()
        try:
            running = _Watchdog(state)
        except OSError as error:
            running = None
            _log.error("a watchdog cannot be started: %s", error)


class _Watchdog:
    """One that runs."""

    def __init__(self, state: Path) -> None:
        command = [sys.executable, "-I", "-S", watchdog.__file__, str(state.absolute())]
        # A session of its own: what ends the server, such as Ctrl-C at its terminal, is not for the watchdog.
        self._process = subprocess.Popen(command, cwd="/", env={}, stdin=subprocess.PIPE, start_new_session=True)
        self._pidfd = os.pidfd_open(self._process.pid)

    def has_ended_before(self, over: int) -> bool:
        """Wait until it has ended, or `over` is readable."""
        return over not in _readable(self._pidfd, over)

    def close(self) -> str:
        """Have it end, unless it has; tell what ended it.

        Closing its standard input tells it that the server is gone.
        """
        assert self._process.stdin  # noqa: S101 - made above
        self._process.stdin.close()
        try:
            code = self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        os.close(self._pidfd)
        return signal.Signals(-code).name if code < 0 else f"itself, with code {code}"


def _readable(*descriptors: int, timeout: float | None = None) -> set[int]:
    """Wait until one of several descriptors is readable, for so many seconds at most; tell which are."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(None if timeout is None else timeout * 1000)}
