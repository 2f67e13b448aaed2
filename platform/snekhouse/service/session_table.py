"""The sessions that are open, the reasons why others have ended, and the memory that they may hold together."""

import math
import time
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from snekhouse.errors import BusyError, SessionGoneError, SessionUnknownError
from snekhouse.host.per_worker_number import PerWorkerNumber
from snekhouse.jail.session import require_walls
from snekhouse.jail.session_state import SessionState
from snekhouse.registry.models import Limits, Runtime
from snekhouse.service.service import Service
from snekhouse.service.session import Holder, Session, SharedJail

_MAX_GONE = 1000
"""How many sessions that have ended are remembered, to answer with the reason."""

_MAX_RETRY_AFTER_S = 60
"""The longest time for which a client is asked to wait: somebody may end a session at any time."""

_MEASURE_PERIOD_S = 5.0
"""Seconds between two measurements of all jails: a program may use more memory while no cell runs."""

_REST_DELAY_S = 0.1
"""Seconds from a request until its jail is slowed down and measured.

Until then, states that ended have freed their memory. Cells that follow each other faster cost no change of the limit.
"""


class SessionTable:
    """The open sessions of a server by id."""

    def __init__(self, service: Service, tasks: TaskGroup, holder: Holder, room: PerWorkerNumber) -> None:
        """Make a table without sessions.

        Args:
            service: Has the limits.
            tasks: The task group for its tasks.
            holder: This worker.
            room: How many more sessions each worker may have.
        """
        self._service, self._tasks, self._holder, self._room = service, tasks, holder, room
        self._sessions: dict[str, Session] = {}
        self._gone: OrderedDict[str, str] = OrderedDict()
        self._memory = 0
        self._used: set[SharedJail] = set()
        self._is_used = anyio.Event()
        tasks.start_soon(self._look_after)

    def find(self, name: str) -> Session:
        """Find a session.

        Raises:
            SessionGoneError: It has ended; the text says why.
            SessionUnknownError: There was none with that name.
        """
        if reason := self._gone.get(name):
            raise SessionGoneError(reason)
        if self._holder.is_other_start(name):
            raise SessionGoneError(
                "the session belongs to another server, or its worker has restarted; POST /sessions makes a new one"
            )
        try:
            return self._sessions[name]
        except KeyError:
            raise SessionUnknownError("there is no such session; POST /sessions makes one") from None

    def require_room(self, client: str) -> None:
        """Check that a client may have another session.

        Args:
            client: Its network; empty if it is not known.

        Raises:
            BusyError: There are too many, or this host cannot limit sessions.
        """
        server = self._service.registry.server
        hint = "the operator can allow more with sessions in [server]"
        place = "server" if server.workers == 1 else "worker"
        if not server.sessions:
            raise BusyError(f"this {place} keeps no sessions; {hint}", retry_after=_MAX_RETRY_AFTER_S)
        if len(self._sessions) >= server.sessions:
            when = f"one ends after {server.session_idle:g} s without use, so try again later"
            message = f"all {server.sessions} sessions of this {place} are in use; {when}; {hint}"
            raise BusyError(message, retry_after=self._seconds_to_expiry(self._sessions.values()))
        most = server.sessions_per_address
        own = [each for each in self._sessions.values() if each.client == client]
        if client and most is not None and len(own) >= most:
            message = (
                f"your address may have at most {most} sessions at once (sessions_per_address); end one of them first"
            )
            raise BusyError(message, retry_after=self._seconds_to_expiry(own))
        require_walls(self._service.walls)

    def _seconds_to_expiry(self, sessions: Iterable[Session]) -> int:
        """Return when the first of some sessions may end, as seconds to wait: 1 to `_MAX_RETRY_AFTER_S`."""
        server = self._service.registry.server
        first = min(each.expires(server.session_idle, server.session_age) for each in sessions)
        return max(1, min(_MAX_RETRY_AFTER_S, math.ceil(first - time.monotonic())))

    def add(self, runtime: Runtime, limits: Limits, shared: SharedJail, state: SessionState, client: str) -> Session:
        """Add a session.

        Args:
            runtime: Its runtime.
            limits: Its limits.
            shared: Its jail.
            state: Its first state, which is killed if the session cannot be added.
            client: The network of the client that makes it; empty if it is not known.

        Raises:
            BusyError: There are too many sessions.
            SessionGoneError: The jail has ended.
        """
        try:
            self.require_room(client)
            shared.require_open()
        except (BusyError, SessionGoneError):
            state.close()
            raise
        keep = self._service.registry.server.checkpoints
        session = Session(self._holder.new_name(), runtime, limits, shared, state, keep, client)
        self._sessions[session.id] = session
        shared.sessions.add(session.id)
        self._tasks.start_soon(self._expire, session)
        self._count()
        self.note_use(shared)
        return session

    def end(self, session: Session, reason: str) -> None:
        """End a session, if it has not ended, and remember the reason."""
        if self._sessions.pop(session.id, None) is None:
            return
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
            self._memory -= shared.memory
            shared.memory, shared.is_closed = 0, True
            shared.empty.set()
        self._count()

    def close(self, shared: SharedJail, reason: str) -> None:
        """End all sessions of a jail, which takes no more."""
        shared.is_closed = True
        for name in tuple(shared.sessions):
            self.end(self._sessions[name], reason)

    def note_use(self, shared: SharedJail) -> None:
        """Note that a request used a jail, which is then slowed down and measured."""
        self._used.add(shared)
        self._is_used.set()

    async def _look_after(self) -> None:
        """Slow jails down after use, measure their memory, and end idle sessions if all together have too much."""
        due = anyio.current_time() + _MEASURE_PERIOD_S
        while True:
            self._count()
            with anyio.move_on_at(due):
                await self._is_used.wait()
            await anyio.sleep(_REST_DELAY_S)
            jails, self._used, self._is_used = self._used, set(), anyio.Event()
            if anyio.current_time() >= due:
                jails = {session.shared for session in self._sessions.values()}
                due = anyio.current_time() + _MEASURE_PERIOD_S
            for shared in jails:
                with suppress(OSError):  # the host is out of descriptors or memory for now
                    shared.rest()
                    self._measure_one(shared)
                await anyio.lowlevel.checkpoint()
            limit = self._service.registry.server.session_memory
            while limit is not None and self._memory > limit and (longest := self._longest_idle()):
                self.close(longest, f"all sessions together had more than {limit} bytes (session_memory)")

    def _measure_one(self, shared: SharedJail) -> None:
        if shared.sessions:
            memory = shared.jail.group.memory()
            self._memory += memory - shared.memory
            shared.memory = memory

    def _longest_idle(self) -> SharedJail | None:
        """Return the jail that has been idle for the longest time; None if a request runs or waits in each."""
        used: dict[SharedJail, float] = {}
        for session in self._sessions.values():
            last = math.inf if session.requests else session.used
            used[session.shared] = max(last, used.get(session.shared, 0.0))
        idle = [shared for shared, last in used.items() if last < math.inf]
        return min(idle, key=used.__getitem__, default=None)

    def _count(self) -> None:
        self._service.metrics.sessions_open(len(self._sessions), self._memory)
        self._room.own = self._service.registry.server.sessions - len(self._sessions)

    async def _expire(self, session: Session) -> None:
        """End a session that is idle for too long, or too old."""
        while not session.over.is_set():
            server, now = self._service.registry.server, time.monotonic()
            expires = session.expires(server.session_idle, server.session_age)
            if now >= session.created + server.session_age:
                self.end(session, f"the session was older than {server.session_age:g} s (session_age)")
            elif now >= expires:
                self.end(session, f"the session was idle for {server.session_idle:g} s (session_idle)")
            with anyio.move_on_after(expires - now):
                await session.over.wait()
