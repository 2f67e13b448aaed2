"""One run, from a job to its result."""

import binascii
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import anyio
import anyio.to_thread

from snekhouse.errors import JailError
from snekhouse.jail.cgroups import GroupUsage, RunGroup
from snekhouse.jail.control import receive_report, send_request
from snekhouse.jail.diagnosis import diagnose
from snekhouse.jail.evaluation import Encoding, File, Job, ProgramError, Result, Status, Usage
from snekhouse.jail.home import FilesError, collect, is_empty
from snekhouse.jail.inputs import Request, stdin_file
from snekhouse.jail.kit import Jail, Means
from snekhouse.jail.nsjail import Ending, NsJail, options, started
from snekhouse.jail.output import Drain, OutputLimitError, drains
from snekhouse.jail.profile import START_TIMEOUT, bootstrap_inside, writable
from snekhouse.jail.protocol import Refusal, Stamp
from snekhouse.jail.template import Forked, Template, TemplateError
from snekhouse.jail.uncaught import uncaught
from snekhouse.jail.verdict import JAIL_FAILED, Stopped, Verdict, judge
from snekhouse.jail.watching import CAN_WATCH, MemoryWatch
from snekhouse.waiting import first


async def run(jail: Jail, job: Job, means: Means, template: Template | None = None) -> Result:
    """Evaluate a job; nothing of it is left afterwards.

    Whatever the program does is told in the result. `usage.queue_time` is for the caller to fill in.

    Args:
        jail: The runtime.
        job: What to evaluate.
        means: What the server has for it.
        template: What forks the run; without one, a jail is started for it.

    Raises:
        TemplateError: The template did not do its part.
        OSError: The host is out of processes, descriptors or memory.
    """
    try:
        request = Request.of(job)
    except ValueError as error:
        return Result(Status.ERROR, None, str(error), message="the arguments cannot be passed to a process")
    async with AsyncExitStack() as held:
        streams = held.enter_context(drains(job.limits.output, apart=job.separate_stderr))
        stdin = await held.enter_async_context(stdin_file(job.stdin))
        stdio = (stdin, streams[0].writer, streams[-1].writer)
        if template:
            async with template.forked() as fork:
                if fork.group and job.limits != jail.runtime.limits:
                    fork.group.limit(job.limits)
                return await _Run(jail, job, request, fork, stdio, fork.group, streams, held).result()
        async with _started(jail, means, stdio) as process:
            # While it starts, there is time to make the group.
            group = held.enter_context(means.group(job.limits, loopback=jail.runtime.loopback))
            return await _Run(jail, job, request, process, (), group, streams, held).result()


@asynccontextmanager
async def _started(jail: Jail, means: Means, stdio: tuple[int, int, int]) -> AsyncIterator[NsJail]:
    command = (jail.runtime.executable, bootstrap_inside(jail.bootstrap))
    with means.ids.lease() as outside:
        async with started(jail.nsjail, options(jail.profile, outside), command, stdio) as process:
            yield process


@dataclass
class _Run:
    """The run while it lives; what it acquires on the way is released by `held`."""

    jail: Jail
    job: Job
    request: Request
    process: NsJail | Forked
    stdio: Sequence[int]  # what it has not got yet
    group: RunGroup | None
    streams: Sequence[Drain]
    held: AsyncExitStack
    home: int = -1
    stamps: Mapping[str, Stamp] = field(default_factory=dict)
    watch: MemoryWatch | None = None

    async def result(self) -> Result:
        try:
            with anyio.fail_after(START_TIMEOUT):
                await self._meet()
        except TemplateError:
            raise
        except (JailError, TimeoutError):
            return await self._failure()
        try:
            with anyio.fail_after(START_TIMEOUT):
                refusal = await self._brief()
        except JailError:
            return await self._failure()
        except TimeoutError:
            return await self._without_program(_TOO_SLOW)
        if refusal:
            path, reason = self.job.files[refusal.index].path, OSError(refusal.errno, os.strerror(refusal.errno))
            text = f"{type(reason).__name__}: Failed to create file '{path}'."
            return await self._without_program(text, f"{text} ({reason.strerror})")
        begin = time.monotonic()
        stopped = await self._live()
        ending = await self.process.end()
        return await self._conclude(ending, stopped, time.monotonic() - begin)

    async def _meet(self) -> None:
        """Wait for the bootstrap, take its home, and set it limits."""
        hello = await self.process.meet()
        self.home = hello.home
        self.held.callback(os.close, hello.home)
        if self.group:
            self.group.add(hello.pid)
        _limit(hello.pid, resource.RLIMIT_SIGPENDING, _SIGNALS)
        walls = self.group.walls if self.group else frozenset[str]()
        if "pids" not in walls:
            _limit(hello.pid, resource.RLIMIT_NPROC, self.job.limits.processes)
        if CAN_WATCH and "memory" not in walls:
            folders = tuple(self._open(hello.pid, place.target) for place in writable(self.jail.runtime))
            self.watch = MemoryWatch(hello.pid, folders, int(self.job.limits.memory))

    def _open(self, pid: int, target: str) -> int:
        """Open a folder as a process sees it that has not run a byte of the program."""
        folder = os.open(f"/proc/{pid}/root{target}", os.O_PATH | os.O_CLOEXEC)
        self.held.callback(os.close, folder)
        return folder

    async def _brief(self) -> Refusal | None:
        """Tell the bootstrap what to run, and bring it to the point where it does."""
        control = self.process.control
        task_files = self.group.task_files if self.group else ()
        await send_request(control, self.stdio, task_files, self.request)
        for stream in self.streams:
            stream.close_writer()
        self.process.started()
        report = await receive_report(control, len(self.request.files))
        if isinstance(report, Refusal):
            return report
        self.stamps = {path.decode(): stamp for (path, _), stamp in zip(self.request.files, report, strict=True)}
        return None

    async def _live(self) -> Stopped | None:
        """Wait for the program's end, or for a limit that the server ends it for."""
        with anyio.move_on_after(self.job.limits.wall_time):
            return await (first(self._ended, self._above_memory) if self.watch else self._ended())
        return Stopped.TIME

    async def _ended(self) -> Stopped | None:
        try:
            await self._drain_all()
        except OutputLimitError:
            return Stopped.OUTPUT
        await self.process.ended()
        return None

    async def _above_memory(self) -> Stopped:
        assert self.watch  # noqa: S101 - `_live` has looked
        await self.watch.above()
        return Stopped.MEMORY

    async def _drain_all(self) -> None:
        if len(self.streams) == 1:
            await self.streams[0].drain()
            return
        try:
            async with anyio.create_task_group() as tasks:
                for stream in self.streams:
                    tasks.start_soon(stream.drain)
        except* OutputLimitError:
            raise OutputLimitError from None

    async def _conclude(self, ending: Ending, stopped: Stopped | None, wall_time: float) -> Result:
        counters = self.group.usage() if self.group else GroupUsage()
        verdict = judge(ending, self.job.limits, counters, stopped)
        usage = _usage(counters, ending, wall_time=wall_time)
        try:
            stdout, stderr = self._text(cut=stopped is not None)
        except UnicodeDecodeError:
            return Result(Status.ERROR, None, _NOT_UTF8, message=_NOT_UTF8, usage=usage)
        try:
            files = await self._files()
        except FilesError as error:
            return Result(Status.FILE_ERROR, None, str(error), message=str(error), usage=usage)
        result = _result(
            verdict, stdout=stdout, stderr=stderr, truncated=stopped is Stopped.OUTPUT, files=files, usage=usage
        )
        return replace(result, encoding=self.job.encoding, error=self._error(verdict))

    def _error(self, verdict: Verdict) -> ProgramError | None:
        if verdict.status is not Status.ERROR or verdict.returncode not in _FAILED:
            return None
        return uncaught(self.streams[-1].content)

    def _text(self, *, cut: bool) -> tuple[str, str | None]:
        """Write what was kept as text; in UTF-8, a character that the limit cut in two is dropped."""
        if self.job.encoding is Encoding.BASE64:
            texts = [binascii.b2a_base64(stream.content, newline=False).decode() for stream in self.streams]
        else:
            texts = [_decode(stream.content, cut=cut) for stream in self.streams]
        return texts[0], texts[1] if self.job.separate_stderr else None

    async def _files(self) -> tuple[File, ...]:
        if is_empty(self.home):
            return ()
        limits, files = self.job.limits, self.jail.runtime.files
        return await anyio.to_thread.run_sync(
            lambda: collect(self.home, files=files, size_limit=limits.home, inputs=self.stamps)
        )

    async def _failure(self) -> Result:
        """Explain a jail that did not come as far as its program."""
        ending = await self.process.end()
        counters = self.group.usage() if self.group else GroupUsage()
        usage = _usage(counters, ending, wall_time=0.0)
        if counters.oom_kills:
            verdict = judge(ending, self.job.limits, counters)
            return _result(verdict, usage=usage)
        message = diagnose(self.jail.runtime, ending, await self.streams[-1].last_words())
        return Result(Status.INTERNAL_ERROR, JAIL_FAILED, message=message, usage=usage)

    async def _without_program(self, text: str, message: str = "") -> Result:
        """Tell of input files that could not be written."""
        ending = await self.process.end()
        counters = self.group.usage() if self.group else GroupUsage()
        return Result(
            Status.FILE_ERROR, None, text, message=message or text, usage=_usage(counters, ending, wall_time=0.0)
        )


_FAILED = {1, 128 + signal.SIGINT}
"""What an interpreter exits with after an uncaught exception, KeyboardInterrupt included, which cannot kill PID 1."""

_SIGNALS = 256
"""Signals that may be queued for all processes of a run, timers included. No profile of NsJail can limit them."""

_TOO_SLOW = f"TimeoutError: Exceeded {START_TIMEOUT:g} s while writing the input files"
_NOT_UTF8 = "UnicodeDecodeError: invalid Unicode in output pipe"


def _decode(content: bytes, *, cut: bool) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        if cut and error.reason == "unexpected end of data":
            return content[: error.start].decode()
        raise


def _limit(pid: int, kind: int, most: int) -> None:
    """Lower a limit of a process (setrlimit(2)), unless it has died."""
    with suppress(ProcessLookupError):
        _, hard = resource.prlimit(pid, kind)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.prlimit(pid, kind, (least, least))


def _usage(counters: GroupUsage, ending: Ending, *, wall_time: float) -> Usage:
    cpu_time = ending.cpu_time if counters.cpu_time is None else counters.cpu_time
    return Usage(wall_time=wall_time, cpu_time=cpu_time, memory=counters.memory)


def _result(
    verdict: Verdict,
    *,
    usage: Usage,
    stdout: str = "",
    stderr: str | None = None,
    truncated: bool = False,
    files: tuple[File, ...] = (),
) -> Result:
    return Result(
        status=verdict.status,
        returncode=verdict.returncode,
        stdout=stdout,
        stderr=stderr,
        message=verdict.message,
        signal=verdict.signal,
        truncated=truncated,
        files=files,
        usage=usage,
    )
