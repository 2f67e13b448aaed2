"""Sessions: interpreters that keep their state from one request to the next.

A session is a current state and the states before it, its checkpoints. A branch is another session in the same jail. So
branches share the files and the limits of their jail, and their cells run one at a time.

The request that holds the lock of a jail owns the states of its session. If the session ends meanwhile, the request is
cancelled, and then closes them.
"""

import logging
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
from anyio.abc import TaskGroup

from snekhouse.errors import BusyError, RequestError, SessionGoneError
from snekhouse.evaluation import NOBODY, File, Job, Observer
from snekhouse.host.per_worker_number import PerWorkerNumber
from snekhouse.jail.cell import CellResult, StateOutcome, run_cell
from snekhouse.jail.channel import RefusedError
from snekhouse.jail.protocol import Refusal
from snekhouse.jail.session import SessionJail, require_memory
from snekhouse.jail.session_files import write_file
from snekhouse.jail.session_state import SessionLostError
from snekhouse.registry.models import Runtime
from snekhouse.service.service import Service
from snekhouse.service.session import Holder, Session
from snekhouse.service.session_jails import SessionJails
from snekhouse.service.session_table import SessionTable

_log = logging.getLogger(__package__)

_MAX_WAITING = 8
"""How many requests may wait for the lock of a jail; they hold memory, and are in no other queue."""


_FILE_THREADS = 4
"""Requests that may list, open or remove files at once. Evaluations that return files need the other threads."""


class Sessions:
    """The sessions of a server.

    Attributes:
        file_threads: The threads that work on files for requests.
    """

    def __init__(self, service: Service, tasks: TaskGroup, holder: Holder, room: PerWorkerNumber) -> None:
        self._service = service
        self._table = SessionTable(service, tasks, holder, room)
        self.file_threads = anyio.CapacityLimiter(_FILE_THREADS)
        self._jails = SessionJails(tasks, lambda: service.registry.server, self._table.close)

    def find(self, name: str) -> Session:
        """Find a session.

        Raises:
            SessionGoneError: It has ended; the text says why.
            SessionUnknownError: There was none with that name.
        """
        return self._table.find(name)

    async def create(self, runtime: Runtime, job: Job, client: str = "") -> Session | Refusal:
        """Make a session.

        Args:
            runtime: One of the registry's runtimes.
            job: Its files, variables and limits.
            client: The network of the client that makes it; empty if it is not known.

        Returns:
            The session; or the file that could not be written.

        Raises:
            BusyError: There are too many sessions, or the runtime is unavailable, or the host is out of resources.
            RequestError: The session has too little memory to start.
            JailError: The session did not start.
        """
        self._table.require_room(client)
        async with self._service.admitted(runtime.name) as (state, _):
            shared = await self._jails.open(state, job)
            if isinstance(shared, Refusal):
                return shared
            try:
                return self._table.add(runtime, job.limits, shared, await shared.jail.first_state(), client)
            except (SessionLostError, SessionGoneError) as error:
                if shared.is_closed:
                    raise BusyError("the jail of the session ended before the session began") from error
                require_memory(shared.jail.group, job.limits)
                raise
            finally:
                if not shared.sessions:
                    shared.empty.set()

    async def run(self, session: Session, job: Job, observer: Observer = NOBODY) -> CellResult:
        """Run a cell.

        Args:
            session: The session.
            job: The cell: its code as the only argument, its files, input and limits.
            observer: Follows the cell.

        Raises:
            BusyError: The queue is full, or the host is out of resources.
            SessionGoneError: The session has ended meanwhile.
        """
        async with self._locked(session) as (jail, waited):
            observer.started()
            try:
                found, state = await run_cell(jail, session.state, session.checkpoint, job, observer)
            except SessionLostError as error:
                self._table.end(session, str(error))
                raise SessionGoneError(str(error)) from error
            except BaseException:
                if session.state.process < 0:  # it had threads, and ran the cell itself
                    if session.checkpoint:
                        session.take(session.checkpoint)
                    else:
                        self._table.end(
                            session,
                            "a cell was cancelled; its state had threads, so there was no checkpoint to go back to",
                        )
                raise
            if found.outcome is StateOutcome.LOST:
                was_killed = found.result.returncode is None or found.result.signal is not None
                self._table.end(session, found.result.message if was_killed else "the program ended its interpreter")
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
        self._table.require_room(session.client)
        async with self._locked(session) as (jail, _):
            if session.state.threads:
                raise BusyError("a session with threads cannot branch; end its threads first")
            try:
                copy = await jail.fork(session.state)
            except RefusedError as error:
                raise BusyError(str(error)) from error
            except SessionLostError as error:
                raise await self._fallen_back(session, error) from error
            return self._table.add(session.runtime, session.limits, session.shared, copy, session.client)

    async def roll_back(self, session: Session) -> None:
        """Go back to the latest checkpoint of a session.

        Raises:
            RequestError: There is none.
            BusyError: Too many requests wait, or the server stops.
            SessionGoneError: The session has ended.
        """
        async with self._locked(session):
            if session.checkpoint is None:
                raise RequestError(
                    "the session has no checkpoint: no cell has run, or all are used; raise [server] checkpoints"
                )
            if session.checkpoint.has_ended:
                raise RequestError("the checkpoint has ended: a program killed it; the session stays as it is")
            session.take(session.checkpoint)

    async def write_file(self, session: Session, file: File) -> None:
        """Write a file below the home of a session.

        Raises:
            RequestError: The file could not be written; the text says why.
            BusyError: Too many requests wait, the state cannot be copied, or the server stops.
            SessionGoneError: The session has ended.
        """
        async with self._locked(session) as (jail, _):
            try:
                await write_file(jail, session.state, file, session.limits)
            except RefusedError as error:
                raise BusyError(str(error)) from error
            except SessionLostError as error:
                raise await self._fallen_back(session, error) from error

    async def _fallen_back(self, session: Session, error: SessionLostError) -> SessionGoneError | BusyError:
        """Go back to the checkpoint of a session whose state has ended, or end it; return what to tell the client."""
        if session.checkpoint is None or await session.checkpoint.ends_with_others():
            self._table.end(session, str(error))
            return SessionGoneError(str(error))
        session.take(session.checkpoint)
        return BusyError(f"{error}; the session went back to its checkpoint")

    def interrupt(self, session: Session) -> None:
        """Raise KeyboardInterrupt in the cell that runs, or that is about to; without one, do nothing."""
        jail = session.shared.jail
        if session.shared.busy is not session:
            return
        if jail.running:
            jail.running.send_signal(signal.SIGINT)
        else:
            jail.is_interrupted = True

    def end(self, session: Session) -> None:
        """End a session, and the cell that runs in it."""
        self._table.end(session, "the session was deleted")

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
                self._table.find(session.id)  # it may have ended meanwhile
                shared.require_open()
                async with self._owned(session) as waited:
                    yield shared.jail, waited
            finally:
                shared.jail.lock.release()
        finally:
            session.requests -= 1
            session.used = time.monotonic()
            self._table.note_use(shared)

    @asynccontextmanager
    async def _owned(self, session: Session) -> AsyncIterator[float]:
        """Own the states of a session while the body runs; cancel the body if the session ends.

        Raises:
            SessionGoneError: The session has ended meanwhile.
        """
        shared = session.shared
        shared.busy, shared.jail.is_interrupted = session, False
        try:
            with anyio.CancelScope() as shared.request:
                async with self._service.admitted(session.runtime.name) as (_, waited):
                    shared.wake(session.limits.cpus)
                    yield waited
            if shared.request.cancelled_caught:
                self.find(session.id)  # raises, with the reason
        finally:
            shared.busy = None
            if session.over.is_set():
                session.close()


@asynccontextmanager
async def opened_sessions(
    service: Service, *, worker: int = 0, room: PerWorkerNumber | None = None
) -> AsyncIterator[Sessions]:
    """Yield the sessions of a service, and end all of them on leaving; an error of the body is raised as it is.

    Args:
        service: The service.
        worker: The number of this worker.
        room: Tells other workers how many more sessions this one may have; None if this is the only worker.
    """
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        try:
            yield Sessions(service, tasks, Holder(worker), room or PerWorkerNumber())
        except Exception as error:  # noqa: BLE001 - raised again below, outside the exception group
            failure = error
        tasks.cancel_scope.cancel()
    if failure:
        raise failure
