"""Sessions: interpreters that keep their state from one request to the next.

A session is a current state and the state before it, its checkpoint. A branch is another session in the same jail. So
branches share the files and the limits of their jail, and their cells run one at a time.

The request that holds the lock of a jail owns the states of its session. If the session ends meanwhile, the request is
cancelled, and then closes them.
"""

import logging
import signal
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
from anyio.abc import TaskGroup

from snekhouse.errors import BusyError, RequestError, SessionGoneError, SessionUnknownError
from snekhouse.evaluation import Job
from snekhouse.jail.cell import CellResult, StateOutcome, run_cell
from snekhouse.jail.channel import RefusedError
from snekhouse.jail.protocol import Refusal
from snekhouse.jail.session import SessionJail, SessionLostError, SessionState, require_memory
from snekhouse.registry.models import Limits, Runtime
from snekhouse.service.service import Service
from snekhouse.service.session import Session, SharedJail
from snekhouse.service.session_jails import SessionJails

_log = logging.getLogger(__package__)

_MAX_GONE = 1000
"""How many sessions that have ended are remembered, to answer with the reason."""

_MAX_WAITING = 8
"""How many requests may wait for the lock of a jail; they hold memory, and are in no other queue."""

_IDLE_CPUS = 0.01
"""CPUs that the processes of a jail may use while no cell runs."""

_NEEDED = frozenset({"memory", "pids", "cpu"})
"""What a cgroup must limit: between two cells, the server watches nothing."""


class Sessions:
    """The sessions of a server."""

    def __init__(self, service: Service, tasks: TaskGroup) -> None:
        self._service, self._tasks = service, tasks
        self._jails = SessionJails(tasks, lambda: service.registry.server.session_age, self._close)
        self._sessions: dict[str, Session] = {}
        self._gone: OrderedDict[str, str] = OrderedDict()

    def find(self, name: str) -> Session:
        """Find a session.

        Raises:
            SessionGoneError: It has ended; the text says why.
            SessionUnknownError: There was none with that name.
        """
        if reason := self._gone.get(name):
            raise SessionGoneError(reason)
        try:
            return self._sessions[name]
        except KeyError:
            raise SessionUnknownError("there is no such session; POST /sessions makes one") from None

    async def create(self, runtime: Runtime, job: Job) -> Session | Refusal:
        """Make a session.

        Args:
            runtime: One of the registry's runtimes.
            job: Its files and limits.

        Returns:
            The session; or the file that could not be written.

        Raises:
            BusyError: There are too many sessions, or the runtime is unavailable, or the host is out of resources.
            RequestError: The session has too little memory to start.
            JailError: The session did not start.
        """
        self._require_room()
        async with self._service.admitted(runtime.name) as (state, _):
            shared = await self._jails.open(state, job)
            if isinstance(shared, Refusal):
                return shared
            try:
                return self._added(runtime, job.limits, shared, await shared.jail.first_state())
            except (SessionLostError, SessionGoneError) as error:
                if shared.is_closed:
                    raise BusyError("the jail of the session ended before the session began") from error
                require_memory(shared.jail.group, job.limits)
                raise
            finally:
                if not shared.sessions:
                    shared.empty.set()

    async def run(self, session: Session, job: Job) -> CellResult:
        """Run a cell.

        Raises:
            BusyError: The queue is full, or the host is out of resources.
            SessionGoneError: The session has ended meanwhile.
        """
        async with self._locked(session) as (jail, waited):
            try:
                found, state = await run_cell(jail, session.state, session.checkpoint, job)
            except SessionLostError as error:
                self._end(session, str(error))
                raise SessionGoneError(str(error)) from error
            except BaseException:
                if session.state.process < 0:  # it had threads, and ran the cell itself
                    if session.checkpoint:
                        session.take(session.checkpoint)
                    else:
                        self._end(session, "a cell was cancelled in a state with threads, which has no copy")
                raise
            if found.outcome is StateOutcome.LOST:
                was_killed = found.result.returncode is None or found.result.signal is not None
                self._end(session, found.result.message if was_killed else "the program ended its interpreter")
            else:
                session.take(state)
        fields = {"runtime": session.runtime.name, "status": found.result.status.value, "state": found.outcome.value}
        _log.info("cell", extra=fields)
        usage = replace(found.result.usage, queue_time=waited)
        return replace(found, result=replace(found.result, usage=usage))

    async def branch(self, session: Session) -> Session:
        """Make another session with a copy of the current state of this one, in the same jail.

        Raises:
            BusyError: There are too many sessions, or the state has threads and cannot be copied.
            SessionGoneError: The session has ended.
        """
        self._require_room()
        async with self._locked(session) as (jail, _):
            if session.state.threads:
                raise BusyError("a session with threads cannot branch; end its threads first")
            try:
                copy = await jail.fork(session.state)
            except RefusedError as error:
                raise BusyError(str(error)) from error
            except SessionLostError as error:
                self._end(session, str(error))
                raise SessionGoneError(str(error)) from error
            return self._added(session.runtime, session.limits, session.shared, copy)

    async def roll_back(self, session: Session) -> None:
        """Go back to the checkpoint of a session.

        Raises:
            RequestError: There is none.
            BusyError: Too many requests wait, or the server stops.
            SessionGoneError: The session has ended.
        """
        async with self._locked(session):
            if session.checkpoint is None:
                raise RequestError(
                    "the session has no checkpoint: its state contains no cell since it began or was rolled back"
                )
            session.take(session.checkpoint)

    def interrupt(self, session: Session) -> None:
        """Raise KeyboardInterrupt in the cell that runs; without one, do nothing."""
        jail = session.shared.jail
        if session.shared.busy is session and jail.running:
            jail.running.send_signal(signal.SIGINT)

    def end(self, session: Session) -> None:
        """End a session, and the cell that runs in it."""
        self._end(session, "the session was deleted")

    @asynccontextmanager
    async def _locked(self, session: Session) -> AsyncIterator[tuple[SessionJail, float]]:
        """Wait for the lock of the session's jail and for a slot; hold both while the body runs.

        Raises:
            BusyError: Too many requests wait, or the host is out of resources, or the server stops.
            SessionGoneError: The session has ended.
        """
        shared = session.shared
        if shared.waiting >= _MAX_WAITING:
            raise BusyError(f"{shared.waiting} requests wait for this session and its branches already")
        session.requests += 1
        try:
            shared.waiting += 1
            try:
                await shared.jail.lock.acquire()
            finally:
                shared.waiting -= 1
            try:
                self.find(session.id)  # it may have ended meanwhile
                async with self._owned(session) as waited:
                    yield shared.jail, waited
            finally:
                shared.jail.lock.release()
        finally:
            session.requests -= 1
            session.used = time.monotonic()

    @asynccontextmanager
    async def _owned(self, session: Session) -> AsyncIterator[float]:
        """Own the states of a session while the body runs; cancel the body if the session ends.

        Raises:
            SessionGoneError: The session has ended meanwhile.
        """
        shared = session.shared
        shared.busy = session
        try:
            with anyio.CancelScope() as shared.request:
                async with self._service.admitted(session.runtime.name) as (_, waited):
                    shared.jail.group.limit_cpus(session.limits.cpus)
                    try:
                        yield waited
                    finally:
                        if not shared.is_closed:  # else its processes end now, which takes CPU time
                            shared.jail.group.limit_cpus(_IDLE_CPUS)
            if shared.request.cancelled_caught:
                self.find(session.id)  # raises, with the reason
        finally:
            shared.busy = None
            if session.over.is_set():
                session.close()

    def _require_room(self) -> None:
        limit = self._service.registry.server.sessions
        if len(self._sessions) >= limit:
            hint = "end one, or raise sessions in [server]" if limit else "set sessions in [server] to allow them"
            raise BusyError(f"the server has {len(self._sessions)} sessions, and may have {limit}; {hint}")
        if missing := _NEEDED - self._service.walls:
            names = ", ".join(sorted(missing))
            raise BusyError(f"sessions need cgroups that limit {names}, and this host has none; see snekhouse doctor")

    def _added(self, runtime: Runtime, limits: Limits, shared: SharedJail, state: SessionState) -> Session:
        try:
            self._require_room()
            shared.require_open()
        except (BusyError, SessionGoneError):
            state.end()
            raise
        session = Session(runtime, limits, shared, state)
        self._sessions[session.id] = session
        shared.sessions.add(session.id)
        self._service.metrics.sessions_open(len(self._sessions))
        self._tasks.start_soon(self._expire, session)
        return session

    def _end(self, session: Session, reason: str) -> None:
        if self._sessions.pop(session.id, None) is None:
            return
        self._service.metrics.sessions_open(len(self._sessions))
        self._gone[session.id] = reason
        while len(self._gone) > _MAX_GONE:
            self._gone.popitem(last=False)
        session.over.set()
        shared = session.shared
        if shared.busy is session:
            shared.request.cancel()  # and then this request closes the states
        else:
            session.close()
        shared.sessions.discard(session.id)
        if not shared.sessions:
            shared.empty.set()

    def _close(self, shared: SharedJail, reason: str) -> None:
        shared.is_closed = True
        for name in tuple(shared.sessions):
            self._end(self._sessions[name], reason)

    async def _expire(self, session: Session) -> None:
        """End a session that is idle for too long, or too old."""
        while not session.over.is_set():
            server, now = self._service.registry.server, time.monotonic()
            expires = session.expires(server.session_idle, server.session_age)
            if now >= session.created + server.session_age:
                self._end(session, f"the session was older than {server.session_age:g} s (session_age)")
            elif now >= expires:
                self._end(session, f"the session was idle for {server.session_idle:g} s (session_idle)")
            with anyio.move_on_after(expires - now):
                await session.over.wait()


@asynccontextmanager
async def opened_sessions(service: Service) -> AsyncIterator[Sessions]:
    """Yield the sessions of a service, and end all of them on leaving; an error of the body is raised as it is."""
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        try:
            yield Sessions(service, tasks)
        except Exception as error:  # noqa: BLE001 - raised again below, outside the exception group
            failure = error
        tasks.cancel_scope.cancel()
    if failure:
        raise failure
