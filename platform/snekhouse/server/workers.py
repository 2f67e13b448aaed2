"""The supervisor of worker processes, which serve one address, each with its share of the registry's limits."""

import logging
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snekhouse.host.per_worker_number import PerWorkerNumber
from snekhouse.host.state import shared_folder
from snekhouse.registry.server import Server
from snekhouse.server.worker import Worker
from snekhouse.service.metrics import forget_process, share_numbers

_log = logging.getLogger(__name__)

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
_RESTART_DELAY_S = 1.0
"""Seconds until a worker is replaced that was killed, or that did not start in place of another."""


def become_worker(server: Server) -> Worker:
    """Fork the workers, and return in each. The supervisor does not return: it exits after the last worker.

    The supervisor replaces a worker that is killed, and forwards SIGHUP. It ends all workers if one exits by itself.
    But if this one has replaced another, it starts one more, as long as others serve.

    Args:
        server: Has the number of workers; a single worker is this process, without a supervisor.
    """
    if server.workers == 1:
        return Worker()
    supervisor = os.getpid()
    lifeline, supervisor_end = os.pipe()  # closes when the supervisor dies
    numbers = shared_folder(server.state_path)
    share_numbers(numbers)
    load, waiting, room = (PerWorkerNumber(server.workers) for _ in range(3))
    is_replacement = False
    with _blocked():
        workers = _Workers(numbers)
        for number in range(server.workers):
            if not workers.fork(number):
                break
        else:
            number = workers.watch()
            is_replacement = True
    os.close(supervisor_end)
    os.setpgid(0, 0)  # only the supervisor gets Ctrl-C from the terminal, and forwards it
    for each in (load, waiting, room):
        each.belong_to(number)
    return Worker(number, lifeline, supervisor, load, waiting, room, numbers, is_replacement)


class _Workers:
    def __init__(self, numbers: Path) -> None:
        self._numbers = numbers
        self._workers: dict[int, int] = {}
        self._replaced: set[int] = set()  # numbers of workers that have had to be replaced
        self._code: int | None = None  # the exit code, once the workers must end

    def fork(self, number: int) -> int:
        """Fork a worker; return 0 in it."""
        pid = os.fork()
        self._workers[pid] = number
        return pid

    def watch(self) -> int:
        """Replace and end workers until none is left, then exit. In a new worker, return its number."""
        while self._workers:
            info = signal.sigwaitinfo(_SIGNALS)
            received = info.si_signo
            if received == signal.SIGCHLD:
                for number in self._killed():
                    time.sleep(_RESTART_DELAY_S)
                    self._replaced.add(number)
                    if not self.fork(number):
                        return number
            elif received == signal.SIGHUP:
                self._signal(signal.SIGHUP, but=info.si_pid)  # a worker has already done what it asks the others for
            else:
                self._end(0)  # a second signal is forwarded too: it ends evaluations immediately
        shutil.rmtree(self._numbers)
        raise SystemExit(self._code)

    def _killed(self) -> Iterator[int]:
        """Reap workers; yield the numbers of the workers to replace."""
        while self._workers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            number, code = self._workers.pop(pid), os.waitstatus_to_exitcode(status)
            forget_process(pid)
            if self._code is not None:
                self._code = self._code or max(code, 0)
            elif code >= 0 and not (self._workers and number in self._replaced):
                self._end(code)
            else:
                cause = f"ended with exit code {code}" if code >= 0 else f"was killed by signal {-code}"
                _log.error("worker %d %s; starting another", number, cause)
                yield number

    def _end(self, code: int) -> None:
        self._code = code
        self._signal(signal.SIGTERM)

    def _signal(self, number: int, *, but: int = 0) -> None:
        for pid in self._workers.keys() - {but}:
            os.kill(pid, number)


@contextmanager
def _blocked() -> Iterator[None]:
    """Block signals in the supervisor, which waits with `sigwaitinfo`; unblock them in workers."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
