"""`snekhouse judge` and `snekhouse compare`."""

import json
import subprocess
import tomllib
from pathlib import Path

import pytest
import tomli_w

from command import snekhouse

DOUBLE = "print(int(input()) * 2)\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a program, and cases of which the second fails."""
    (tmp_path / "double.py").write_text(DOUBLE)
    (tmp_path / "cases").mkdir()
    for name, number, expected in (("one", 1, "2"), ("two", 2, "5"), ("zero", 0, "0.0")):
        (tmp_path / "cases" / f"{name}.in").write_text(f"{number}\n")
        (tmp_path / "cases" / f"{name}.out").write_text(expected)
    return tmp_path


def judge(place: Path, registry: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return snekhouse("judge", str(place / "double.py"), str(place / "cases"), "--registry", str(registry), *more)


def test_a_folder_of_cases_is_judged(place: Path, small: Path) -> None:
    done = judge(place, small)
    assert done.returncode == 1
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert rows[0] == ["case", "verdict", "seconds", "MiB", "reason"]
    assert [(row[0], row[1]) for row in rows[1:4]] == [
        ("one", "accepted"),
        ("two", "wrong_answer"),
        ("zero", "wrong_answer"),
    ]
    assert rows[2][4] == "standard output differs, line 1: '4', not '5'"
    assert rows[4] == ["wrong_answer: 1 of 3 cases"]


def test_numbers_may_differ_and_the_exit_code_tells_the_verdict(place: Path, small: Path) -> None:
    (place / "cases" / "two.out").unlink()
    done = judge(place, small, "--tolerance", "0.1")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "accepted: 3 of 3 cases")


def test_cases_may_be_lines_of_json_and_the_answer_too(place: Path, small: Path) -> None:
    lines = [{"id": "a", "stdin": "1", "expected": {"stdout": "2"}}, {"stdin": "x"}]
    (place / "cases.jsonl").write_text("\n".join(map(json.dumps, lines)))
    done = snekhouse("judge", str(place / "double.py"), str(place / "cases.jsonl"), "--registry", str(small), "--json")
    answer = json.loads(done.stdout)
    assert (answer["verdict"], answer["passed"], answer["runtime"]) == ("runtime_error", 1, "only")
    assert [(case["id"], case["verdict"]) for case in answer["cases"]] == [("a", "accepted"), ("", "runtime_error")]


def test_a_checker_judges(place: Path, small: Path) -> None:
    (place / "check.py").write_text("import sys; sys.exit(int(open('output').read()) % 4 != 0)")
    done = judge(place, small, "--checker", str(place / "check.py"))
    assert done.stdout.splitlines()[-1] == "wrong_answer: 2 of 3 cases"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "has no cases; it needs files NAME.in and NAME.out"),
        ("nonsense", "line 1 is not a JSON object"),
        ('\n{"stdn": ""}', "line 2: stdn: unknown; did you mean 'stdin'?"),
        ('\n\n{"limits": {"memory": 1000000000000}}', "line 3: limits.memory: 1000000000000 is above this runtime's"),
        ('{"expected": {"match": "near"}}', "line 1: expected.match: Input should be 'exact', 'trimmed', 'tokens' or"),
    ],
)
def test_cases_that_cannot_be_read_are_told(place: Path, small: Path, content: str, told: str) -> None:
    (place / "cases.jsonl").write_text(content)
    done = snekhouse("judge", str(place / "double.py"), str(place / "cases.jsonl"), "--registry", str(small))
    assert done.returncode == 2
    assert told in done.stderr


def test_a_tolerance_that_is_no_number_is_refused(place: Path, small: Path) -> None:
    done = judge(place, small, "--tolerance", "-1")
    assert (done.returncode, "--tolerance: -1.0 is not a number of 0 or more" in done.stderr) == (2, True)


def test_runtimes_that_agree_and_that_differ_are_told(place: Path, registry_path: Path) -> None:
    stdin = str(place / "cases" / "one.in")
    done = snekhouse("compare", str(place / "double.py"), "--stdin-file", stdin, "--registry", str(registry_path))
    assert (done.returncode, done.stdout[:20]) == (0, "all runtimes agree: ")
    (place / "new.py").write_text("print(f'{1=}')")
    done = snekhouse("compare", str(place / "new.py"), "--registry", str(registry_path))
    assert done.returncode == 1
    first, *_ = done.stdout.splitlines()
    assert first.startswith("1. ")
    assert "3.7" not in first
    assert "-1=1" in done.stdout


def test_runtimes_that_cannot_be_compared_are_told(place: Path, small: Path) -> None:
    parsed = tomllib.loads(small.read_text())
    only = {key: value for key, value in parsed["runtimes"]["only"].items() if "names" not in key and key != "aliases"}
    parsed["runtimes"]["broken"] = only | {"mounts": [*only["mounts"], {"source": "/nowhere"}]}
    small.write_text(tomli_w.dumps({"default": "only", **parsed}))
    stdin = str(place / "cases" / "one.in")
    done = snekhouse("compare", str(place / "double.py"), "--stdin-file", stdin, "--registry", str(small))
    assert (done.returncode, done.stdout) == (0, "all runtimes agree: only\n"), done.stderr
    assert "snekhouse: not compared, because unavailable: broken" in done.stderr


def test_versions_make_no_difference_if_so_asked(place: Path, registry_path: Path) -> None:
    (place / "version.py").write_text("import sys; print('%d.%d' % sys.version_info[:2])")
    done = snekhouse("compare", str(place / "version.py"), "--normalize", "--json", "--registry", str(registry_path))
    assert done.returncode == 0
    assert len(json.loads(done.stdout)) == 1
