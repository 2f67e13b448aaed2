"""Worker processes: several servers behind one address, each with its share of what the registry allows."""

import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from snekhouse.registry.models import Server

_log = logging.getLogger(__name__)

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
_PAUSE = 1.0
"""Seconds until a worker that was killed is replaced."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process, seen from inside.

    Attributes:
        server: Its share.
        number: From 0.
        lifeline: A descriptor that is readable when its supervisor is gone; None where it has none.
    """

    server: Server
    number: int = 0
    lifeline: int | None = None


def share(server: Server, number: int) -> Server:
    """Work out what one of the workers may use: together they use what the registry allows, and no id twice.

    Args:
        server: What all of them may use.
        number: Which worker, from 0.
    """
    first, last = server.uids
    each = (last - first + 1) // server.workers
    return server.model_copy(
        update={
            "concurrency": _part(server.places, server.workers, number),
            "queue": _part(server.queue, server.workers, number),
            "max_in_transit": server.max_in_transit // server.workers,
            "uids": (first + number * each, first + (number + 1) * each - 1),
        }
    )


def _part(whole: int, parts: int, number: int) -> int:
    return whole // parts + (number < whole % parts)


def become_worker(server: Server) -> Worker:
    """Fork the workers; return in each. The supervisor stays here until the last has ended, and exits.

    A worker that is killed is replaced; one that ends by itself, for an error, ends all.
    """
    if server.workers == 1:
        return Worker(server)
    lifeline, held = os.pipe()  # its other end is the supervisor's alone
    with _blocked():
        supervisor = _Supervisor()
        for number in range(server.workers):
            if not supervisor.fork(number):
                break
        else:
            number = supervisor.watch()
    os.close(held)
    os.setpgid(0, 0)  # Ctrl-C at the terminal is for the supervisor, which passes it on
    return Worker(share(server, number), number, lifeline)


class _Supervisor:
    def __init__(self) -> None:
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
            if received != signal.SIGCHLD:
                self._end(0)  # each time: a second signal makes workers hurry
                continue
            for number in self._killed():
                time.sleep(_PAUSE)
                if not self.fork(number):
                    return number
        raise SystemExit(self._code)

    def _killed(self) -> Iterator[int]:
        """Bury workers; yield the numbers of those to replace."""
        while self._workers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            number, code = self._workers.pop(pid), os.waitstatus_to_exitcode(status)
            if self._code is not None:
                self._code = self._code or max(code, 0)
            elif code >= 0:
                self._end(code)
            else:
                _log.error("worker %d was killed by signal %d; another takes its place", number, -code)
                yield number

    def _end(self, code: int) -> None:
        self._code = code
        for pid in self._workers:
            os.kill(pid, signal.SIGTERM)


@contextmanager
def _blocked() -> Iterator[None]:
    """Keep signals for `sigwait`, in the supervisor; workers have them again."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
