"""Worker processes: several servers behind one address, each with its share of what the registry allows."""

import logging
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snekhouse.host.state import shared_folder
from snekhouse.registry.models import Server
from snekhouse.server.worker import Worker
from snekhouse.service.metrics import forget_process, share_numbers

_log = logging.getLogger(__name__)

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
_PAUSE = 1.0
"""Seconds until a worker that was killed is replaced."""


def become_worker(server: Server) -> Worker:
    """Fork the workers; return in each. The supervisor stays here until the last has ended, and exits.

    A worker that is killed is replaced; one that ends by itself, for an error, ends all. SIGHUP is passed on.

    Args:
        server: What says how many; with one, this process is it.
    """
    if server.workers == 1:
        return Worker()
    supervisor = os.getpid()
    lifeline, held = os.pipe()  # its other end is the supervisor's alone
    numbers = shared_folder(server.state_path)
    share_numbers(numbers)
    with _blocked():
        workers = _Workers(numbers)
        for number in range(server.workers):
            if not workers.fork(number):
                break
        else:
            number = workers.watch()
    os.close(held)
    os.setpgid(0, 0)  # Ctrl-C at the terminal is for the supervisor, which passes it on
    return Worker(number, lifeline, supervisor)


class _Workers:
    def __init__(self, numbers: Path) -> None:
        self._numbers = numbers
        self._workers: dict[int, int] = {}
        self._code: int | None = None  # with which to exit, once the workers are to end

    def fork(self, number: int) -> int:
        """Fork a worker; return 0 in it."""
        pid = os.fork()
        self._workers[pid] = number
        return pid

    def watch(self) -> int:
        """Replace and end workers until none is left, and exit; return in one that replaces another, its number."""
        while self._workers:
            received = signal.sigwait(_SIGNALS)
            if received == signal.SIGCHLD:
                for number in self._killed():
                    time.sleep(_PAUSE)
                    if not self.fork(number):
                        return number
            elif received == signal.SIGHUP:
                self._signal(signal.SIGHUP)
            else:
                self._end(0)  # each time: a second signal makes workers hurry
        shutil.rmtree(self._numbers)
        raise SystemExit(self._code)

    def _killed(self) -> Iterator[int]:
        """Reap workers; yield the numbers of those to replace."""
        while self._workers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            number, code = self._workers.pop(pid), os.waitstatus_to_exitcode(status)
            forget_process(pid)
            if self._code is not None:
                self._code = self._code or max(code, 0)
            elif code >= 0:
                self._end(code)
            else:
                _log.error("worker %d was killed by signal %d; another takes its place", number, -code)
                yield number

    def _end(self, code: int) -> None:
        self._code = code
        self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        for pid in self._workers:
            os.kill(pid, number)


@contextmanager
def _blocked() -> Iterator[None]:
    """Keep signals for `sigwait`, in the supervisor; workers have them again."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
