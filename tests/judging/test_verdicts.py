"""Verdicts on results."""

import pytest

from snekhouse.evaluation import File, Result, Status
from snekhouse.judging.comparison import exact
from snekhouse.judging.verdicts import VERDICTS, Expected, Verdict, judged, overall

OK = Result(Status.OK, 0, stdout="42\n", files=(File("out", b"1\n"), File("raw", b"\xff")))


@pytest.mark.parametrize(
    ("expected", "verdict", "reason"),
    [
        (Expected(), "accepted", ""),
        (Expected("42"), "accepted", ""),
        (Expected("42", match=exact), "wrong_answer", "standard output differs"),
        (Expected("43"), "wrong_answer", "standard output differs"),
        (Expected("42", returncode=1), "wrong_answer", "the exit code is 0, not 1"),
        (Expected(files={"out": b"1"}), "accepted", ""),
        (Expected(files={"out": b"2"}), "wrong_answer", "the file 'out' differs"),
        (Expected(files={"none": b""}), "wrong_answer", "the program left no file 'none'"),
        (Expected(files={"raw": b"\xff"}), "accepted", ""),
        (Expected(files={"raw": b"\xfe"}), "wrong_answer", "the file 'raw' differs"),
    ],
)
def test_a_program_that_ended_well_is_compared(expected: Expected, verdict: str, reason: str) -> None:
    judgement = judged(OK, expected)
    assert (judgement.verdict, judgement.reason) == (verdict, reason)


@pytest.mark.parametrize("status", [status for status in Status if status not in {Status.OK, Status.ERROR}])
def test_how_a_program_was_ended_decides(status: Status) -> None:
    result = Result(status, 137, stdout="42", message="why")
    judgement = judged(result, Expected("42"))
    assert (judgement.verdict, judgement.reason) == (VERDICTS[status], "why")
    assert judgement.verdict is not Verdict.ACCEPTED


def test_an_exit_code_may_be_expected() -> None:
    result = Result(Status.ERROR, 3, stdout="42")
    assert judged(result, Expected("42", returncode=3)).verdict is Verdict.ACCEPTED
    assert judged(result, Expected("42")).verdict is Verdict.RUNTIME_ERROR
    assert judged(Result(Status.ERROR, None, "UnicodeDecodeError"), Expected("42")).verdict is Verdict.RUNTIME_ERROR


def test_every_status_has_a_verdict() -> None:
    assert set(VERDICTS) == set(Status)


def test_the_first_failure_is_the_verdict_on_all() -> None:
    assert overall([]) is Verdict.ACCEPTED
    assert overall([Verdict.ACCEPTED, Verdict.TIME_LIMIT, Verdict.WRONG_ANSWER]) is Verdict.TIME_LIMIT
