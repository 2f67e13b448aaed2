"""The value of the expression at the end of a program, which a request may ask for."""

from typing import Any

import httpx
import pytest

from serving import Server


@pytest.fixture(params=["forking_server", "cold_server"])
def client(request: pytest.FixtureRequest) -> httpx.Client:
    """A client of a server that forks, and of one that starts evaluations cold."""
    server: Server = request.getfixturevalue(request.param)
    return server.client


def evaluated(client: httpx.Client, code: str, runtime: str = "", **fields: Any) -> dict[str, Any]:
    answer = client.post("/eval", json={"input": code, "result": True, "runtime": runtime, **fields})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_each_python_returns_a_value(client: httpx.Client) -> None:
    for runtime in client.get("/runtimes").json()["runtimes"]:
        answer = evaluated(client, "x = 6\nprint('hello')\nx * 7", runtime["name"])
        told = {name: answer[name] for name in ("stdout", "result", "figures", "returncode", "status")}
        assert told == {
            "stdout": "hello\n",
            "result": {"text": "42"},
            "figures": [],
            "returncode": 0,
            "status": "ok",
        }, answer
        assert "state" not in answer


def test_an_exit_in_each_python_prints_nothing(client: httpx.Client) -> None:
    for runtime in client.get("/runtimes").json()["runtimes"]:
        answer = evaluated(client, "import threading; raise SystemExit(0)", runtime["name"])
        assert (answer["stdout"], answer["returncode"]) == ("", 0), answer


ENDINGS = {
    "nothing": ("x = 1", "ok", 0, None),
    "None": ("None", "ok", 0, None),
    "an exception": ("1 / 0", "error", 1, None),
    "exit": ("import sys; sys.exit(3)", "error", 3, None),
    "_exit": ("import os; os._exit(7)", "error", 7, None),
    "a signal": ("import os; os.abort()", "signaled", 134, None),
    "too much time": ("while True: pass", "timeout", 137, None),
    "too much memory": ("x = bytearray(400 << 20)", "out_of_memory", 137, None),
    "too much output": ("while True: print('a' * 1000)", "output_limit", 143, None),
    "files": ("open('in').read()", "ok", 0, {"text": "'hello'"}),
    "input": ("input()", "ok", 0, {"text": "'typed'"}),
    "await": ("import asyncio\nawait asyncio.sleep(0, 5)", "ok", 0, {"text": "5"}),
    "a format": (
        "class A:\n    def __repr__(self): return 'A'\n    def _repr_html_(self): return '<a>'\nA()",
        "ok",
        0,
        {"text": "A", "html": "<a>"},
    ),
}
"""Code: status, exit code and value."""


@pytest.mark.parametrize("title", ENDINGS)
def test_a_program_ends_as_without_the_value(client: httpx.Client, title: str) -> None:
    code, status, returncode, value = ENDINGS[title]
    fields: dict[str, Any] = {
        "files": [{"path": "in", "content": "aGVsbG8="}],
        "stdin": "typed\n",
        "limits": {"wall_time": 1.0},
    }
    answer = evaluated(client, code, **fields)
    assert (answer["status"], answer["returncode"], answer["result"]) == (status, returncode, value), answer


def test_the_exception_is_told(client: httpx.Client) -> None:
    answer = evaluated(client, "x = 1\nraise ValueError('é')")
    assert answer["error"] == {"name": "ValueError", "value": "é", "line": 2}
    assert answer["stdout"].endswith("ValueError: é\n")


def test_files_that_the_program_leaves_come_back(client: httpx.Client) -> None:
    answer = evaluated(client, "open('out', 'w').write('1')", files=[{"path": "in", "content": ""}])
    assert [file["path"] for file in answer["files"]] == ["out"]


def test_a_file_that_cannot_be_written_is_told(client: httpx.Client) -> None:
    files = [{"path": "a", "content": ""}, {"path": "a/b", "content": ""}]
    answer = evaluated(client, "1", files=files)
    assert (answer["status"], answer["returncode"]) == ("file_error", None)


def test_a_value_without_the_request_for_it_is_not_in_the_answer(client: httpx.Client) -> None:
    answer = client.post("/eval", json={"input": "1"}).json()
    assert not {"result", "figures"} & set(answer)


@pytest.mark.parametrize("body", [{"args": ["main.py"]}, {"args": ["-c", "1"]}, {"args": ["-O", "-c"], "input": "1"}])
def test_only_input_has_a_value(client: httpx.Client, body: dict[str, Any]) -> None:
    answer = client.post("/eval", json={**body, "result": True})
    assert answer.status_code == 400
    assert "'result' needs a program in 'input', and no 'args'" in answer.json()["description"]


def test_a_value_is_cut_at_the_limit_of_output(client: httpx.Client) -> None:
    answer = evaluated(client, "'a' * 100_000", limits={"output": 5000})
    assert len(answer["result"]["text"]) == 5000


def test_too_little_memory_is_refused_with_the_remedy(client: httpx.Client) -> None:
    answer = client.post("/eval", json={"input": "1", "result": True, "limits": {"memory": 100_000}})
    assert answer.status_code == 400
    assert "send a higher limit" in answer.json()["description"]
