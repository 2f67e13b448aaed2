"""Generations that set modules of packages aside, each replaced by one with more modules."""

import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import partial

import anyio
from anyio.abc import TaskStatus

from snekhouse.errors import JailError
from snekhouse.jail.generation import ForkServerError, Generation, UnfitModuleError
from snekhouse.jail.import_counts import ImportCounts, top_of
from snekhouse.waiting import first

_log = logging.getLogger(__package__)

_PAUSE_S = 2.0
"""Seconds between two starts of generations: each takes CPU time from evaluations."""


class PackageGenerations:
    """The generation that has set modules of packages aside, and those that it has replaced and that still have forks.

    Attributes:
        current: The generation that forks evaluations now; None until the first has started.
        alive: The current generation, and the replaced ones that have not ended.
    """

    def __init__(self, name: str, parent: Generation, import_counts: ImportCounts) -> None:
        """Prepare to fork generations.

        Args:
            name: The runtime's, for the log.
            parent: The generation that forks them.
            import_counts: The modules that programs import.
        """
        self._name, self._parent, self._import_counts = name, parent, import_counts
        self._replaced, self._lost = anyio.Event(), anyio.Event()
        self._tops: frozenset[str] = frozenset()
        self.current: Generation | None = None
        self.alive: list[Generation] = []

    def generation_for(self, imports: Collection[str]) -> Generation | None:
        """Return the current generation if it has set aside a package that the program imports; otherwise None."""
        return self.current if any(top_of(name) in self._tops for name in imports) else None

    async def run(self) -> None:
        """Fork a generation when programs import more; return if one is lost."""
        await first(self._replace_forever, self._lost.wait)

    async def _replace_forever(self) -> None:
        async with anyio.create_task_group() as tasks:
            while True:
                modules = await self._import_counts.more_wanted(self.current.modules if self.current else ())
                try:
                    await tasks.start(self._run_one, modules)
                except UnfitModuleError as error:
                    self._leave_out({error.module: error.reason})
                except (JailError, TimeoutError, OSError) as error:
                    reason = str(error) or "the generation does not answer"
                    _log.warning(
                        "runtime %s: a generation that sets packages aside did not start: %s", self._name, reason
                    )
                    self._import_counts.lose()
                await anyio.sleep(_PAUSE_S)

    async def _run_one(self, modules: Sequence[str], *, task_status: TaskStatus[None]) -> None:
        """Run a generation until it is lost, or until another has replaced it and its runs have ended."""
        async with self._parent.next(modules) as generation:
            self._leave_out(generation.missing)
            self._replaced.set()
            self._replaced = replaced = anyio.Event()
            self.current, self._tops = generation, frozenset(map(top_of, generation.modules))
            self.alive.append(generation)
            _log.info("runtime %s: set aside: %s", self._name, ", ".join(generation.modules))
            task_status.started()
            await first(generation.listen, partial(_retired, generation, replaced))
            self.alive.remove(generation)
            if not replaced.is_set():
                self._import_counts.lose()
                self._lost.set()

    def _leave_out(self, reasons: dict[str, str]) -> None:
        for module, reason in reasons.items():
            _log.info("runtime %s: %s is not set aside: %s", self._name, module, reason)
            self._import_counts.leave_out(module, reason)


async def _retired(generation: Generation, replaced: anyio.Event) -> None:
    await replaced.wait()
    with suppress(ForkServerError):  # it is gone, and `listen` returns
        await generation.retire()
