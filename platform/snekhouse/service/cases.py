"""Judging a program: its cases run side by side, and each gets a verdict."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio
import anyio.lowlevel
import anyio.to_thread

from snekhouse.errors import SnekhouseError
from snekhouse.evaluation import File, Job, Result, Status
from snekhouse.judging.verdicts import Expected, Judgement, Verdict, judged
from snekhouse.registry.models import Runtime
from snekhouse.service.bulk import Task, evaluate_all, evaluate_in_bulk
from snekhouse.service.case_jails import CaseJails
from snekhouse.service.service import Run, Service
from snekhouse.service.task_groups import unwrapped_tasks

_INLINE = 1 << 16
"""Characters of output that are compared on the event loop; more is compared in a thread."""

_REASON_SIZE = 500
"""Characters of what a checker prints that become the reason of a verdict."""


@dataclass(frozen=True, slots=True)
class Checker:
    """A program that judges the output of another.

    Its home has the files ``input`` (the standard input of the case), ``expected`` and ``output``. Exit code 0 accepts
    the output, and 1 does not; what it prints is the reason.

    Attributes:
        runtime: Its runtime.
        job: Evaluates it, without these files.
    """

    runtime: Runtime
    job: Job


@dataclass(frozen=True, slots=True)
class Case:
    """A case of a program.

    Attributes:
        runtime: Its runtime.
        job: The program with the inputs of this case.
        expected: What it must do; by default, end with exit code 0.
        checker: Judges its output instead of a comparison.
    """

    runtime: Runtime
    job: Job
    expected: Expected = field(default_factory=Expected)
    checker: Checker | None = None


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of a case.

    Attributes:
        index: Its position in the request, from 0.
        judgement: The verdict and its reason.
        result: The result of the program; None if the case was skipped.
    """

    index: int
    judgement: Judgement
    result: Result | None = None


async def judge_cases(
    service: Service,
    cases: Sequence[Case],
    take: Callable[[CaseResult], Awaitable[None]],
    *,
    stop_at_failure: bool = False,
    time_limit: float | None = None,
    setup: Job | None = None,
) -> list[Verdict]:
    """Judge cases; those for which there is no time are skipped.

    Args:
        service: Evaluates them.
        cases: The cases.
        take: Takes each result, in the order in which the cases end; skipped cases come last.
        stop_at_failure: Whether to skip all cases that have not ended when one is not accepted.
        time_limit: Seconds for all cases together; None for no limit.
        setup: Code that runs once in each jail, and from whose state all cases start: the last argument of a job with
            its files, variables and limits. None if each case starts an interpreter of its own.

    Returns:
        The verdict on each case, in their order.

    Raises:
        BusyError: There was no place in the queue, or the server stops.
    """
    verdicts = [Verdict.SKIPPED] * len(cases)
    with anyio.move_on_after(time_limit) as scope:

        async def tasks() -> AsyncIterator[Task[int]]:
            for index, case in enumerate(cases):
                yield Task(index, case.runtime, case.job)

        async def done(task: Task[int], result: Result) -> None:
            judgement = await _judged(service, cases[task.name], result)
            await take(CaseResult(task.name, judgement, result))
            verdicts[task.name] = judgement.verdict  # unless `take` was cancelled, because the time is over
            if stop_at_failure and judgement.verdict is not Verdict.ACCEPTED:
                scope.cancel()

        async with _runner(service, setup) as run:
            await evaluate_all(service, tasks(), done, run)
    for index, verdict in enumerate(verdicts):
        if verdict is Verdict.SKIPPED:
            await anyio.lowlevel.checkpoint()  # let other tasks run: `take` may not wait
            await take(CaseResult(index, Judgement(verdict)))
    return verdicts


@asynccontextmanager
async def _runner(service: Service, setup: Job | None) -> AsyncIterator[Run | None]:
    """Yield what runs cases that start from the state of a setup, None without one; end its jails on leaving."""
    if setup is None:
        yield None
        return
    async with unwrapped_tasks() as tasks:
        jails = CaseJails(tasks, setup, service.idle_jails)
        try:
            yield jails.run
        finally:
            jails.close()
        tasks.cancel_scope.cancel()


async def _judged(service: Service, case: Case, result: Result) -> Judgement:
    if case.checker and result.status in {Status.OK, Status.ERROR} and result.returncode == case.expected.returncode:
        return await _checked(service, case.checker, case, result)
    sizes = (len(result.stdout), len(case.expected.stdout or ""), *map(len, case.expected.files.values()))
    if sum(sizes) + sum(len(file.content) for file in result.files) < _INLINE:
        return judged(result, case.expected)
    return await anyio.to_thread.run_sync(judged, result, case.expected)


async def _checked(service: Service, checker: Checker, case: Case, result: Result) -> Judgement:
    """Let a checker judge the output of a program."""
    files = (
        File("input", case.job.stdin),
        File("expected", (case.expected.stdout or "").encode()),
        File("output", result.stdout.encode()),
    )
    job = replace(checker.job, files=files, separate_stderr=True)
    try:
        found = await evaluate_in_bulk(service, checker.runtime, job, started=lambda: None, run=None, is_first=False)
    except SnekhouseError as error:
        if service.is_closing:
            raise
        return Judgement(Verdict.INTERNAL_ERROR, f"the checker failed: {error}")
    reason = (found.stdout.strip() or (found.stderr or "").strip())[:_REASON_SIZE]
    match found.status, found.returncode:
        case Status.OK, 0:
            return Judgement(Verdict.ACCEPTED, reason)
        case Status.ERROR, 1 if found.error is None:
            return Judgement(Verdict.WRONG_ANSWER, reason)
        case _:
            why = f"{found.error.name}: {found.error.value}" if found.error else found.message or reason
            message = f"the checker failed ({found.status.value}): {why}"[:_REASON_SIZE]
            return Judgement(Verdict.INTERNAL_ERROR, message)


@dataclass
class Clock:
    """The time that a request takes, and the CPU time of its programs.

    Attributes:
        begin: When it began, in seconds of a monotonic clock.
        cpu_time: Seconds of CPU time of all programs so far.
    """

    begin: float = field(default_factory=time.monotonic)
    cpu_time: float = 0.0

    @property
    def wall_time(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.begin
