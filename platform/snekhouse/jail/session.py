"""A session in its jail: states that fork copies of themselves, and the cells that run in them.

Everything that a state sends is a claim of the program, which can change its own interpreter. So messages are bounded,
and a program that breaks the protocol loses its cell.
"""

import os
import signal
from collections.abc import AsyncIterator, Container, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field, replace

import anyio

from snekhouse.errors import BusyError, JailError, RequestError
from snekhouse.evaluation import Job
from snekhouse.host.cgroups import RunGroup
from snekhouse.host.process_marks import inner_pid
from snekhouse.host.processes import JailProcesses, start_time
from snekhouse.jail.channel import Channel, RefusedError, opened_channel
from snekhouse.jail.diagnosis import diagnose
from snekhouse.jail.generation import ANSWER_TIMEOUT_S
from snekhouse.jail.home_files import KnownFiles
from snekhouse.jail.inputs import Request, stdin_file
from snekhouse.jail.limiting import limit_guest
from snekhouse.jail.prepared import PreparedRuntime
from snekhouse.jail.protocol import Order, Refusal, encode_request
from snekhouse.jail.session_state import SessionLostError, SessionState
from snekhouse.jail.start import Guest, Start
from snekhouse.jail.streams import output_streams
from snekhouse.profile.rendering import START_TIMEOUT_S
from snekhouse.registry.models import Limits

_OUTPUT_LIMIT = 1 << 16
"""Bytes that are kept of what the interpreter prints while a session starts."""

_OWN_PROCESSES = 2
"""Processes of a session that do not count as the program's, besides its checkpoints: the first one, and a state."""

_KILL_TIMEOUT_S = 2.0
"""Seconds until the processes of a cell must be gone; a program that forks faster than this loses its session."""
_KILL_PAUSE_S, _MAX_KILL_PAUSE_S = 0.001, 0.02
"""Seconds between the first two attempts to kill all of them, and the longest pause between two later ones."""

_FORK_PAUSES_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
"""Seconds between attempts to fork a state."""


@dataclass
class SessionJail:
    """The jail of a session.

    Attributes:
        prepared: Its runtime.
        guest: Its first process.
        group: Its cgroup.
        processes: Its processes, seen from the host.
        home: Descriptor of its home.
        known: Files of the home that answers have returned or requests have sent.
        states: Process ids of the states that are not closed.
        lock: Held while a cell runs or a state forks, because a jail does one of these at a time.
        running: The state that runs a cell now.
        is_interrupted: Whether to interrupt the cell that begins next.
        last_fork: The process id, inside, of the last copy of a state.
    """

    prepared: PreparedRuntime
    guest: Guest
    group: RunGroup
    processes: JailProcesses
    home: int
    known: KnownFiles
    states: set[int] = field(default_factory=set)
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    running: SessionState | None = None
    is_interrupted: bool = False
    last_fork: int = 0

    async def first_state(self) -> SessionState:
        """Wait for the state with which the session begins.

        Raises:
            JailError: It did not start.
        """
        with ExitStack() as held:
            try:
                with anyio.fail_after(START_TIMEOUT_S):
                    return await self._meet(self.guest.channel, held)
            except (JailError, TimeoutError) as error:
                raise SessionLostError(_NO_ANSWER) from error

    async def fork(self, state: SessionState) -> SessionState:
        """Fork a copy of a state, which then belongs to the caller.

        A process counts until it has been reaped, a little after its end. So a fork that the kernel refuses is tried
        again, because a state that has just been closed may make room.

        Raises:
            RefusedError: The kernel does not let it fork; the text says why.
            SessionLostError: The state does not follow orders.
            OSError: The host is out of descriptors.
        """
        try:
            with anyio.fail_after(ANSWER_TIMEOUT_S):
                for pause in _FORK_PAUSES_S:
                    with suppress(RefusedError):
                        return await self._fork(state)
                    await anyio.sleep(pause)
                return await self._fork(state)
        except TimeoutError as error:
            raise SessionLostError(_NO_ANSWER) from error

    async def _fork(self, state: SessionState) -> SessionState:
        with ExitStack() as held:
            channel, other = held.enter_context(opened_channel())
            with other:
                try:
                    state.channel.order(Order.FORK.value, other.fileno())
                except OSError as error:
                    raise SessionLostError(_NO_ANSWER) from error
            try:
                copy = await self._meet(channel, held)
            except RefusedError:
                raise
            except JailError as error:
                raise SessionLostError(_NO_ANSWER) from error
            copy.cells = state.cells
            return copy

    async def _meet(self, channel: Channel, held: ExitStack) -> SessionState:
        pid = await channel.receive_pid()
        try:
            process = self.processes.open(pid)
        except OSError as error:
            raise SessionLostError("the session's interpreter ended") from error
        held.callback(os.close, process)
        self.states.add(pid)
        held.callback(self.states.discard, pid)
        self.last_fork = inner_pid(pid)
        return SessionState(channel, pid, process, start_time(pid), held.pop_all())

    async def begin_cell(self, state: SessionState, request: Request, streams: Sequence[int]) -> Refusal | None:
        """Order a state to run a cell, and wait until it has written the files.

        Args:
            state: The state.
            request: The cell: four arguments (docs/protocol.md), and files to write first. Without arguments, the
                state only writes the files.
            streams: Descriptors of its standard input, output and error. The caller closes them after this.

        Returns:
            None; or the file that could not be written, and then the cell does not run.

        Raises:
            JailError: The state does not follow the order.
            OSError: The same; its end of the channel is closed.
        """
        state.channel.order(Order.RUN_CELL.value, *streams)
        for piece in encode_request(request.args, (), request.files):
            await state.channel.send(piece)
        report = await state.channel.receive_report(len(request.files))
        if isinstance(report, Refusal):
            return report
        self.known.add(request.files, report)
        return None

    async def kill(self, state: SessionState) -> None:
        """Kill a state, and all processes that started after it, even if the task is cancelled; close the state.

        Raises:
            SessionLostError: The program starts processes faster than they can be killed.
        """
        if state.process < 0:
            return
        pause = _KILL_PAUSE_S
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(_KILL_TIMEOUT_S) as patience:
                state.send_signal(signal.SIGKILL)
                while self.kill_all(since=state.started, keep=self.states - {state.pid}):
                    await anyio.sleep(pause)
                    pause = min(2 * pause, _MAX_KILL_PAUSE_S)
                await state.ended()
            state.close()
        if patience.cancelled_caught:
            raise SessionLostError("the program starts processes faster than they can be killed")

    def kill_all(self, *, since: int = 0, keep: Container[int] = ()) -> bool:
        """Kill the processes of the program, as `JailProcesses.kill` does; return whether there were any to kill."""
        return self.processes.kill(self.group.processes(), since=since, keep=keep)


NEEDED_WALLS = frozenset({"memory", "pids", "cpu"})
"""What a cgroup must limit for sessions: between two cells, the server watches nothing."""


def require_walls(walls: frozenset[str]) -> None:
    """Check that a host can limit sessions.

    Args:
        walls: What its cgroups limit.

    Raises:
        BusyError: It cannot.
    """
    if missing := NEEDED_WALLS - walls:
        names = ", ".join(sorted(missing))
        raise BusyError(f"sessions need cgroups that limit {names}, and this host has none; see snekhouse doctor")


def require_memory(group: RunGroup, limits: Limits) -> None:
    """Raise an error if a session did not start because its memory was used up.

    Raises:
        RequestError: Its memory was used up.
    """
    if group.usage().oom_kills:
        raise RequestError(
            f"limits.memory: {limits.memory} bytes are not enough for a session; send a higher limit, or leave it out"
        )


_NO_ANSWER = "the session's interpreter does not answer"


@asynccontextmanager
async def opened_session(
    prepared: PreparedRuntime, job: Job, start: Start, *, checkpoints: int
) -> AsyncIterator[SessionJail | Refusal]:
    """Open the jail of a session, and end it on leaving.

    Args:
        prepared: The runtime.
        job: The files, variables and limits of the session; the rest is not used.
        start: How its first process starts.
        checkpoints: How many checkpoints the session keeps; their processes do not count as the program's.

    Yields:
        The session; or the file that could not be written, if one could not.

    Raises:
        BusyError: This host cannot limit sessions.
        RequestError: `limits.memory` is too small for a session.
        JailError: The session did not start.
        OSError: The host is out of processes, descriptors or memory.
    """
    request = replace(Request.of(job), args=None)
    limits = job.limits.model_copy(update={"processes": job.limits.processes + _OWN_PROCESSES + checkpoints})
    async with AsyncExitStack() as held:
        starting = await held.enter_async_context(AsyncExitStack())
        (output,) = starting.enter_context(output_streams(_OUTPUT_LIMIT, apart=False))
        stdin = await starting.enter_async_context(stdin_file(b""))
        guest = await held.enter_async_context(start.guest(prepared, limits, (stdin, output.writer, output.writer)))
        require_walls(guest.group.walls if guest.group else frozenset())
        assert guest.group  # noqa: S101 - it has walls
        try:
            with anyio.fail_after(START_TIMEOUT_S):
                hello = await guest.hello()
                held.callback(os.close, hello.home)
                limit_guest(hello.pid, guest.group, limits, prepared.runtime, held)
                processes = held.enter_context(closing(JailProcesses(hello.pid)))
                report = await guest.request(request)
        except TimeoutError as error:
            raise JailError("the session does not start") from error
        except JailError as error:
            guest_exit = await guest.end()
            require_memory(guest.group, limits)
            output.close_writer()
            reason = diagnose(prepared.runtime, guest_exit, await output.last_lines())
            raise type(error)(reason) from error
        await starting.aclose()
        if isinstance(report, Refusal):
            yield report
            return
        yield SessionJail(prepared, guest, guest.group, processes, hello.home, KnownFiles(request.files, report))
