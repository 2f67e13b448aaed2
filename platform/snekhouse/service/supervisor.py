"""Supervision of fork servers: each runtime has one, which is replaced when it is lost, old or outdated."""

import logging
import time
from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskStatus

from snekhouse.backoff import Backoff
from snekhouse.jail.fork_server import ForkServer, started_fork_server
from snekhouse.jail.generation import ForkServerError, Generation
from snekhouse.jail.import_counts import ImportCounts
from snekhouse.jail.prepared import PreparedRuntime
from snekhouse.jail.resources import RunResources
from snekhouse.packages.modules import PackageModules
from snekhouse.registry.values import AUTO
from snekhouse.service.metrics import Metrics
from snekhouse.shortening import MESSAGE_SIZE, shortened
from snekhouse.waiting import first

_log = logging.getLogger(__package__)

RUN_LIMIT = 100_000
"""Evaluations after which a fork server is replaced: its runs share one hash seed and one address layout."""

_AGE_LIMIT_S = 24 * 3600.0
"""Seconds after which a fork server is replaced, for the same reason."""

PAUSES_S = (0.1, 1.0, 5.0, 30.0, 300.0)
"""Seconds before the next start after one failure, two, ...; the last one repeats."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """The modules of packages that a fork server has imported ahead.

    Attributes:
        modules: The modules, in the order in which they were imported.
        memory: How much memory they take, in bytes.
        left_out: Other modules that programs import often, and the reason why they are not among these.
    """

    modules: tuple[str, ...]
    memory: int
    left_out: Mapping[str, str]


class ForkServerSupervisor:
    """Keeps a fork server of a runtime up: starts it, replaces an old one, and starts another if one is lost.

    Attributes:
        reason: Why evaluations start cold; empty if they do not.
        attempted: Set once the first fork server has started, or has failed to start; after an OSError, once the
            second attempt has failed as well.
    """

    def __init__(
        self,
        prepared: PreparedRuntime,
        resources: RunResources,
        packages: Path | None,
        turn: AbstractAsyncContextManager[Any],
        metrics: Metrics,
    ) -> None:
        """Prepare to keep a fork server up.

        Args:
            prepared: The runtime.
            resources: The server's cgroups and host ids.
            packages: The folder of its third-party packages. When they change, the fork server is replaced.
            turn: Held while a fork server starts, so that not all start at once.
            metrics: The metrics that count its fork servers.
        """
        self._prepared = prepared
        self._resources = resources
        self._packages = packages
        self._packages_known = 0
        self._turn = turn
        self._metrics = metrics
        self._import_counts = ImportCounts() if prepared.runtime.preload == AUTO else None
        self._cause = "first"  # why the next fork server starts
        self._fork_server: ForkServer | None = None
        self._due = anyio.Event()  # set when the current fork server must be replaced
        self._replaced = anyio.Event()  # set when another fork server has replaced the current one
        self.attempted = anyio.Event()
        self.reason = "its fork server is being started"

    @property
    def is_up(self) -> bool:
        """Whether there is a fork server now."""
        return self._fork_server is not None

    @property
    def set_aside(self) -> SetAside | None:
        """The modules of packages that are set aside now; None unless the registry has `preload = "auto"`."""
        if self._import_counts is None:
            return None
        packages = self._fork_server.packages if self._fork_server else None
        modules = (tuple(packages.modules), packages.memory) if packages else ((), 0)
        return SetAside(*modules, dict(self._import_counts.left_out))

    def generation_for(self, imports: Collection[str] | None) -> Generation | None:
        """Choose the generation that forks an evaluation, and count what its program imports.

        Args:
            imports: The modules that its program probably imports; None if it probably imports nothing.

        Returns:
            The generation; None if no fork server is up, or if packages have changed since its start.
        """
        if self._import_counts and imports:
            self._import_counts.note(imports)
        if self._packages_known != self._packages_changed():
            self._request_another("packages")
            return None
        if self._fork_server is None:
            return None
        if self._fork_server.served >= RUN_LIMIT:
            self._request_another("age")
        return self._fork_server.generation_for(imports)

    async def keep(self) -> None:
        """Keep a fork server up until cancelled."""
        backoff, failures = Backoff(PAUSES_S), 0
        async with anyio.create_task_group() as tasks:
            while True:
                begin = time.monotonic()
                try:
                    async with self._turn:
                        self._metrics.fork_server_started(self._prepared.runtime.name, self._cause)
                        await tasks.start(self._run_one)
                except (ForkServerError, OSError) as error:
                    self._set_reason(shortened(str(error), MESSAGE_SIZE))
                    self._cause = "retry"
                    failures += 1
                    if isinstance(error, ForkServerError) or failures > 1:  # the cause of an OSError may be over soon
                        self.attempted.set()
                else:
                    with anyio.move_on_after(_AGE_LIMIT_S) as age:
                        await self._due.wait()
                    if age.cancelled_caught:
                        self._cause = "age"
                    if self.is_up:
                        continue
                await anyio.sleep(backoff.pause(time.monotonic() - begin))

    def _packages_changed(self) -> int:
        """Return when packages last changed, in nanoseconds; 0 if there are none, or if nobody can tell."""
        try:
            return self._packages.stat().st_mtime_ns if self._packages else 0
        except OSError:
            return 0

    async def _run_one(self, *, task_status: TaskStatus[None]) -> None:
        """Run a fork server until it is lost, or until another has replaced it and its runs have ended."""
        changed = self._packages_changed()
        if self._import_counts and self._packages:
            self._import_counts.begin(PackageModules(self._packages, changed))
        async with started_fork_server(self._prepared, self._resources, self._import_counts) as fork_server:
            self._packages_known = changed
            self._replaced.set()
            self._replaced = replaced = anyio.Event()
            self._fork_server, self._due = fork_server, anyio.Event()
            self.reason = ""
            self.attempted.set()
            task_status.started()

            async def retired() -> None:
                await replaced.wait()
                await fork_server.retire()

            await first(fork_server.listen, retired)  # as one: what cancels `listen` ends the other generations
            if not replaced.is_set():
                self._fork_server, self.reason = None, "its fork server was lost, and another is being started"
                self._request_another("lost")

    def _request_another(self, cause: str) -> None:
        """Request another fork server."""
        self._cause = cause
        self._due.set()

    def _set_reason(self, reason: str) -> None:
        """Record why evaluations start cold, unless the current fork server still serves them; log a new reason."""
        if self.is_up and self._packages_known == self._packages_changed():
            _log.warning("runtime %s: its fork server cannot be replaced: %s", self._prepared.runtime.name, reason)
            return
        if reason != self.reason:
            _log.warning(
                "runtime %s: without a fork server, evaluations start cold: %s", self._prepared.runtime.name, reason
            )
        self.reason = reason
