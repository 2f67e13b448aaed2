"""The jails of sessions, each kept by a task while there are sessions in it."""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import anyio
from anyio.abc import TaskGroup, TaskStatus

from snekhouse.errors import JailError
from snekhouse.evaluation import Job
from snekhouse.jail.fork import ForkStart
from snekhouse.jail.generation import ForkServerError
from snekhouse.jail.protocol import Refusal
from snekhouse.jail.session import opened_session
from snekhouse.jail.start import Start
from snekhouse.registry.models import Limits
from snekhouse.registry.server import Server
from snekhouse.service.runtime_state import RuntimeState
from snekhouse.service.session import SharedJail
from snekhouse.waiting import first

_log = logging.getLogger(__package__)


class SessionJails:
    """Opens jails for sessions, and ends them."""

    def __init__(
        self, tasks: TaskGroup, settings: Callable[[], Server], close: Callable[[SharedJail, str], None]
    ) -> None:
        """Prepare to open jails.

        Args:
            tasks: The task group that runs a task for each jail.
            settings: Gives the settings of the server as they are now.
            close: Called when a jail ends, with the reason; ends its sessions.
        """
        self._tasks, self._settings, self._close = tasks, settings, close

    async def open(self, state: RuntimeState, job: Job) -> SharedJail | Refusal:
        """Open a jail, which ends when no session is left in it.

        Args:
            state: The state of its runtime.
            job: The files, variables and limits of the session.

        Returns:
            The jail, which has no sessions yet; or the file that could not be written.

        Raises:
            BusyError: This host cannot limit sessions.
            RequestError: `limits.memory` is too small for a session.
            JailError: The jail did not start.
            OSError: The host is out of processes, descriptors or memory.
        """
        supervisor = state.supervisor
        if supervisor and (generation := supervisor.generation_for(frozenset())):
            try:
                return await self._started(state, job, ForkStart(generation))
            except ForkServerError as error:
                _log.warning("runtime %s: a session starts cold: %s", state.runtime.name, error)
        age = int(self._settings().session_age) + 1
        return await self._started(state, job, state.preparation.starter.cold.lasting(age))

    async def _started(self, state: RuntimeState, job: Job, start: Start) -> SharedJail | Refusal:
        shared: SharedJail | Refusal = await self._tasks.start(self._hold, state, job, start)
        return shared

    async def _hold(
        self, state: RuntimeState, job: Job, start: Start, *, task_status: TaskStatus[SharedJail | Refusal]
    ) -> None:
        """Keep a jail while there are sessions in it."""
        is_started = False
        try:
            with state.preparation.used():
                opening = opened_session(state.prepared, job, start, checkpoints=self._settings().checkpoints)
                async with opening as jail:
                    is_started = True
                    if isinstance(jail, Refusal):
                        task_status.started(jail)
                        return
                    shared = SharedJail(jail)
                    task_status.started(shared)
                    try:
                        reason = await first(
                            partial(_after, shared.empty, ""),
                            partial(_after, state.preparation.retired, _PREPARED_AGAIN),
                            partial(_ended, shared),
                        )
                        self._close(shared, reason)
                    finally:
                        await self._clear(shared, state.runtime.limits)
        except JailError as error:
            if not is_started:
                raise
            _log.warning("runtime %s: the jail of a session is lost: %s", state.runtime.name, error)
        except Exception as error:
            if not is_started:
                raise
            # The jail is gone, whatever went wrong; nobody waits for this task, which must not end the server.
            _log.exception("runtime %s: a session's jail ended with an error: %s", state.runtime.name, error)

    async def _clear(self, shared: SharedJail, limits: Limits) -> None:
        """End the sessions and kill the processes of a jail."""
        self._close(shared, "the jail of the session ended")
        with suppress(OSError):
            shared.jail.group.limit_cpus(limits.cpus)  # else the end of the processes takes a hundred times as long
            shared.jail.kill_all()
        with anyio.CancelScope(shield=True):
            async with shared.jail.lock:
                pass  # the request that ran has ended, and uses the jail no more


_ANSWER_TIMEOUT_S = 2.0
"""Seconds for the cell that runs in a jail which has ended to make its answer."""

_PREPARED_AGAIN = "the runtime of the session was prepared again"


async def _after(event: anyio.Event, reason: str) -> str:
    await event.wait()
    return reason


async def _ended(shared: SharedJail) -> str:
    """Wait until the first process has ended, and the cell that it took down has its answer: that its state is lost."""
    jail = shared.jail
    await jail.guest.ended()
    shared.is_closed = True  # requests that wait for the lock begin nothing in it
    with anyio.move_on_after(_ANSWER_TIMEOUT_S):
        async with jail.lock:
            pass
    if jail.group.usage().oom_kills:
        return "the interpreter of the session ended; the kernel killed some of its processes because of limits.memory"
    return "the interpreter of the session ended"
