"""Judging: cases of one program, their verdicts, and fairness to others."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving import PATIENCE, SLOWNESS, Server, running_server

DOUBLE = "print(int(input()) * 2)"


def judged(client: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = client.post("/judge", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def verdict_of(client: httpx.Client, code: str, expected: dict[str, Any] | None = None, **case: Any) -> dict[str, Any]:
    """Judge a program by one case."""
    answer = judged(client, input=code, cases=[{"expected": expected or {}, **case}])
    (found,) = answer["cases"]
    assert answer["verdict"] == found["verdict"]
    return dict(found)


def test_cases_are_judged_in_each_python(client: httpx.Client) -> None:
    cases = [
        {"id": str(number), "stdin": f"{number}", "expected": {"stdout": f"{2 * number}\n"}} for number in range(20)
    ]
    for runtime in client.get("/runtimes").json()["runtimes"]:
        answer = client.post(f"/judge/{runtime['name']}", json={"input": DOUBLE, "cases": cases}).json()
        assert (answer["verdict"], answer["passed"], answer["count"]) == ("accepted", 20, 20), answer
        assert answer["runtime"] == runtime["name"]
        assert [(case["index"], case["id"]) for case in answer["cases"]] == [(n, str(n)) for n in range(20)]
        assert [case["stdout"] for case in answer["cases"]] == [f"{2 * number}\n" for number in range(20)]
        assert answer["usage"]["cpu_time"] > 0


VERDICTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "nothing expected": ("print(1)", {}, "accepted"),
    "right": ("print(1)", {"stdout": "1"}, "accepted"),
    "wrong": ("print(1)", {"stdout": "2"}, "wrong_answer"),
    "an exception": ("1 / 0", {"stdout": ""}, "runtime_error"),
    "exit code": ("import sys; sys.exit(3)", {}, "runtime_error"),
    "the exit code that is expected": ("import sys; sys.exit(3)", {"returncode": 3}, "accepted"),
    "not the exit code that is expected": ("print(1)", {"returncode": 3}, "wrong_answer"),
    "a signal": ("import os; os.kill(os.getpid(), 11); os.abort()", {}, "runtime_error"),
    "too much time": ("while True: pass", {}, "time_limit"),
    "too much memory": ("x = bytearray(400 << 20)", {}, "memory_limit"),
    "too much output": ("while True: print('a' * 1000)", {}, "output_limit"),
    "not UTF-8": (r"import sys; sys.stdout.buffer.write(b'\xff')", {"stdout": ""}, "runtime_error"),
    "exact": ("print('a')", {"stdout": "a", "match": "exact"}, "wrong_answer"),
    "tokens": ("print('a  b')\nprint(1)", {"stdout": "a b 1", "match": "tokens"}, "accepted"),
    "a number": ("print(1 / 3)", {"stdout": "0.33333", "match": {"float": 1e-4}}, "accepted"),
    "a number too far": ("print(1 / 3)", {"stdout": "0.333", "match": {"float": 1e-4}}, "wrong_answer"),
    "absolute": ("print(10.4)", {"stdout": "10", "match": {"float": {"absolute": 0.5}}}, "accepted"),
    "relative": ("print(10.4)", {"stdout": "10", "match": {"float": {"relative": 0.01}}}, "wrong_answer"),
    "a file": ("open('a', 'w').write('x')", {"files": [{"path": "a", "content": "eA=="}]}, "accepted"),
    "another file": ("open('a', 'w').write('y')", {"files": [{"path": "a", "content": "eA=="}]}, "wrong_answer"),
    "no file": ("", {"files": [{"path": "a", "content": "eA=="}]}, "wrong_answer"),
}
"""Program, what is expected, and the verdict."""


@pytest.mark.parametrize("title", VERDICTS)
def test_each_verdict_comes_from_a_real_program(client: httpx.Client, title: str) -> None:
    code, expected, verdict = VERDICTS[title]
    found = verdict_of(client, code, expected, limits={"wall_time": 1.0})
    assert found["verdict"] == verdict, found
    assert bool(found["reason"]) is (verdict != "accepted")


def test_a_difference_is_told(client: httpx.Client) -> None:
    found = verdict_of(client, "print('a\\nb\\nc')", {"stdout": "a\nx\nc"})
    assert found["difference"] == {
        "line": 2,
        "expected": "x",
        "actual": "b",
        "diff": "--- expected\n+++ actual\n@@ -1,3 +1,3 @@\n a\n-x\n+b\n c",
    }


def test_a_case_replaces_what_it_sets(client: httpx.Client) -> None:
    answer = judged(
        client,
        input="import sys; print(input(), sys.argv[1:], sorted(__import__('os').listdir()))",
        stdin="own",
        files=[{"path": "a", "content": ""}],
        limits={"wall_time": 2.0},
        cases=[
            {},
            {"stdin": "other", "files": [{"path": "b", "content": ""}]},
            {"input": "print('another program')"},
            {"args": ["a.py", "x"], "files": [{"path": "a.py", "content": "cHJpbnQoMyk="}], "input": ""},
            {"limits": {"wall_time": 0.5}, "input": "import time; time.sleep(1)"},
        ],
    )
    told = [case["stdout"] for case in answer["cases"]]
    assert told == ["own [] ['a']\n", "other [] ['a', 'b']\n", "another program\n", "3\n", ""]
    assert answer["cases"][4]["verdict"] == "time_limit"


def test_a_program_may_come_with_each_case(client: httpx.Client) -> None:
    answer = judged(client, cases=[{"input": "print(1)", "expected": {"stdout": "1"}}, {"input": "print(2)"}])
    assert answer["verdict"] == "accepted"
    refused = client.post("/judge", json={"cases": [{"input": "print(1)"}, {"stdin": ""}]})
    assert refused.status_code == 400
    assert "one of 'input' and 'args' is required, here or in cases.1" in refused.json()["description"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"input": "1"}, "cases: Field required"),
        ({"input": "1", "cases": []}, "'cases' needs at least one case"),
        ({"input": "1", "cases": [{}] * 10_001}, "cases: Tuple should have at most 10000 items"),
        ({"input": "1", "cases": [{}], "match": "exact"}, "match: unknown"),
        ({"input": "1", "cases": [{}], "stdinn": "1"}, "stdinn: unknown; did you mean 'stdin'?"),
        ({"input": "1", "cases": [{"expectd": {}}]}, "cases.0.expectd: unknown; did you mean 'expected'?"),
        (
            {"input": "1", "cases": [{"expected": {"match": {"flot": 1}}}]},
            "cases.0.expected.match.flot: unknown; did you mean 'float'?",
        ),
        (
            {"input": "1", "cases": [{"expected": {"match": "nearly"}}]},
            "cases.0.expected.match: Input should be 'exact', 'trimmed', 'tokens' or an object such as {\"float\": 1e-6}",
        ),
        (
            {"input": "1", "cases": [{"expected": {"match": {"float": "1e-6"}}}]},
            "cases.0.expected.match.float: Input should be a number, or an object such as",
        ),
        ({"input": "1", "cases": [{}, {"limits": {"wall_time": 60}}]}, "cases.1: limits.wall_time: 60.0 is above"),
        ({"input": "1", "cases": [{"files": [{"path": "../a"}]}]}, "cases.0.files.0.path: must be below the home"),
        ({"input": "1", "result": True, "cases": [{}]}, "'result' is not supported here"),
    ],
)
def test_a_request_that_cannot_be_judged_is_refused_with_the_place(
    client: httpx.Client, body: dict[str, Any], told: str
) -> None:
    answer = client.post("/judge", json=body)
    assert answer.status_code == 400
    assert told in answer.json()["description"]


CHECKER = """
out = open('output').read().split()
assert open('input').read() == '15', open('input').read()
limit = int(open('expected').read())
print('factors', *out)
import math, sys
sys.exit(0 if math.prod(map(int, out)) == 15 and len(out) <= limit else 1)
"""


@pytest.mark.parametrize(
    ("code", "verdict", "reason"),
    [
        ("print(3, 5)", "accepted", "factors 3 5"),
        ("print(5, 3)", "accepted", "factors 5 3"),
        ("print(1, 3, 5)", "wrong_answer", "factors 1 3 5"),
        ("print('x')", "internal_error", "the checker failed (error)"),
        ("1 / 0", "runtime_error", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_checker_may_judge_output(client: httpx.Client, code: str, verdict: str, reason: str) -> None:
    body = {"input": code, "checker": {"input": CHECKER}, "cases": [{"stdin": "15", "expected": {"stdout": "2"}}]}
    (found,) = judged(client, **body)["cases"]
    assert found["verdict"] == verdict
    assert found["reason"].startswith(reason)


def test_a_program_cannot_see_what_is_expected_nor_other_cases(client: httpx.Client) -> None:
    code = """
import os, sys, glob
seen = [os.path.join(top, name) for top, _, names in os.walk('/') for name in names if 'proc' not in top]
text = ''.join(open(path, errors='replace').read() for path in seen if path.startswith(('/home', '/dev/shm')))
open('/home/left', 'w').write(input())
open('/dev/shm/left', 'w').write('x')
print('secret' in text + repr(os.environ) + repr(sys.argv[1:]), 'left' in text, [p for p in seen if 'left' in p])
"""
    cases = [{"stdin": f"secret {number}", "expected": {"stdout": "secret"}} for number in range(6)]
    answer = judged(client, input=code, cases=cases)
    assert {case["stdout"] for case in answer["cases"]} == {"False False []\n"}


def test_the_rest_is_skipped_after_the_first_failure(client: httpx.Client) -> None:
    cases = [{"stdin": "1"}, {"stdin": "2"}, {"stdin": "x"}, *[{"stdin": "3"}] * 50]
    answer = judged(client, input=f"import time; time.sleep(0.02); {DOUBLE}", cases=cases, stop="first_failure")
    verdicts = [case["verdict"] for case in answer["cases"]]
    assert verdicts[2] == answer["verdict"] == "runtime_error"
    assert verdicts.count("skipped") > 40
    assert answer["cases"][-1]["status"] is None


def test_what_cannot_be_done_in_time_is_skipped(client: httpx.Client) -> None:
    begin = time.monotonic()
    answer = judged(client, input="import time; time.sleep(0.3)", cases=[{}] * 100, timeout=1.0)
    assert time.monotonic() - begin < 3 * SLOWNESS
    verdicts = [case["verdict"] for case in answer["cases"]]
    assert set(verdicts) == {"accepted", "skipped"}
    assert answer["verdict"] == "skipped"
    assert answer["passed"] == verdicts.count("accepted")


@pytest.mark.parametrize(("outputs", "told"), [("all", ["2\n", "4\n"]), ("failed", ["", "4\n"]), ("none", ["", ""])])
def test_output_is_returned_where_it_is_wanted(client: httpx.Client, outputs: str, told: list[str]) -> None:
    cases = [{"stdin": "1", "expected": {"stdout": "2"}}, {"stdin": "2", "expected": {"stdout": "5"}}]
    answer = judged(client, input=DOUBLE, cases=cases, outputs=outputs)
    assert [case["stdout"] for case in answer["cases"]] == told
    assert [case["verdict"] for case in answer["cases"]] == ["accepted", "wrong_answer"]


def events(client: httpx.Client, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    with client.stream("POST", path, json=body, headers={"Accept": "application/x-ndjson"}) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == "application/x-ndjson"
        return [json.loads(line) for line in answer.iter_lines()]


def test_cases_stream_as_they_end(client: httpx.Client) -> None:
    cases = [{"stdin": str(number), "expected": {"stdout": "4"}} for number in range(10)]
    start, *rest, end = events(client, "/judge", {"input": DOUBLE, "cases": cases})
    assert (start["event"], start["count"]) == ("start", 10)
    assert sorted(case["index"] for case in rest) == list(range(10))
    assert {case["event"] for case in rest} == {"case"}
    assert [case["index"] for case in rest if case["verdict"] == "accepted"] == [2]
    assert (end["event"], end["verdict"], end["passed"]) == ("end", "wrong_answer", 1)


def test_others_wait_for_at_most_one_case(client: httpx.Client, server: Server) -> None:
    cases: list[dict[str, Any]] = [{}] * 40
    answers: list[dict[str, Any]] = []

    def judge() -> None:
        with httpx.Client(base_url=server.client.base_url, timeout=PATIENCE) as own:
            answers.append(judged(own, input="import time; time.sleep(0.1)", cases=cases, outputs="none"))

    judging = [threading.Thread(target=judge) for _ in range(3)]
    for each in judging:
        each.start()
    time.sleep(0.3)
    waits: list[float] = []
    while judging[0].is_alive() and len(waits) < 10:
        waits.append(client.post("/eval", json={"input": "print(1)"}).json()["usage"]["queue_time"])
    for each in judging:
        each.join()
    assert [answer["verdict"] for answer in answers] == ["accepted"] * 3
    assert len(waits) == 10
    assert max(waits) < 0.25 * SLOWNESS, "a case takes 0.1 s, and each slot runs one"


def test_a_client_that_leaves_ends_its_cases(client: httpx.Client, server: Server) -> None:
    with httpx.Client(base_url=server.client.base_url, timeout=0.5) as impatient, pytest.raises(httpx.ReadTimeout):
        impatient.post("/judge", json={"input": "import time; time.sleep(5)", "cases": [{}] * 100})
    begin = time.monotonic()
    assert client.post("/eval", json={"input": "print(1)"}).json()["status"] == "ok"
    assert time.monotonic() - begin < 2 * SLOWNESS


def test_the_memory_of_the_server_has_a_limit_however_much_cases_print(small: Path, tmp_path: Path) -> None:
    small.write_text(small.read_text().replace("[server]\n", '[server]\nmax_in_transit = "16MiB"\n'))
    with running_server(small, tmp_path / "log") as own:
        answer = judged(own.client, input="print('a' * 900_000)", cases=[{}] * 60)
    sizes = [len(case["stdout"]) for case in answer["cases"]]
    assert answer["verdict"] == "accepted"
    assert 1 << 20 < sum(sizes) < 16 << 20
    for case in answer["cases"]:
        assert case["stdout"] or (case["truncated"] and case["verdict"] == "accepted")


@pytest.mark.parametrize("path", ["/judge", "/compare"])
def test_the_time_of_a_request_may_be_in_its_header(client: httpx.Client, path: str) -> None:
    body: dict[str, Any] = {"input": "import time; time.sleep(2)"} | ({"cases": [{}] * 10} if path == "/judge" else {})
    begin = time.monotonic()
    answer = client.post(path, json=body, headers={"X-Request-Timeout": "0.5"})
    assert answer.status_code == 200
    assert time.monotonic() - begin < 2
    assert "skipped" in answer.text
    for wrong in ("0", "-1", "nan", "inf", "soon"):
        answer = client.post(path, json=body, headers={"X-Request-Timeout": wrong})
        assert answer.status_code == 400
        assert "X-Request-Timeout" in answer.json()["description"]


def test_a_full_queue_is_told_before_and_within_a_stream(small: Path, tmp_path: Path) -> None:
    small.write_text(small.read_text().replace("[server]\n", "[server]\nconcurrency = 1\nqueue = 0\ndrain = 1.0\n"))
    with running_server(small, tmp_path / "log") as own:
        busy = threading.Thread(
            target=lambda: httpx.post(f"{own.client.base_url}/eval", json={"input": "import time; time.sleep(3)"})
        )
        busy.start()
        time.sleep(0.5)
        routes: list[tuple[str, dict[str, Any]]] = [("/judge", {"cases": [{}]}), ("/compare", {})]
        for path, more in routes:
            answer = own.client.post(path, json={"input": "1", **more})
            assert (answer.status_code, answer.json()["title"]) == (503, "Service Unavailable"), path
            start, end = events(own.client, path, {"input": "1", **more})
            assert (start["event"], end["event"], end["error"]["title"]) == ("start", "end", "Service Unavailable")
        busy.join()
        assert judged(own.client, input="print(1)", cases=[{}])["verdict"] == "accepted"


def test_what_would_take_too_much_memory_is_refused(client: httpx.Client) -> None:
    files = [{"path": str(number)} for number in range(2000)]
    answer = client.post("/judge", json={"input": "1", "files": files, "cases": [{}] * 1000})
    assert answer.status_code == 400
    assert "counted for each case, are 2001000" in answer.json()["description"]


def test_large_files_of_the_request_count_once(client: httpx.Client) -> None:
    files = [{"path": "in", "content": "A" * 400_000}]
    cases = [{"expected": {"stdout": "300000"}}] * 2000
    code = "import os; print(os.stat('in').st_size)"
    answer = client.post("/judge", json={"input": code, "files": files, "cases": cases[:40], "outputs": "none"}).json()
    assert answer["verdict"] == "accepted", answer["cases"][0]


def test_the_verdict_is_that_of_a_case_that_failed_also_if_earlier_ones_are_skipped(client: httpx.Client) -> None:
    cases = [{"input": "import time; time.sleep(3)"}, {"input": "1 / 0"}]
    answer = judged(client, cases=cases, stop="first_failure")
    assert [case["verdict"] for case in answer["cases"]] == ["skipped", "runtime_error"]
    assert answer["verdict"] == "runtime_error"


@pytest.mark.alone
def test_a_large_expected_text_does_not_stop_the_server(client: httpx.Client, server: Server) -> None:
    cases = [{"expected": {"stdout": "\n" * 10_000_000 + "x"}}]
    done: list[dict[str, Any]] = []
    with httpx.Client(base_url=server.client.base_url, timeout=PATIENCE) as other:
        judging = threading.Thread(target=lambda: done.append(judged(other, input="1", cases=cases)))
        judging.start()
        longest = 0.0
        while judging.is_alive():
            begin = time.monotonic()
            assert client.get("/healthz").status_code == 200
            longest = max(longest, time.monotonic() - begin)
        judging.join()
    assert done[0]["verdict"] == "wrong_answer"
    assert longest < 1.0 * SLOWNESS


def test_a_checker_that_prints_a_traceback_still_refuses(client: httpx.Client) -> None:
    checker = "print(open('output').read()); import sys; sys.exit(1)"
    code = "print('Traceback (most recent call last):\\n  File \"<string>\", line 1, in <module>\\nValueError: x')"
    (found,) = judged(client, input=code, checker={"input": checker}, cases=[{}])["cases"]
    assert found["verdict"] == "wrong_answer"
