"""One run, from a job to its result."""

import os
import signal
import time
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field, replace

import anyio
import anyio.to_thread

from snekhouse.errors import JailError
from snekhouse.evaluation import NOBODY, Job, Observer, ProgramError, Result, Status, Usage
from snekhouse.host.cgroups import GroupUsage
from snekhouse.host.memory_watch import MemoryWatch
from snekhouse.jail.channel import Hello
from snekhouse.jail.conclusion import conclude, with_error
from snekhouse.jail.controls import ProgramControls
from snekhouse.jail.diagnosis import diagnose
from snekhouse.jail.generation import ForkServerError
from snekhouse.jail.home_files import KnownFiles
from snekhouse.jail.inputs import Request, stdin_file
from snekhouse.jail.limiting import limit_guest
from snekhouse.jail.prepared import PreparedRuntime
from snekhouse.jail.printed import Printed, opened_output
from snekhouse.jail.protocol import Refusal
from snekhouse.jail.start import Guest, GuestExit, Start
from snekhouse.jail.streams import OutputLimitError
from snekhouse.jail.uncaught import uncaught
from snekhouse.jail.verdict import JAIL_FAILED, StopReason, judge
from snekhouse.profile.rendering import START_TIMEOUT_S
from snekhouse.waiting import first


async def run(prepared: PreparedRuntime, job: Job, start: Start, observer: Observer = NOBODY) -> Result:
    """Evaluate a job, and release everything that it used.

    A failure of the program is a result, not an exception. The caller fills in `usage.queue_time`.

    Args:
        prepared: The runtime.
        job: What to evaluate.
        start: How its guest starts.
        observer: Follows the evaluation.

    Raises:
        ForkServerError: The fork server failed; the result of the program is lost.
        OSError: The host is out of processes, descriptors or memory.
    """
    try:
        request = Request.of(job)
    except ValueError as error:
        return Result(Status.ERROR, None, str(error), message="the arguments cannot be passed to a process")
    async with AsyncExitStack() as held:
        printed = held.enter_context(opened_output(job, observer))
        if observer.controlled:
            controls = held.enter_context(closing(ProgramControls()))
            stdin = controls.reader
        else:
            controls, stdin = None, await held.enter_async_context(stdin_file(job.stdin))
        async with start.guest(prepared, job.limits, (stdin, *printed.writers)) as guest:
            return await _Run(prepared, job, request, guest, printed, held, observer, controls).result()


@dataclass
class _Run:
    """A run in progress; `held` releases what it acquires, once the guest has ended."""

    prepared: PreparedRuntime
    job: Job
    request: Request
    guest: Guest
    printed: Printed
    held: AsyncExitStack
    observer: Observer
    controls: ProgramControls | None
    home: int = -1
    known: KnownFiles = field(default_factory=KnownFiles)
    watch: MemoryWatch | None = None

    async def result(self) -> Result:
        try:
            with anyio.fail_after(START_TIMEOUT_S):
                self._limit(await self.guest.hello())
        except ForkServerError:
            raise
        except (JailError, TimeoutError):
            return await self._failure()
        try:
            with anyio.fail_after(START_TIMEOUT_S):
                refusal = await self._request()
        except JailError:
            return await self._failure()
        except TimeoutError:
            return await self._without_program(_TOO_SLOW)
        if refusal:
            return await self._without_program(*refusal.explained(self.job.files[refusal.index].path))
        if self.controls and self.observer.controlled:
            self.observer.controlled(self.controls)
        begin = time.monotonic()
        stop_reason = await self._wait_for_end()
        guest_exit = await self.guest.end()
        return await self._conclude(guest_exit, stop_reason, time.monotonic() - begin)

    def _limit(self, hello: Hello) -> None:
        """Take over the guest's home, and set the limits of the guest before the program starts."""
        self.home = hello.home
        self.held.callback(os.close, hello.home)
        if self.controls:
            self.controls.begin(hello.pid)
        limits, runtime = self.job.limits, self.prepared.runtime
        self.watch = limit_guest(hello.pid, self.guest.group, limits, runtime, self.held)

    async def _request(self) -> Refusal | None:
        """Send the request; return the refusal if the guest does not start the program."""
        try:
            report = await self.guest.request(self.request)
        finally:
            self.printed.close_writers()
            if self.controls:
                self.controls.close_reader()
        if isinstance(report, Refusal):
            return report
        self.known.add(self.request.files, report)
        return None

    async def _wait_for_end(self) -> StopReason | None:
        """Wait until the program has ended or exceeds a limit; return this limit, or None."""
        with anyio.move_on_after(self.job.limits.wall_time):
            return await (first(self._ended, self._above_memory) if self.watch else self._ended())
        return StopReason.TIME

    async def _ended(self) -> StopReason | None:
        try:
            await self.printed.read()
        except OutputLimitError:
            return StopReason.OUTPUT
        await self.guest.ended()
        return None

    async def _above_memory(self) -> StopReason:
        assert self.watch  # noqa: S101 - `_wait_for_end` checks this
        await self.watch.above()
        return StopReason.MEMORY

    async def _conclude(self, guest_exit: GuestExit, stop_reason: StopReason | None, wall_time: float) -> Result:
        counters = self._counters()
        result = judge(guest_exit, self.job.limits, counters, stop_reason)
        usage = _usage(counters, guest_exit, wall_time=wall_time)
        files = self.prepared.runtime.files
        cut = stop_reason is not None
        found = await conclude(result, usage, self.printed, self.home, files=files, known=self.known, cut=cut)
        return with_error(found, self._error(found), self.job, self.guest.group)

    def _error(self, result: Result) -> ProgramError | None:
        if result.status is not Status.ERROR or result.returncode not in _UNCAUGHT_CODES:
            return None
        return uncaught(self.printed.errors)

    def _counters(self) -> GroupUsage:
        return self.guest.group.usage() if self.guest.group else GroupUsage()

    async def _failure(self) -> Result:
        """Return the result of a jail that did not start its program."""
        guest_exit = await self.guest.end()
        counters = self._counters()
        usage = _usage(counters, guest_exit, wall_time=0.0)
        if counters.oom_kills:
            return replace(judge(guest_exit, self.job.limits, counters), usage=usage)
        message = diagnose(self.prepared.runtime, guest_exit, await self.printed.streams[-1].last_lines())
        return Result(Status.INTERNAL_ERROR, JAIL_FAILED, message=message, usage=usage)

    async def _without_program(self, text: str, message: str = "") -> Result:
        """Return the result of a run whose input files could not be written."""
        guest_exit = await self.guest.end()
        counters = self._counters()
        return Result(
            Status.FILE_ERROR, None, text, message=message or text, usage=_usage(counters, guest_exit, wall_time=0.0)
        )


_UNCAUGHT_CODES = {1, 128 + signal.SIGINT}
"""Exit codes after an uncaught exception; the second is KeyboardInterrupt's, since SIGINT does not kill PID 1."""

_TOO_SLOW = f"TimeoutError: Exceeded {START_TIMEOUT_S:g} s while writing the input files"


def _usage(counters: GroupUsage, guest_exit: GuestExit, *, wall_time: float) -> Usage:
    cpu_time = guest_exit.cpu_time if counters.cpu_time is None else counters.cpu_time
    return Usage(wall_time=wall_time, cpu_time=cpu_time, memory=counters.memory)
