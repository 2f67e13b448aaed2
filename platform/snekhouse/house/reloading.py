"""Reloading: what people change in the registry's file is served soon, whole, and only if it can be."""

import logging
import os
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread

from snekhouse.errors import HostError, RegistryError
from snekhouse.house.house import House
from snekhouse.house.worker import Worker
from snekhouse.registry import live
from snekhouse.registry.hints import hints
from snekhouse.registry.models import Registry

_log = logging.getLogger(__package__)


@dataclass(frozen=True, slots=True)
class Reload:
    """One attempt to serve what the file says.

    Attributes:
        at: When it was over.
        outcome: ``reloaded``, or ``refused``: then all stayed as it was.
        error: Why it was refused; else empty.
        kept: Keys that say something else in the file, and take a restart.
    """

    at: datetime
    outcome: Literal["reloaded", "refused"]
    error: str = ""
    kept: tuple[str, ...] = ()


class Reloader:
    """Reloads the registry of a house, each time that its file changes or somebody asks.

    Attributes:
        last: The last attempt; None before the first.
    """

    def __init__(self, house: House, served: Registry, worker: Worker) -> None:
        """Prepare to reload.

        Args:
            house: What serves.
            served: Its registry when the server started, before it was shared out among workers.
            worker: This process.
        """
        self._house = house
        self._served = served
        self._worker = worker
        self._turn = anyio.Lock()
        self.last: Reload | None = None

    async def reload(self) -> Reload:
        """Serve what the file says now; what is wrong with it is told in what this returns."""
        async with self._turn:
            try:
                found = await anyio.to_thread.run_sync(live.reload, self._served)
                await self._house.change(self._worker.part(found.registry))
            except (RegistryError, HostError) as error:
                _log.error("registry refused, the server keeps the one that it has: %s", error)
                self.last = Reload(datetime.now(UTC), "refused", str(error))
            else:
                _log.info("registry reloaded", extra={"digest": found.registry.digest[:12]})
                for hint in hints(found.registry):
                    _log.warning("registry: %s", hint)
                if found.kept:
                    _log.warning("the server must be started again for: %s", ", ".join(found.kept))
                self.last = Reload(datetime.now(UTC), "reloaded", kept=found.kept)
            if self._worker.number == 0:  # all workers reload: one of them counts
                self._house.metrics.reloaded(self.last.outcome)
            return self.last

    def tell_others(self) -> None:
        """Have the other workers reload as well."""
        if self._worker.supervisor:
            os.kill(self._worker.supervisor, signal.SIGHUP)

    async def watch(self) -> None:
        """Reload each time that the file changes."""
        async for _ in live.changes(Path(self._served.source), self._house.registry.digest):
            await self.reload()
