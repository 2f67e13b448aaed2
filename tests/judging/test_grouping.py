"""Results of several runtimes in groups of equal ones."""

from snekhouse.evaluation import ProgramError, Result, Status
from snekhouse.judging.grouping import Normalization, grouped

ALL = Normalization(addresses=True, lines=True, versions=True)


def groups(default: str, normalization: Normalization = ALL, **results: Result | str) -> list[tuple[str, ...]]:
    made = {
        name: result if isinstance(result, Result) else Result(Status.OK, 0, result) for name, result in results.items()
    }
    return [group.runtimes for group in grouped(made, default, normalization)]


def test_equal_results_are_one_group_and_that_of_the_default_is_the_first() -> None:
    assert groups("c", a="1", b="2", c="2", d="3") == [("b", "c"), ("a",), ("d",)]


def test_exit_code_status_and_exception_count() -> None:
    error = Result(Status.ERROR, 1, "1", error=ProgramError("ValueError", "", 1))
    other = Result(Status.ERROR, 1, "1", error=ProgramError("TypeError", "", 1))
    assert groups("a", a="1", b=error, c=other, d=Result(Status.TIMEOUT, 137, "1")) == [("a",), ("b",), ("c",), ("d",)]


def test_what_is_normalized_makes_no_difference() -> None:
    old = '3.8.18 <object at 0x7f3a5c2b1d90>\n  File "<string>", line 3\n'
    new = '3.14.0rc1 <object at 0x7f0000000010>\n  File "<string>", line 4\n'
    assert groups("a", a=old, b=new) == [("a", "b")]
    for name in ("addresses", "lines", "versions"):
        settings = {each: each != name for each in ("addresses", "lines", "versions")}
        assert groups("a", Normalization(**settings), a=old, b=new) == [("a",), ("b",)]


def test_the_diff_is_from_the_group_of_the_default() -> None:
    results = {"a": Result(Status.OK, 0, "x\ny\n"), "b": Result(Status.ERROR, 1, "x\nz\n")}
    first, second = grouped(results, "a", Normalization())
    assert first.diff == ""
    assert second.diff.splitlines()[2:] == ["@@ -1,3 +1,4 @@", " x", "-y", "+z", " ", "+[error, exit code 1]"]


def test_large_outputs_are_compared_in_bounded_time() -> None:
    results = {name: Result(Status.OK, 0, f"{name}\n" * 200_000) for name in "ab"}
    _, second = grouped(results, "a", Normalization())
    assert len(second.diff.splitlines()) == 200
