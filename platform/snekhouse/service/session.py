"""A session, and the jail that it lives in with its branches."""

import re
import secrets
import time
from dataclasses import dataclass, field

import anyio

from snekhouse.errors import SessionGoneError
from snekhouse.jail.session import SessionJail
from snekhouse.jail.session_state import SessionState
from snekhouse.registry.models import Limits, Runtime

_SECRET_BYTES = 16

_NAME = re.compile(r"(\d{1,4})-([0-9a-f]{6})\..+")
"""The name of a session: the worker that holds it, which start of this worker, and a secret."""


@dataclass(frozen=True, slots=True)
class Holder:
    """What holds sessions: one start of a worker.

    Attributes:
        worker: Its number.
        start: Differs for each start of a worker.
    """

    worker: int = 0
    start: str = field(default_factory=lambda: secrets.token_hex(3))

    def new_name(self) -> str:
        """Return a name for a session in URLs, which nobody can guess."""
        return f"{self.worker}-{self.start}.{secrets.token_urlsafe(_SECRET_BYTES)}"

    def is_other_start(self, name: str) -> bool:
        """Return whether a name is that of a session before a restart."""
        match = _NAME.fullmatch(name)
        return bool(match and match[2] != self.start)


def worker_of(name: str) -> int | None:
    """Return the number of the worker that holds a session; None if no session has such a name."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


@dataclass
class Session:
    """A session.

    Attributes:
        id: Its name in URLs.
        runtime: The runtime that it started with.
        limits: Its limits.
        shared: The jail that it shares with its branches.
        state: The current state.
        keep: How many checkpoints it keeps.
        client: The network of the client that made it (`client_network`); empty if it is not known.
        checkpoints: The states before the current one, the latest last, as far as they are kept.
        created: When it was made, in seconds of a monotonic clock.
        used: When its last cell, branch, rollback or written file ended.
        requests: How many cells, branches, rollbacks and writes of files run or wait now.
        over: Set once it has ended.
    """

    id: str
    runtime: Runtime
    limits: Limits
    shared: "SharedJail"
    state: SessionState
    keep: int
    client: str = ""
    checkpoints: list[SessionState] = field(default_factory=list)
    created: float = field(default_factory=time.monotonic)
    used: float = field(default_factory=time.monotonic)
    requests: int = 0
    over: anyio.Event = field(default_factory=anyio.Event)

    def expires(self, idle: float, age: float) -> float:
        """Return when it ends if nobody uses it, in seconds of a monotonic clock.

        Args:
            idle: Seconds after its last use until it ends.
            age: Seconds until it ends in any case.
        """
        return min(self.created + age, (time.monotonic() if self.requests else self.used) + idle)

    @property
    def checkpoint(self) -> SessionState | None:
        """The latest checkpoint; None if there is none."""
        return self.checkpoints[-1] if self.checkpoints else None

    def take(self, state: SessionState) -> None:
        """Make a state the current one: a copy of the current state, this state itself, or the latest checkpoint."""
        if state is self.checkpoint:
            self.state.close()
            self.checkpoints.pop()
        elif state is not self.state:
            self.checkpoints.append(self.state)
            while len(self.checkpoints) > self.keep:
                self.checkpoints.pop(0).close()
        self.state = state

    def close(self) -> None:
        """Kill its states."""
        for state in (self.state, *self.checkpoints):
            state.close()


IDLE_CPUS = 0.01
"""CPUs that the processes of a jail may use while no request uses it."""


@dataclass(eq=False)
class SharedJail:
    """A jail, and the sessions in it.

    Attributes:
        jail: The jail.
        sessions: The ids of the sessions in it.
        busy: The session whose request holds the lock of the jail now.
        request: Cancels this request.
        waiting: How many requests wait for the lock.
        empty: Set once there are no sessions left.
        is_closed: Whether the jail is ending, and takes no more sessions.
        memory: Bytes that it held when this was last measured.
        is_slow: Whether its processes may use only `IDLE_CPUS`.
        files: Held while a request lists, opens or removes files of its home.
    """

    jail: SessionJail
    sessions: set[str] = field(default_factory=set)
    busy: Session | None = None
    request: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    waiting: int = 0
    empty: anyio.Event = field(default_factory=anyio.Event)
    is_closed: bool = False
    memory: int = 0
    is_slow: bool = False
    files: anyio.Lock = field(default_factory=anyio.Lock)

    def wake(self, cpus: float) -> None:
        """Let the processes use CPUs again, for a request that uses the jail."""
        if self.is_slow:
            self.jail.group.limit_cpus(cpus)
            self.is_slow = False

    def rest(self) -> None:
        """Slow the processes down if no request uses the jail: a program may have left threads that run."""
        if not (self.busy or self.is_closed or self.is_slow):
            self.jail.group.limit_cpus(IDLE_CPUS)
            self.is_slow = True

    def require_open(self) -> None:
        """Check that the jail takes more sessions.

        Raises:
            SessionGoneError: It is ending.
        """
        if self.is_closed:
            raise SessionGoneError("the jail of the session ended")
