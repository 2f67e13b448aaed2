"""The server's watchdogs: two processes that kill its jails when the server is gone. A watchdog that ends is replaced.

There are two, so that one remains while the other is replaced or stopped. The server does not notice a SIGSTOP.
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
"""Seconds before the first replacement, the second, ...; the last one repeats."""

_END_TIMEOUT_S = 5.0
"""Seconds to wait for a watchdog to end, before it is killed: a stopped watchdog does not end by itself."""


@contextmanager
def watchdogs_for(state: Path) -> Iterator[None]:
    """Run watchdogs while this process lives. If it is killed, they kill its jails.

    Args:
        state: The folder with the profiles of this server's jails only.

    Raises:
        OSError: A watchdog cannot be started.
    """
    stop = os.eventfd(0, os.EFD_CLOEXEC)
    with ExitStack() as held:
        held.callback(os.close, stop)
        for _ in range(_COUNT):
            first = _Watchdog(state)
            thread = threading.Thread(target=_supervise, args=(state, first, stop), name="watchdog", daemon=True)
            with ExitStack() as on_error:
                on_error.callback(first.close)
                thread.start()
                on_error.pop_all()
            held.callback(thread.join)
            held.callback(os.eventfd_write, stop, 1)
        yield


def _supervise(state: Path, running: "_Watchdog | None", stop: int) -> None:
    """Replace a watchdog each time it ends, until `stop` is readable."""
    backoff = Backoff(_PAUSES_S)
    begin = time.monotonic()
    while True:
        if running and not running.has_ended_before(stop):
            running.close()
            return
        pause = backoff.pause(time.monotonic() - begin)
        if running:
            _log.error("a watchdog ended (%s); another starts in %g s", running.close(), pause)
        if _readable(stop, timeout=pause):
            return
        begin = time.monotonic()
        try:
            running = _Watchdog(state)
        except OSError as error:
            running = None
            _log.error("a watchdog cannot be started: %s", error)


class _Watchdog:
    """A running watchdog."""

    def __init__(self, state: Path) -> None:
        command = [sys.executable, "-I", "-S", watchdog.__file__, str(state.absolute())]
        # A session of its own: Ctrl-C at the server's terminal must not end the watchdog.
        self._process = subprocess.Popen(command, cwd="/", env={}, stdin=subprocess.PIPE, start_new_session=True)
        self._pidfd = os.pidfd_open(self._process.pid)

    def has_ended_before(self, stop: int) -> bool:
        """Wait until it has ended or `stop` is readable; return whether it has ended."""
        return stop not in _readable(self._pidfd, stop)

    def close(self) -> str:
        """End it by closing its standard input, or by SIGKILL; return its signal or exit code."""
        assert self._process.stdin  # noqa: S101 - made above
        self._process.stdin.close()
        try:
            code = self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        os.close(self._pidfd)
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _readable(*descriptors: int, timeout: float | None = None) -> set[int]:
    """Wait until a descriptor is readable, for `timeout` seconds at most; return those that are."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(None if timeout is None else timeout * 1000)}
