"""The models of answers that judge a program, compare runtimes, or consist of many evaluations."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from snekhouse.evaluation import Result
from snekhouse.judging.grouping import ResultGroup
from snekhouse.judging.verdicts import Verdict, overall
from snekhouse.service.cases import CaseResult
from snekhouse.web.schemas import EvalResponse, FileOut, ProgramErrorOut, Seconds, UsageOut


class DifferenceOut(BaseModel):
    """The first line that differs from the expected one."""

    model_config = ConfigDict(from_attributes=True)

    line: Annotated[int, Field(description="Its number, from 1.")]
    expected: Annotated[str | None, Field(description="The expected line; null if there are fewer lines.")]
    actual: Annotated[str | None, Field(description="The actual line; null if there are fewer lines.")]
    diff: Annotated[str, Field(description="A unified diff of the lines around it.")]


class CaseOut(BaseModel):
    """The result of a case."""

    model_config = ConfigDict(from_attributes=True)

    index: Annotated[int, Field(description="Its position in the request, from 0.")]
    id: Annotated[str, Field(description="Its name in the request.")]
    verdict: Verdict
    reason: Annotated[
        str,
        Field(description="The reason for the verdict; empty if the case is accepted and no checker printed anything."),
    ]
    difference: Annotated[DifferenceOut | None, Field(description="The first line that differs.")] = None
    file: Annotated[str, Field(description="Path of the file that differs; empty for standard output.")] = ""
    status: str | None = None
    returncode: int | None = None
    signal: str | None = None
    error: ProgramErrorOut | None = None
    stdout: str = ""
    stderr: str | None = None
    truncated: bool = False
    files: tuple[FileOut, ...] = ()
    usage: UsageOut | None = None

    @classmethod
    def of(cls, name: str, found: CaseResult, *, with_content: bool) -> Self:
        """Convert the result of a case.

        Args:
            name: What the request calls it.
            found: The result.
            with_content: Whether to include output and files.
        """
        judgement = found.judgement
        told = {
            "index": found.index,
            "id": name,
            "verdict": judgement.verdict,
            "reason": judgement.reason,
            "difference": judgement.difference,
            "file": judgement.file,
        }
        return cls(**told, **(_answer(found.result, with_content=with_content) if found.result else {}))


def _answer(result: Result, *, with_content: bool) -> Mapping[str, object]:
    told = {name: getattr(result, name) for name in ("returncode", "signal", "error", "truncated", "usage")}
    told["status"] = result.status.value
    if not with_content:
        return told
    files = tuple(FileOut(path=file.path, size=len(file.content), content=file.content) for file in result.files)
    return told | {"stdout": result.stdout, "stderr": result.stderr, "files": files}


class JudgeUsage(BaseModel):
    """What all cases together used."""

    wall_time: Annotated[Seconds, Field(description="Seconds from the request to the last verdict.")]
    cpu_time: Annotated[Seconds, Field(description="Seconds of CPU time of all programs.")]


class Judged(BaseModel):
    """The verdict on a program."""

    verdict: Annotated[
        Verdict,
        Field(description="That of the first case that failed; else skipped if a case was skipped, else accepted."),
    ]
    passed: Annotated[int, Field(description="How many cases are accepted.")]
    count: Annotated[int, Field(description="How many cases there are.")]
    runtime: str
    usage: JudgeUsage

    @classmethod
    def of(cls, verdicts: Sequence[Verdict], runtime: str, usage: JudgeUsage) -> Self:
        """Sum up verdicts."""
        passed = sum(verdict is Verdict.ACCEPTED for verdict in verdicts)
        return cls(verdict=overall(verdicts), passed=passed, count=len(verdicts), runtime=runtime, usage=usage)


class JudgeResponse(Judged):
    """The verdict on a program, and on each case."""

    cases: tuple[CaseOut, ...]


class GroupOut(BaseModel):
    """Runtimes with equal results."""

    model_config = ConfigDict(from_attributes=True)

    runtimes: tuple[str, ...]
    diff: Annotated[str, Field(description="A unified diff from the first group's output; empty for the first group.")]

    @classmethod
    def all_of(cls, groups: Sequence[ResultGroup]) -> tuple[Self, ...]:
        """Convert groups."""
        return tuple(cls(runtimes=group.runtimes, diff=group.diff) for group in groups)


class Compared(BaseModel):
    """Runtimes in groups of equal results."""

    default: Annotated[str, Field(description="The runtime with which the others are compared.")]
    groups: Annotated[tuple[GroupOut, ...], Field(description="Groups of runtimes with equal results.")]
    skipped: Annotated[tuple[str, ...], Field(description="Runtimes for which there was no time.")]


class CompareResponse(Compared):
    """The results of a program in several runtimes."""

    results: Annotated[dict[str, EvalResponse], Field(description="The result in each runtime, by name.")]


class BatchHead(BaseModel):
    """Which line of a batch an answer belongs to."""

    index: Annotated[int, Field(description="Its position among the lines that are not empty, from 0.")]
    id: Annotated[str | int | None, Field(description="Its name in the request.")]


class BatchEnd(BaseModel):
    """The end of a batch."""

    count: Annotated[int, Field(description="How many lines the body has, except empty ones.")]
