"""The jails of one request whose cases start from the state of a setup."""

import logging
from contextlib import suppress
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup, TaskStatus

from snekhouse.errors import JailError
from snekhouse.evaluation import Job, Observer, Result, Status
from snekhouse.jail.case_jail import CaseJail, SetupError, opened_case_jail
from snekhouse.jail.fork import ForkStart
from snekhouse.jail.generation import ForkServerError
from snekhouse.jail.start import Start
from snekhouse.jail.verdict import JAIL_FAILED
from snekhouse.service.runtime_state import RuntimeState

_log = logging.getLogger(__package__)

_MAX_AGE_S = 24 * 3600
"""Seconds after which NsJail ends a jail, if the server is gone."""


@dataclass
class _Held:
    """A jail, and the event that ends it."""

    cases: CaseJail
    over: anyio.Event = field(default_factory=anyio.Event)


class CaseJails:
    """Jails in which cases start from the state of a setup.

    A jail is used for one case after the other as long as nothing is left of the case before; otherwise the next case
    gets another one, in which the setup runs again.

    Attributes:
        count: How often the setup has run.
    """

    def __init__(self, tasks: TaskGroup, setup: Job, idle: anyio.Semaphore) -> None:
        """Prepare to open jails.

        Args:
            tasks: The task group that runs a task for each jail; cancelling it ends all.
            setup: The setup: its code as the last argument, its files, variables and limits.
            idle: Limits how many jails of all requests wait for their next case.
        """
        self._tasks, self._setup, self._idle = tasks, setup, idle
        self._free: list[_Held] = []
        self._failure: str | None = None
        self.count = 0

    async def run(self, state: RuntimeState, job: Job, observer: Observer) -> Result:
        """Run a case; the caller has a slot.

        Raises:
            BusyError: This host cannot limit sessions.
            RequestError: `limits.memory` is too small for a session.
            OSError: The host is out of processes, descriptors or memory.
        """
        if self._failure is not None:
            return Result(Status.INTERNAL_ERROR, JAIL_FAILED, message=self._failure)
        try:
            held = self._taken() if self._free else await self._opened(state)
        except SetupError as error:
            self._failure = str(error)
            return Result(Status.INTERNAL_ERROR, JAIL_FAILED, message=self._failure)
        except JailError as error:
            return Result(Status.INTERNAL_ERROR, JAIL_FAILED, message=str(error))
        try:
            async with held.cases.jail.lock:
                result = await held.cases.run(job, observer)
                with suppress(OSError):  # the jail is gone
                    await held.cases.prepare()
        except JailError as error:
            result = Result(Status.INTERNAL_ERROR, JAIL_FAILED, message=str(error))
        finally:
            if held.cases.is_clean and self._may_wait():
                self._free.append(held)
            else:
                held.over.set()
        return result

    def _may_wait(self) -> bool:
        """Return whether a jail may wait for another case: all requests together have only so many such jails."""
        try:
            self._idle.acquire_nowait()
        except anyio.WouldBlock:
            return False
        return True

    def _taken(self) -> _Held:
        self._idle.release()
        return self._free.pop()

    def close(self) -> None:
        """End the jails that wait."""
        while self._free:
            self._taken().over.set()

    async def _opened(self, state: RuntimeState) -> _Held:
        supervisor, cold = state.supervisor, state.preparation.starter.cold.lasting(_MAX_AGE_S)
        if supervisor and (generation := supervisor.generation_for(frozenset())):
            try:
                return await self._started(state, ForkStart(generation))
            except ForkServerError as error:
                _log.warning("runtime %s: a setup starts cold: %s", state.runtime.name, error)
        return await self._started(state, cold)

    async def _started(self, state: RuntimeState, start: Start) -> _Held:
        self.count += 1
        held: _Held = await self._tasks.start(self._hold, state, start)
        return held

    async def _hold(self, state: RuntimeState, start: Start, *, task_status: TaskStatus[_Held]) -> None:
        """Keep a jail until it is over."""
        is_started = False
        try:
            with state.preparation.used():
                async with opened_case_jail(state.prepared, self._setup, start) as cases:
                    held, is_started = _Held(cases), True
                    task_status.started(held)
                    try:
                        await held.over.wait()
                    finally:
                        with anyio.CancelScope(shield=True):
                            async with cases.jail.lock:
                                pass  # the case that ran has ended, and uses the jail no more
        except JailError as error:
            if not is_started:
                raise
            _log.warning("runtime %s: the jail of a case is lost: %s", state.runtime.name, error)
