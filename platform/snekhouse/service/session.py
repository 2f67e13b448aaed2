"""A session, and the jail that it lives in with its branches."""

import secrets
import time
from dataclasses import dataclass, field

import anyio

from snekhouse.errors import SessionGoneError
from snekhouse.jail.session import SessionJail, SessionState
from snekhouse.registry.models import Limits, Runtime

_ID_BYTES = 16


@dataclass
class Session:
    """A session.

    Attributes:
        runtime: The runtime that it started with.
        limits: Its limits.
        shared: The jail that it shares with its branches.
        state: The current state.
        id: Its name in URLs, which nobody can guess.
        checkpoint: The state before the current one; None if there was none, or if the session went back to it.
        created: When it was made, in seconds of a monotonic clock.
        used: When its last cell, branch or rollback ended.
        requests: How many cells, branches and rollbacks run or wait now.
        over: Set once it has ended.
    """

    runtime: Runtime
    limits: Limits
    shared: "SharedJail"
    state: SessionState
    id: str = field(default_factory=lambda: secrets.token_urlsafe(_ID_BYTES))
    checkpoint: SessionState | None = None
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

    def take(self, state: SessionState) -> None:
        """Make a state the current one: a copy of the current state, this state itself, or the checkpoint."""
        if state is self.checkpoint:
            self.state.end()
            self.checkpoint = None
        elif state is not self.state:
            if self.checkpoint:
                self.checkpoint.end()
            self.checkpoint = self.state
        self.state = state

    def close(self) -> None:
        """Kill its states."""
        self.state.end()
        if self.checkpoint:
            self.checkpoint.end()


@dataclass
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
    """

    jail: SessionJail
    sessions: set[str] = field(default_factory=set)
    busy: Session | None = None
    request: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    waiting: int = 0
    empty: anyio.Event = field(default_factory=anyio.Event)
    is_closed: bool = False

    def require_open(self) -> None:
        """Check that the jail takes more sessions.

        Raises:
            SessionGoneError: It is ending.
        """
        if self.is_closed:
            raise SessionGoneError("the jail of the session ended")
