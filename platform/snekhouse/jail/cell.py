"""One cell of a session: run it in a copy of the current state, and decide which state is current afterwards."""

import os
import signal
import time
from dataclasses import dataclass, field, replace
from enum import StrEnum

import anyio
import anyio.to_thread

from snekhouse.errors import JailError
from snekhouse.evaluation import NOBODY, Job, Observer, Result, Status, Usage
from snekhouse.host.cgroups import GroupUsage
from snekhouse.jail.cell_report import CellReport
from snekhouse.jail.channel import RefusedError
from snekhouse.jail.conclusion import conclude, with_error
from snekhouse.jail.generation import ANSWER_TIMEOUT_S
from snekhouse.jail.inputs import Request, stdin_file
from snekhouse.jail.printed import Printed, opened_output
from snekhouse.jail.protocol import CellEnd, Order, Refusal
from snekhouse.jail.session import SessionJail
from snekhouse.jail.session_state import SessionLostError, SessionState
from snekhouse.jail.start import GuestExit
from snekhouse.jail.streams import OutputLimitError
from snekhouse.jail.verdict import KILLED, StopReason, judge
from snekhouse.profile.rendering import START_TIMEOUT_S
from snekhouse.waiting import first

_START_TIME_S = 2.0
_BYTES_PER_S = 1 << 20
"""Seconds for a state to begin a cell, and bytes of files that it writes in another second. The program of an earlier
cell can delay this, so what takes longer counts as time of the cell."""

_END_TIMEOUT_S = 0.2
"""Seconds to wait until a process has ended, after its side of the channel was closed.

If it still runs after that, the program has closed the channel.
"""


class StateOutcome(StrEnum):
    """What happened to the state of a session."""

    KEPT = "kept"
    """The current state contains the cell."""
    ROLLED_BACK = "rolled_back"
    """The current state does not contain the cell."""
    LOST = "lost"
    """There is no state any more."""


@dataclass(frozen=True, slots=True)
class CellResult:
    """The result of a cell.

    Attributes:
        result: As of an evaluation.
        outcome: What happened to the session's state.
    """

    result: Result
    outcome: StateOutcome

    def without_content(self, message: str) -> "CellResult":
        """Return it without output, files, value and figures, and with a message that says so."""
        return CellResult(self.result.without_content(message), self.outcome)


async def run_cell(
    jail: SessionJail,
    state: SessionState,
    checkpoint: SessionState | None,
    job: Job,
    observer: Observer = NOBODY,
    *,
    copy: SessionState | None = None,
    is_last: bool = False,
) -> tuple[CellResult, SessionState]:
    """Run a cell; the caller holds the jail's lock.

    A copy of the current state runs the cell and becomes the current state. A state with threads cannot be copied, and
    runs the cell itself.

    Args:
        jail: The jail of the session.
        state: The current state.
        checkpoint: The state before it; None if there is none.
        job: The cell: its code as the only argument, its files, input and limits.
        observer: Follows the cell.
        copy: A copy of the current state, made ahead; None to make one.
        is_last: Whether the program ends with this cell: it waits for its threads, and calls its exit callbacks.

    Returns:
        The result, and the state that is current now: a copy, `state`, or `checkpoint`.

    Raises:
        OSError: The host is out of descriptors or memory. Then the state that ran the cell has been killed, as after a
            cancellation.
        SessionLostError: The program starts processes faster than they can be killed.
    """
    try:
        request = Request.of(job)
        copy = copy or (state if state.threads else await jail.fork(state))
    except (ValueError, RefusedError, SessionLostError) as error:
        if copy:
            copy.close()
        return await _not_begun(error, state, checkpoint)
    rest = checkpoint if copy is state else state
    try:
        with opened_output(job, observer) as printed:
            cell = _Cell(jail, rest, copy, state.cells + 1, job, request, printed, is_last)
            async with stdin_file(job.stdin) as stdin:
                found = await cell.result(stdin)
    except BaseException:
        await jail.kill(copy)
        raise
    return found, _current(found, state, copy, rest)


async def _not_begun(
    error: ValueError | JailError, state: SessionState, checkpoint: SessionState | None
) -> tuple[CellResult, SessionState]:
    """Return the result of a cell that has not run, and the state that is current then.

    The cell cannot be passed to a process, or the state cannot be copied, or it has ended, perhaps with its whole jail.
    """
    if isinstance(error, SessionLostError):
        result = Result(Status.INTERNAL_ERROR, None, message=f"{error}; the cell has not run")
        if checkpoint and not await checkpoint.ends_with_others():
            return CellResult(result, StateOutcome.ROLLED_BACK), checkpoint
        return CellResult(result, StateOutcome.LOST), state
    if isinstance(error, RefusedError):
        result = Result(Status.ERROR, None, message=str(error))
    else:
        result = Result(Status.ERROR, None, str(error), message="the code cannot be passed to a process")
    return CellResult(result, StateOutcome.ROLLED_BACK), state


def _current(found: CellResult, state: SessionState, copy: SessionState, rest: SessionState | None) -> SessionState:
    """Return the state that is current after a cell, and close the copy that ran it if that is another one."""
    if found.outcome is StateOutcome.KEPT:
        return copy
    if copy is state and found.outcome is StateOutcome.ROLLED_BACK and state.process >= 0:
        return state  # a file could not be written, so the cell has not run
    copy.close()
    return rest or state


@dataclass
class _Cell:
    """A cell in progress: `state` runs it. If it is killed, the session goes back to `rest`, if that is not None."""

    jail: SessionJail
    rest: SessionState | None
    state: SessionState
    number: int
    job: Job
    request: Request
    printed: Printed
    is_last: bool
    counters: GroupUsage = field(default_factory=GroupUsage)
    report: CellReport | None = None

    async def result(self, stdin: int) -> CellResult:
        self.counters = self.jail.group.usage()
        begin, stop_reason, refusal = time.monotonic(), None, None
        start_time = _START_TIME_S + sum(len(file.content) for file in self.job.files) / _BYTES_PER_S
        time_limit = start_time + self.job.limits.wall_time
        try:
            with anyio.fail_after(min(START_TIMEOUT_S, time_limit)):
                refusal = await self._begin(stdin)
        except TimeoutError:
            stop_reason = StopReason.TIME if time_limit < START_TIMEOUT_S else StopReason.START
        except (JailError, OSError):
            stop_reason = StopReason.START
        else:
            begin = min(time.monotonic(), begin + start_time)  # if the state takes longer, the cell has less time
            try:
                stop_reason = None if refusal else await self._wait_for_end(begin)
            finally:
                self.jail.running = None
        wall_time = time.monotonic() - begin
        if refusal:
            return await self._refused(refusal)
        report = self.report if stop_reason is None else None
        try:
            guest_exit = GuestExit(report.code, None, 0.0) if report else await self._kill()
        except SessionLostError as error:
            self.rest, guest_exit = None, GuestExit(KILLED, signal.SIGKILL, 0.0)
            lost = str(error)
        else:
            lost = ""
        result = await self._conclude(guest_exit, stop_reason, wall_time)
        if report is None:
            message = "; ".join(filter(None, (result.message, lost)))
            return CellResult(
                replace(result, message=message), StateOutcome.ROLLED_BACK if self.rest else StateOutcome.LOST
            )
        if report.end is CellEnd.EXIT:
            return CellResult(result, StateOutcome.LOST)
        self.state.cells, self.state.threads = self.number, report.threads
        result = with_error(result, report.error, self.job, self.jail.group)
        return CellResult(replace(result, value=report.value, figures=report.figures), StateOutcome.KEPT)

    async def _refused(self, refusal: Refusal) -> CellResult:
        """Return the result of a cell whose files could not be written; the state waits for the next order."""
        text, message = refusal.explained(self.job.files[refusal.index].path)
        usage = self._usage(self.jail.group.usage(), 0.0)
        return CellResult(Result(Status.FILE_ERROR, None, text, message=message, usage=usage), StateOutcome.ROLLED_BACK)

    async def _begin(self, stdin: int) -> Refusal | None:
        """Order the cell, and wait until it starts; return the refusal if a file could not be written."""
        numbers = (self.number, int(self.job.limits.output), int(self.is_last))
        args = (*(self.request.args or ()), *(str(number).encode() for number in numbers))
        request = replace(self.request, args=args)
        refusal = await self.jail.begin_cell(self.state, request, (stdin, *self.printed.writers))
        self.printed.close_writers()
        if refusal is None:
            self.jail.running = self.state
            if self.jail.is_interrupted:
                self.state.send_signal(signal.SIGINT)
        return refusal

    async def _wait_for_end(self, begin: float) -> StopReason | None:
        """Wait until the cell has ended or exceeds a limit; return this limit, or None.

        Args:
            begin: When it began (`time.monotonic`).
        """
        with anyio.move_on_after(begin + self.job.limits.wall_time - time.monotonic()):
            reason = await first(self._reported, self._died, self._flooded)
            try:
                self.printed.read_rest()
            except OutputLimitError:
                return StopReason.OUTPUT
            return reason
        return StopReason.TIME

    async def _reported(self) -> StopReason | None:
        try:
            self.report = await CellReport.receive(self.state.channel, int(self.job.limits.output))
        except JailError:
            await anyio.sleep(_END_TIMEOUT_S)
            return StopReason.CHANNEL
        return None

    async def _died(self) -> StopReason | None:
        await self.state.ended()
        return None

    async def _flooded(self) -> StopReason | None:
        try:
            await self.printed.read()
        except OutputLimitError:
            return StopReason.OUTPUT
        await anyio.sleep_forever()  # the program has closed its streams
        return None

    async def _kill(self) -> GuestExit:
        """Kill what the cell started; return how its process ended, as its parent reports.

        Raises:
            SessionLostError: The processes cannot be killed, or the parent is gone as well.
        """
        await self.jail.kill(self.state)
        if self.rest is None:
            return GuestExit(KILLED, signal.SIGKILL, 0.0)
        try:
            self.rest.channel.order(Order.WAIT.value)
            with anyio.fail_after(ANSWER_TIMEOUT_S, shield=True):  # an answer left behind would be taken for the next
                status = int.from_bytes(await self.rest.channel.receive(4), "big")
            code = os.waitstatus_to_exitcode(status)
        except (JailError, TimeoutError, OSError, ValueError, OverflowError) as error:
            raise SessionLostError("the session's interpreter does not answer") from error
        return GuestExit(code if code >= 0 else 128 - code, -code if code < 0 else None, 0.0)

    async def _conclude(self, guest_exit: GuestExit, stop_reason: StopReason | None, wall_time: float) -> Result:
        before, after = self.counters, self.jail.group.usage()
        counters = replace(
            after,
            oom_kills=after.oom_kills - before.oom_kills,
            refused_forks=after.refused_forks - before.refused_forks,
        )
        if stop_reason is StopReason.START and counters.oom_kills:
            stop_reason = StopReason.MEMORY  # the input files of the cell did not fit
        result = judge(guest_exit, self.job.limits, counters, stop_reason)
        usage = self._usage(after, wall_time)
        files = self.jail.prepared.runtime.files
        cut = stop_reason is not None
        return await conclude(result, usage, self.printed, self.jail.home, files=files, known=self.jail.known, cut=cut)

    def _usage(self, after: GroupUsage, wall_time: float) -> Usage:
        cpu_time = (after.cpu_time or 0.0) - (self.counters.cpu_time or 0.0)
        return Usage(wall_time=wall_time, cpu_time=cpu_time, memory=after.memory)
