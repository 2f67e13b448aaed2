"""One run, from a job to its result."""

import binascii
import os
import resource
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace

import anyio
import anyio.to_thread

from snekhouse.errors import JailError
from snekhouse.evaluation import Encoding, File, Job, ProgramError, Result, Status, Usage
from snekhouse.host.cgroups import GroupUsage
from snekhouse.host.memory_watch import HAS_PROC_CHILDREN, MemoryWatch
from snekhouse.jail.channel import Hello
from snekhouse.jail.diagnosis import diagnose
from snekhouse.jail.generation import ForkServerError
from snekhouse.jail.home_files import FilesError, collect, is_empty
from snekhouse.jail.inputs import Request, stdin_file
from snekhouse.jail.prepared import PreparedRuntime
from snekhouse.jail.protocol import Refusal, Stamp
from snekhouse.jail.start import Guest, GuestExit, Start
from snekhouse.jail.streams import OutputLimitError, OutputStream, output_streams
from snekhouse.jail.uncaught import uncaught
from snekhouse.jail.verdict import JAIL_FAILED, StopReason, judge, probable_limit
from snekhouse.profile.rendering import START_TIMEOUT_S
from snekhouse.profile.tmpfs import writable
from snekhouse.waiting import first


async def run(prepared: PreparedRuntime, job: Job, start: Start) -> Result:
    """Evaluate a job, and release everything that it used.

    A failure of the program is a result, not an exception. The caller fills in `usage.queue_time`.

    Args:
        prepared: The runtime.
        job: What to evaluate.
        start: How its guest starts.

    Raises:
        ForkServerError: The fork server failed; the result of the program is lost.
        OSError: The host is out of processes, descriptors or memory.
    """
    try:
        request = Request.of(job)
    except ValueError as error:
        return Result(Status.ERROR, None, str(error), message="the arguments cannot be passed to a process")
    async with AsyncExitStack() as held:
        streams = held.enter_context(output_streams(job.limits.output, apart=job.separate_stderr))
        stdin = await held.enter_async_context(stdin_file(job.stdin))
        stdio = (stdin, streams[0].writer, streams[-1].writer)
        async with start.guest(prepared, job.limits, stdio) as guest:
            return await _Run(prepared, job, request, guest, streams, held).result()


@dataclass
class _Run:
    """A run in progress; `held` releases what it acquires, once the guest has ended."""

    prepared: PreparedRuntime
    job: Job
    request: Request
    guest: Guest
    streams: Sequence[OutputStream]
    held: AsyncExitStack
    home: int = -1
    stamps: Mapping[str, Stamp] = field(default_factory=dict)
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
            path, reason = self.job.files[refusal.index].path, OSError(refusal.errno, os.strerror(refusal.errno))
            text = f"{type(reason).__name__}: Failed to create file '{path}'."
            return await self._without_program(text, f"{text} ({reason.strerror})")
        begin = time.monotonic()
        stop_reason = await self._wait_for_end()
        guest_exit = await self.guest.end()
        return await self._conclude(guest_exit, stop_reason, time.monotonic() - begin)

    def _limit(self, hello: Hello) -> None:
        """Take over the guest's home, and set the limits of the guest before the program starts."""
        self.home = hello.home
        self.held.callback(os.close, hello.home)
        group = self.guest.group
        if group:
            group.add(hello.pid)
        _lower_limit(hello.pid, resource.RLIMIT_SIGPENDING, _SIGPENDING_LIMIT)
        limited = group.walls if group else frozenset[str]()
        if "pids" not in limited:
            _lower_limit(hello.pid, resource.RLIMIT_NPROC, self.job.limits.processes)
        if HAS_PROC_CHILDREN and "memory" not in limited:
            folders = tuple(self._open(hello.pid, place.target) for place in writable(self.prepared.runtime))
            self.watch = MemoryWatch(hello.pid, folders, int(self.job.limits.memory))

    def _open(self, pid: int, target: str) -> int:
        """Open a folder as the guest sees it."""
        folder = os.open(f"/proc/{pid}/root{target}", os.O_PATH | os.O_CLOEXEC)
        self.held.callback(os.close, folder)
        return folder

    async def _request(self) -> Refusal | None:
        """Send the request; return the refusal if the guest does not start the program."""
        try:
            report = await self.guest.request(self.request)
        finally:
            for stream in self.streams:
                stream.close_writer()
        if isinstance(report, Refusal):
            return report
        self.stamps = {path.decode(): stamp for (path, _), stamp in zip(self.request.files, report, strict=True)}
        return None

    async def _wait_for_end(self) -> StopReason | None:
        """Wait until the program has ended or exceeds a limit; return this limit, or None."""
        with anyio.move_on_after(self.job.limits.wall_time):
            return await (first(self._ended, self._above_memory) if self.watch else self._ended())
        return StopReason.TIME

    async def _ended(self) -> StopReason | None:
        try:
            await self._read_all()
        except OutputLimitError:
            return StopReason.OUTPUT
        await self.guest.ended()
        return None

    async def _above_memory(self) -> StopReason:
        assert self.watch  # noqa: S101 - `_wait_for_end` checks this
        await self.watch.above()
        return StopReason.MEMORY

    async def _read_all(self) -> None:
        if len(self.streams) == 1:
            await self.streams[0].read()
            return
        try:
            async with anyio.create_task_group() as tasks:
                for stream in self.streams:
                    tasks.start_soon(stream.read)
        except* OutputLimitError:
            raise OutputLimitError from None

    async def _conclude(self, guest_exit: GuestExit, stop_reason: StopReason | None, wall_time: float) -> Result:
        counters = self._counters()
        result = judge(guest_exit, self.job.limits, counters, stop_reason)
        usage = _usage(counters, guest_exit, wall_time=wall_time)
        try:
            stdout, stderr = self._text(cut=stop_reason is not None)
        except UnicodeDecodeError:
            return Result(Status.ERROR, None, _NOT_UTF8, message=_NOT_UTF8, usage=usage)
        try:
            files = await self._files()
        except FilesError as error:
            return Result(Status.FILE_ERROR, None, str(error), message=str(error), usage=usage)
        exception = self._error(result)
        return replace(
            result,
            stdout=stdout,
            stderr=stderr,
            encoding=self.job.encoding,
            error=exception,
            message=result.message or self._probable_limit(exception),
            files=files,
            usage=usage,
        )

    def _error(self, result: Result) -> ProgramError | None:
        if result.status is not Status.ERROR or result.returncode not in _UNCAUGHT_CODES:
            return None
        return uncaught(self.streams[-1].content)

    def _probable_limit(self, error: ProgramError | None) -> str:
        if error is None:
            return ""
        group = self.guest.group
        return probable_limit(error, self.job.limits, counts_processes=group is not None and "pids" in group.walls)

    def _text(self, *, cut: bool) -> tuple[str, str | None]:
        """Return the output as text; in UTF-8, drop a character that the limit cut in two."""
        if self.job.encoding is Encoding.BASE64:
            texts = [binascii.b2a_base64(stream.content, newline=False).decode() for stream in self.streams]
        else:
            texts = [_decode(stream.content, cut=cut) for stream in self.streams]
        return texts[0], texts[1] if self.job.separate_stderr else None

    async def _files(self) -> tuple[File, ...]:
        if is_empty(self.home):
            return ()
        limits, files = self.job.limits, self.prepared.runtime.files
        return await anyio.to_thread.run_sync(
            lambda: collect(self.home, files=files, size_limit=limits.home, inputs=self.stamps)
        )

    def _counters(self) -> GroupUsage:
        return self.guest.group.usage() if self.guest.group else GroupUsage()

    async def _failure(self) -> Result:
        """Return the result of a jail that did not start its program."""
        guest_exit = await self.guest.end()
        counters = self._counters()
        usage = _usage(counters, guest_exit, wall_time=0.0)
        if counters.oom_kills:
            return replace(judge(guest_exit, self.job.limits, counters), usage=usage)
        message = diagnose(self.prepared.runtime, guest_exit, await self.streams[-1].last_lines())
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

_SIGPENDING_LIMIT = 256
"""Signals that may be queued for all processes of a run, timers included. NsJail has no option for this limit."""

_TOO_SLOW = f"TimeoutError: Exceeded {START_TIMEOUT_S:g} s while writing the input files"
_NOT_UTF8 = "UnicodeDecodeError: invalid Unicode in output pipe"


def _decode(content: bytes, *, cut: bool) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        if cut and error.reason == "unexpected end of data":
            return content[: error.start].decode()
        raise


def _lower_limit(pid: int, kind: int, limit: int) -> None:
    """Lower a limit of a process (setrlimit(2)), unless the process has ended."""
    with suppress(ProcessLookupError):
        _, hard = resource.prlimit(pid, kind)
        lower = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.prlimit(pid, kind, (lower, lower))


def _usage(counters: GroupUsage, guest_exit: GuestExit, *, wall_time: float) -> Usage:
    cpu_time = guest_exit.cpu_time if counters.cpu_time is None else counters.cpu_time
    return Usage(wall_time=wall_time, cpu_time=cpu_time, memory=counters.memory)
