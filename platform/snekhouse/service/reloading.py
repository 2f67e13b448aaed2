"""Reloading: serve the changed file of the registry, unless it is refused.

It is refused if it has mistakes, if an available runtime would become unavailable, if a runtime has a fork server and
its new one does not start, if the server has too few host ids, or if the host lacks a wall that the registry requires.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread

from snekhouse.errors import HostError, RegistryError
from snekhouse.registry import watching
from snekhouse.registry.hints import hints
from snekhouse.registry.models import Registry
from snekhouse.service.service import Service

_log = logging.getLogger(__package__)


@dataclass(frozen=True, slots=True)
class Reload:
    """One attempt to load the registry's file and serve it.

    Attributes:
        at: When it ended.
        outcome: ``reloaded``, or ``refused``: then nothing changed.
        error: Why it was refused; else empty.
        kept: Keys whose change in the file needs a restart.
    """

    at: datetime
    outcome: Literal["reloaded", "refused"]
    error: str = ""
    kept: tuple[str, ...] = ()


class Reloader:
    """Reloads the registry of a server each time its file changes or a client requests it.

    Attributes:
        tell_others: Makes the other workers prepare a runtime again, or reload if its name is empty.
        last: The last attempt; None before the first.
    """

    def __init__(
        self,
        service: Service,
        served: Registry,
        *,
        share: Callable[[Registry], Registry] = lambda registry: registry,
        tell_others: Callable[[str], None] = lambda _runtime: None,
        is_counted: bool = True,
    ) -> None:
        """Prepare to reload.

        Args:
            service: The service.
            served: The registry when the server started, before its limits were divided among workers.
            share: Returns the part of a registry that this process serves.
            tell_others: Makes the other workers prepare a runtime again, or reload if its name is empty.
            is_counted: Whether this process counts reloads; all workers reload, and one of them counts.
        """
        self._service = service
        self._served = served
        self._share = share
        self._is_counted = is_counted
        self._turn = anyio.Lock()
        self.tell_others = tell_others
        self.last: Reload | None = None

    async def reload(self) -> Reload:
        """Load the file and serve it. If the file is refused, the result has the reason."""
        async with self._turn:
            try:
                registry, kept = await anyio.to_thread.run_sync(watching.reload, self._served)
                await self._service.change(self._share(registry))
            except (RegistryError, HostError, OSError, RuntimeError) as error:  # the last: no thread can be started
                _log.error("registry refused, the server keeps the current one: %s", error)
                self.last = Reload(datetime.now(UTC), "refused", str(error))
            else:
                _log.info("registry reloaded", extra={"digest": registry.digest[:12]})
                for hint in hints(registry):
                    _log.warning("registry: %s", hint)
                if kept:
                    _log.warning("restart the server to apply: %s", ", ".join(kept))
                self.last = Reload(datetime.now(UTC), "reloaded", kept=kept)
            if self._is_counted:
                self._service.metrics.reloaded(self.last.outcome)
            return self.last

    async def watch(self) -> None:
        """Reload each time the file changes."""
        async for _ in watching.file_changes(Path(self._served.source), self._service.registry.digest):
            await self.reload()
