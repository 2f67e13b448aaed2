"""Keepers: each keeps a template of one runtime up, and runs jobs cold where that cannot be."""

import logging
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskStatus

from snekhouse.house.metrics import Metrics
from snekhouse.jail.evaluation import Job, Result
from snekhouse.jail.kit import Jail, Means
from snekhouse.jail.run import run
from snekhouse.jail.template import Template, TemplateError, opened
from snekhouse.shortening import MESSAGE, shortened
from snekhouse.waiting import first

_log = logging.getLogger(__package__)

_MOST_RUNS = 100_000
_MOST_AGE = 24 * 3600.0
"""Seconds after which a template is replaced: so long do its runs share hash seed and address layout."""

_PROVEN = 60.0
"""Uptime in seconds after which the loss of a template is not counted as a failure to start."""

_PAUSES = (0.1, 1.0, 5.0, 30.0, 300.0)
"""Seconds until the next attempt after one failed, two failed, ..."""


class Keeper:
    """Keeps a template of a runtime up: starts it, replaces it, and starts another when it is lost.

    Attributes:
        reason: Why there is none; empty when there is one.
        tried: Set once the first has started, or failed to.
    """

    def __init__(
        self,
        jail: Jail,
        means: Means,
        packages: Path | None,
        turn: AbstractAsyncContextManager[Any],
        metrics: Metrics,
    ) -> None:
        """Prepare to keep.

        Args:
            jail: The runtime.
            means: What the server has for its runs.
            packages: The folder from which it imports third-party packages: a template knows those of its start.
            turn: Held while a template starts, that not all do at once.
            metrics: Where its templates are counted.
        """
        self._jail = jail
        self._means = means
        self._packages = packages
        self._seen = 0
        self._turn = turn
        self._metrics = metrics
        self._cause = "first"  # why the next is started
        self._template: Template | None = None
        self._due = anyio.Event()  # another is wanted
        self._replaced = anyio.Event()  # there is another
        self.tried = anyio.Event()
        self.reason = "its template is being started"

    @property
    def is_up(self) -> bool:
        """Whether there is a template now."""
        return self._template is not None

    async def run(self, jail: Jail, job: Job) -> Result:
        """Evaluate a job, forked where there is a template.

        A run that is lost with its template is run again: nothing outside its jail has seen it.

        Args:
            jail: The runtime as the registry has it now.
            job: What to evaluate.

        Raises:
            OSError: The host is out of processes, descriptors or memory.
        """
        if self._seen != self._changed():
            self._call_for("packages")
        elif template := self._template:
            try:
                return await run(jail, job, self._means, template)
            except TemplateError as error:
                _log.warning("runtime %s: an evaluation starts cold: %s", self._jail.runtime.name, error)
            finally:
                if template.served >= _MOST_RUNS:
                    self._call_for("age")
        return await run(jail, job, self._means)

    async def keep(self) -> None:
        """Keep a template up until cancelled."""
        failures = 0
        async with anyio.create_task_group() as tasks:
            while True:
                begin = time.monotonic()
                try:
                    async with self._turn:
                        self._metrics.template_started(self._jail.runtime.name, self._cause)
                        await tasks.start(self._hold)
                except (TemplateError, OSError) as error:
                    self._explain(shortened(str(error), MESSAGE))
                    self._cause = "retry"
                    self.tried.set()
                else:
                    with anyio.move_on_after(_MOST_AGE) as age:
                        await self._due.wait()
                    if age.cancelled_caught:
                        self._cause = "age"
                    if self.is_up:
                        continue
                await anyio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
                failures = failures + 1 if time.monotonic() - begin < _PROVEN else 0

    def _changed(self) -> int:
        """Tell when packages changed last, in nanoseconds; 0 when there are none."""
        try:
            return self._packages.stat().st_mtime_ns if self._packages else 0
        except FileNotFoundError:
            return 0

    async def _hold(self, *, task_status: TaskStatus[None]) -> None:
        """Have a template until it is lost, or there is another and its runs have ended."""
        changed = self._changed()
        async with opened(self._jail, self._means) as template:
            self._seen = changed
            self._replaced.set()
            self._replaced = replaced = anyio.Event()
            self._template, self._due = template, anyio.Event()
            self.reason = ""
            self.tried.set()
            task_status.started()
            await first(template.listen, replaced.wait)
            if replaced.is_set():
                await first(template.listen, template.idle)
            else:
                self._template, self.reason = None, "its template was lost, and another is being started"
                self._call_for("lost")

    def _call_for(self, cause: str) -> None:
        """Have another template started."""
        self._cause = cause
        self._due.set()

    def _explain(self, reason: str) -> None:
        """Say why evaluations start cold; once."""
        if reason != self.reason:
            _log.warning("runtime %s: evaluations start cold: %s", self._jail.runtime.name, reason)
        self.reason = reason
