"""Verdicts on the results of programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from snekhouse.evaluation import Result, Status
from snekhouse.judging.comparison import Difference, Match, trimmed


class Verdict(StrEnum):
    """How a case was judged."""

    ACCEPTED = "accepted"
    WRONG_ANSWER = "wrong_answer"
    RUNTIME_ERROR = "runtime_error"
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    INTERNAL_ERROR = "internal_error"
    SKIPPED = "skipped"


VERDICTS: Mapping[Status, Verdict] = {
    Status.OK: Verdict.ACCEPTED,
    Status.ERROR: Verdict.RUNTIME_ERROR,
    Status.SIGNALED: Verdict.RUNTIME_ERROR,
    Status.FILE_ERROR: Verdict.RUNTIME_ERROR,
    Status.TIMEOUT: Verdict.TIME_LIMIT,
    Status.OUT_OF_MEMORY: Verdict.MEMORY_LIMIT,
    Status.OUTPUT_LIMIT: Verdict.OUTPUT_LIMIT,
    Status.INTERNAL_ERROR: Verdict.INTERNAL_ERROR,
}
"""The verdict on a program whose output nobody compares."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a program must do to be accepted.

    Attributes:
        stdout: What it prints; None if that does not matter.
        returncode: Its exit code.
        files: Content of files that it leaves, by path.
        match: How output and files are compared.
    """

    stdout: str | None = None
    returncode: int = 0
    files: Mapping[str, bytes] = field(default_factory=dict)
    match: Match = trimmed


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and its reason.

    Attributes:
        verdict: The verdict.
        reason: The reason in a sentence; may be empty.
        difference: The first line that differs, if that is the reason.
        file: Path of the file that differs; empty if it is standard output.
    """

    verdict: Verdict
    reason: str = ""
    difference: Difference | None = None
    file: str = ""


def judged(result: Result, expected: Expected) -> Judgement:
    """Judge the result of a program; comparing takes time in proportion to what it printed.

    Args:
        result: The result.
        expected: What the program must do.
    """
    if result.status not in _ENDED or result.returncode is None:
        return Judgement(VERDICTS[result.status], result.message or result.status.value)
    if result.returncode != expected.returncode:
        error = result.error
        message = f"the exit code is {result.returncode}, not {expected.returncode}"
        message = f"{error.name}: {error.value}" if error else message
        is_error = result.status is Status.ERROR
        return Judgement(Verdict.RUNTIME_ERROR if is_error else Verdict.WRONG_ANSWER, message)
    if expected.stdout is not None and (difference := expected.match(expected.stdout, result.stdout)):
        return Judgement(Verdict.WRONG_ANSWER, "standard output differs", difference)
    left = {file.path: file.content for file in result.files}
    for path, content in expected.files.items():
        if path not in left:
            reason = "; ".join(filter(None, (f"the program left no file {path!r}", result.left_out)))
            return Judgement(Verdict.WRONG_ANSWER, reason, file=path)
        if judgement := _compared(path, content, left[path], expected.match):
            return judgement
    return Judgement(Verdict.ACCEPTED)


_ENDED = {Status.OK, Status.ERROR}
"""The program ended by itself."""


def _compared(path: str, expected: bytes, actual: bytes, match: Match) -> Judgement | None:
    """Compare a file; one that is not text must be equal in every byte."""
    try:
        texts = expected.decode(), actual.decode()
    except UnicodeDecodeError:
        if expected == actual:
            return None
        return Judgement(Verdict.WRONG_ANSWER, f"the file {path!r} differs", file=path)
    difference = match(*texts)
    return Judgement(Verdict.WRONG_ANSWER, f"the file {path!r} differs", difference, path) if difference else None


def overall(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict on all cases: that of the first that failed, or ``skipped`` if one was, or ``accepted``."""
    failed = (verdict for verdict in verdicts if verdict not in {Verdict.ACCEPTED, Verdict.SKIPPED})
    return next(failed, Verdict.SKIPPED if Verdict.SKIPPED in verdicts else Verdict.ACCEPTED)
