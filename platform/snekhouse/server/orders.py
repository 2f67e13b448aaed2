"""Orders of one worker to the others: lines of a file that they share, and SIGHUP through the supervisor."""

import os
import signal
from pathlib import Path

from snekhouse.server.worker import Worker

_FILE = "orders"


class Orders:
    """The orders that a worker gives and gets."""

    def __init__(self, worker: Worker) -> None:
        """Begin with the orders that come from now on.

        Args:
            worker: This process.
        """
        self._worker = worker
        self._file = worker.folder / _FILE if worker.folder else Path(os.devnull)
        self._known = self._file.stat().st_size if self._file.exists() else 0

    def give(self, runtime: str) -> None:
        """Make the other workers reload their registry, or prepare a runtime again.

        Args:
            runtime: Its name; empty to reload.
        """
        if self._worker.supervisor:
            with self._file.open("a") as file:
                file.write(f"{self._worker.number} {runtime}\n")
            os.kill(self._worker.supervisor, signal.SIGHUP)

    def take(self) -> list[str]:
        """Return the new orders of other workers: for each, the name of a runtime, or an empty text to reload."""
        if not self._file.exists():
            return []
        with self._file.open() as file:
            file.seek(self._known)
            lines = [line.split(" ", 1) for line in file.read().splitlines()]
            self._known = file.tell()
        return [runtime for number, runtime in lines if int(number) != self._worker.number]
