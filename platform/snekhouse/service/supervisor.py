"""Supervision of fork servers: each runtime has one, which is started again when it is lost, old or outdated."""

import logging
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskStatus

from snekhouse.backoff import Backoff
from snekhouse.jail.fork_server import ForkServer, ForkServerError, started_fork_server
from snekhouse.jail.prepared import PreparedRuntime
from snekhouse.jail.resources import RunResources
from snekhouse.service.metrics import Metrics
from snekhouse.shortening import MESSAGE_SIZE, shortened
from snekhouse.waiting import first

_log = logging.getLogger(__package__)

_MOST_RUNS = 100_000
_MOST_AGE_S = 24 * 3600.0
"""Seconds after which a fork server is replaced: so long do its runs share hash seed and address layout."""

_STABLE_AFTER_S = 60.0
"""Uptime in seconds that resets the pauses."""

_PAUSES_S = (0.1, 1.0, 5.0, 30.0, 300.0)
"""Seconds until the next attempt after one failed, two failed, ..."""


class ForkServerSupervisor:
    """Keeps a fork server of a runtime up: starts it, replaces it, and starts another when it is lost.

    Attributes:
        reason: Why there is none; empty when there is one.
        tried: Set once the first has started, or failed to.
    """

    def __init__(
        self,
        prepared: PreparedRuntime,
        resources: RunResources,
        packages: Path | None,
        turn: AbstractAsyncContextManager[Any],
        metrics: Metrics,
    ) -> None:
        """Prepare to keep.

        Args:
            prepared: The runtime.
            resources: What the server has for its runs.
            packages: The folder from which it imports third-party packages: a fork server knows those of its start.
            turn: Held while a fork server starts, that not all do at once.
            metrics: Where its fork servers are counted.
        """
        self._prepared = prepared
        self._resources = resources
        self._packages = packages
        self._packages_known = 0
        self._turn = turn
        self._metrics = metrics
        self._cause = "first"  # why the next is started
        self._fork_server: ForkServer | None = None
        self._due = anyio.Event()  # another is wanted
        self._replaced = anyio.Event()  # there is another
        self.tried = anyio.Event()
        self.reason = "its fork server is being started"

    @property
    def is_up(self) -> bool:
        """Whether there is a fork server now."""
        return self._fork_server is not None

    def fork_server(self) -> ForkServer | None:
        """Return the fork server that is up; None where there is none, or packages have changed since its start."""
        if self._packages_known != self._packages_changed():
            self._call_for("packages")
            return None
        if self._fork_server and self._fork_server.served >= _MOST_RUNS:
            self._call_for("age")
        return self._fork_server

    async def keep(self) -> None:
        """Keep a fork server up until cancelled."""
        backoff = Backoff(_PAUSES_S, _STABLE_AFTER_S)
        async with anyio.create_task_group() as tasks:
            while True:
                begin = time.monotonic()
                try:
                    async with self._turn:
                        self._metrics.fork_server_started(self._prepared.runtime.name, self._cause)
                        await tasks.start(self._hold)
                except (ForkServerError, OSError) as error:
                    self._explain(shortened(str(error), MESSAGE_SIZE))
                    self._cause = "retry"
                    self.tried.set()
                else:
                    with anyio.move_on_after(_MOST_AGE_S) as age:
                        await self._due.wait()
                    if age.cancelled_caught:
                        self._cause = "age"
                    if self.is_up:
                        continue
                await anyio.sleep(backoff.pause(time.monotonic() - begin))

    def _packages_changed(self) -> int:
        """Tell when packages changed last, in nanoseconds; 0 when there are none."""
        try:
            return self._packages.stat().st_mtime_ns if self._packages else 0
        except FileNotFoundError:
            return 0

    async def _hold(self, *, task_status: TaskStatus[None]) -> None:
        """Have a fork server until it is lost, or there is another and its runs have ended."""
        changed = self._packages_changed()
        async with started_fork_server(self._prepared, self._resources) as fork_server:
            self._packages_known = changed
            self._replaced.set()
            self._replaced = replaced = anyio.Event()
            self._fork_server, self._due = fork_server, anyio.Event()
            self.reason = ""
            self.tried.set()
            task_status.started()
            await first(fork_server.listen, replaced.wait)
            if replaced.is_set():
                await first(fork_server.listen, fork_server.idle)
            else:
                self._fork_server, self.reason = None, "its fork server was lost, and another is being started"
                self._call_for("lost")

    def _call_for(self, cause: str) -> None:
        """Have another fork server started."""
        self._cause = cause
        self._due.set()

    def _explain(self, reason: str) -> None:
        """Say why evaluations start cold; once."""
        if reason != self.reason:
            _log.warning("runtime %s: evaluations start cold: %s", self._prepared.runtime.name, reason)
        self.reason = reason
