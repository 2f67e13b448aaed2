"""What a cell of a session does, in each Python and for both ways to start."""

from typing import Any

import pytest

from serving import Server
from sessions.conftest import NewSession, Session
from snekhouse.registry.discovery.interpreters import find_interpreters
from snekhouse.registry.models import Registry

NAMES = [f"{each.release[0]}.{each.release[1]}" for each in find_interpreters() if each.implementation == "cpython"]

VALUES = {
    "the value of an expression at the end": ("x = 2\nx + 1", "3"),
    "no value of a statement": ("x = 2", ""),
    "no value of None": ("None", ""),
    "only the last expression": ("1\n2", "2"),
    "a string as its repr": ("'a'", "'a'"),
    "a class": ("class A:\n    def f(self): return 1\nA().f()", "1"),
    "a nested function that sees a global": ("y = 5\ndef f(): return y\nf()", "5"),
    "a comprehension": ("[i * y for i in range(3) for y in (2,)]", "[0, 2, 4]"),
    "an empty cell": ("", ""),
    "only a comment": ("# nothing", ""),
    "the module": ("__name__", "'__main__'"),
    "the arguments": ("import sys; sys.argv", "['']"),
    "a module of the library": ("import json; json.dumps({'a': [1]})", "'{\"a\": [1]}'"),
    "characters beyond ASCII": ("'ä€😀'", "'ä€😀'"),
    "the working folder": ("import os; os.getcwd()", "'/home'"),
}


@pytest.mark.parametrize("runtime", sorted(set(NAMES)))
def test_cells_have_values_in_each_python(new_session: NewSession, runtime: str) -> None:
    session = new_session(runtime=runtime)
    for title, (code, expected) in VALUES.items():
        assert session.value(code) == expected, title
    assert session.show().json()["execution_count"] == len(VALUES)


@pytest.mark.parametrize("runtime", sorted(set(NAMES)))
def test_names_stay_from_one_cell_to_the_next(new_session: NewSession, runtime: str) -> None:
    session = new_session(runtime=runtime)
    session.run("import collections\nx = [1]")
    session.run("x.append(2)\ndef f(): return collections.Counter(x)")
    assert session.value("f()[2], x") == "(1, [1, 2])"
    assert session.value("_") == "(1, [1, 2])"


def test_a_session_needs_no_body(session_server: Server) -> None:
    answer = session_server.client.post("/sessions")
    assert answer.status_code == 201
    session_server.client.delete(f"/sessions/{answer.json()['id']}")


@pytest.mark.parametrize("runtime", sorted(set(NAMES)))
def test_an_exception_leaves_the_state_usable(new_session: NewSession, runtime: str) -> None:
    session = new_session(runtime=runtime)
    answer = session.run("x = 1\ndef f():\n    y = 0\n    return 1 / y\nf()")
    assert (answer["status"], answer["state"], answer["returncode"]) == ("error", "kept", 1)
    assert answer["error"] == {"name": "ZeroDivisionError", "value": "division by zero", "line": 4}
    assert answer["stdout"].startswith('Traceback (most recent call last):\n  File "<cell 1>", line 5, in <module>\n')
    assert "return 1 / y" in answer["stdout"]
    assert "session.py" not in answer["stdout"]
    assert session.value("x") == "1"


ERRORS = {
    "def f(:": ("SyntaxError", 1),
    "x = 1\nreturn": ("SyntaxError", 2),
    "raise KeyboardInterrupt": ("KeyboardInterrupt", 1),
    "raise BaseException('b')": ("BaseException", 1),
    "class E(Exception):\n    def __str__(self): raise ValueError\nraise E": ("E", 3),
    "class R:\n    def __repr__(self): raise ValueError('r')\nR()": ("ValueError", 2),
    "import sys; sys.setrecursionlimit(90)\ndef f(): f()\nf()": ("RecursionError", 2),
}


@pytest.mark.parametrize("code", ERRORS)
def test_errors_are_told_with_name_and_line(session: Session, code: str) -> None:
    answer = session.run(code)
    assert (answer["status"], answer["state"]) == ("error", "kept")
    assert (answer["error"]["name"], answer["error"]["line"]) == ERRORS[code]
    assert session.value("1 + 1") == "2"


def test_top_level_await_runs_in_a_loop_of_the_cell(session: Session) -> None:
    assert session.value("import asyncio\nx = await asyncio.sleep(0, 5)\nx") == "5"
    assert session.value("await asyncio.gather(*(asyncio.sleep(0, i) for i in range(3)))") == "[0, 1, 2]"
    answer = session.run("async def f(): 1 / 0\nawait f()")
    assert (answer["error"]["name"], answer["error"]["line"], answer["state"]) == ("ZeroDivisionError", 1, "kept")
    assert "asyncio" not in answer["stdout"]


def test_a_future_import_holds_for_later_cells(session: Session) -> None:
    session.run("from __future__ import annotations")
    assert session.value("def f(x: nothing): pass\nf.__annotations__['x']") == "'nothing'"


def test_each_cell_has_its_own_input(session: Session) -> None:
    assert session.value("input('? '), input()", stdin="a\nb\nrest") == "('a', 'b')"
    assert session.value("input()", stdin="c\n") == "'c'"
    assert session.run("input()")["error"]["name"] == "EOFError"
    assert session.value("import sys; sys.stdin.read()", stdin="all of it") == "'all of it'"


def test_output_is_returned_with_its_cell(session: Session) -> None:
    assert session.run("print('a', end='')")["stdout"] == "a"
    answer = session.run(
        "import sys, os; print('out'); print('err', file=sys.stderr); os.write(1, b'raw')", separate_stderr=True
    )
    assert (answer["stdout"], answer["stderr"]) in (("out\nraw", "err\n"), ("rawout\n", "err\n"))
    assert session.run("import os; os.write(1, bytes([255]))", encoding="base64")["stdout"] == "/w=="
    assert session.run("import os; os.write(1, bytes([255]))")["message"].startswith("UnicodeDecodeError")


def test_a_value_is_shown_in_the_formats_that_it_offers(session: Session) -> None:
    code = """
class Rich:
    def __repr__(self): return "rich"
    def _repr_html_(self): return "<b>rich</b>"
    def _repr_markdown_(self): return "**rich**"
    def _repr_svg_(self): return None
    def _repr_png_(self): return b"png"
    def _repr_json_(self): return {"a": 1}
    def _repr_latex_(self): return "$r$"
Rich()
"""
    expected = {
        "text": "rich",
        "html": "<b>rich</b>",
        "markdown": "**rich**",
        "png": "cG5n",
        "json": '{"a": 1}',
        "latex": "$r$",
    }
    assert session.run(code)["result"] == expected
    assert session.value("Rich")[:6] == "<class"


def test_a_format_that_fails_is_left_out(session: Session) -> None:
    assert "Mock" in session.value("from unittest.mock import Mock; Mock()")
    code = "class B:\n    def __repr__(self): return 'b'\n    def _repr_html_(self): 1 / 0\n    def _repr_json_(self): return {1}\nB()"
    assert session.run(code)["result"] == {"text": "b"}


def test_a_large_value_is_cut_to_the_limit_of_output(session: Session) -> None:
    limits = {"output": 1000}
    assert session.value("'a' * 5000", limits=limits) == "'" + "a" * 999
    code = "class H:\n    def __repr__(self): return 'h'\n    def _repr_html_(self): return 'a' * 5000\nH()"
    assert session.run(code, limits=limits)["result"] == {"text": "h"}


def test_files_come_and_go_with_cells(new_session: NewSession) -> None:
    session = new_session(files=[{"path": "in.txt", "content": "aGk="}])
    answer = session.run("open('out.txt', 'w').write(open('in.txt').read().upper())")
    assert [(each["path"], each["content"]) for each in answer["files"]] == [("out.txt", "SEk=")]
    assert session.run("1")["files"] == []
    answer = session.run("open('out.txt', 'a').write('!')", files=[{"path": "a/b", "content": "Yg=="}])
    assert [(each["path"], each["content"]) for each in answer["files"]] == [("out.txt", "SEkh")]
    assert session.value("open('a/b').read()") == "'b'"


def test_random_numbers_follow_a_seed_over_cells(session: Session) -> None:
    session.run("import random; random.seed(1)")
    cells = [session.value("random.random()") for _ in range(2)]
    session.run("random.seed(1)")
    assert session.value("(random.random(), random.random())") == f"({', '.join(cells)})"


def test_two_sessions_have_different_random_numbers(new_session: NewSession) -> None:
    numbers = {new_session().value("import random; random.random()") for _ in range(3)}
    assert len(numbers) == 3


def test_exit_ends_the_session_with_its_code(new_session: NewSession) -> None:
    for code, expected in {"exit(4)": 4, "import sys; sys.exit()": 0, "raise SystemExit('no')": 1}.items():
        session = new_session()
        answer = session.run(f"import atexit; atexit.register(print, 'at exit')\n{code}")
        assert (answer["returncode"], answer["state"]) == (expected, "lost")
        assert "at exit" in answer["stdout"]
        assert session.show().status_code == 410


def test_source_of_cells_can_be_inspected(session: Session) -> None:
    session.run("import inspect")
    session.run("def f():\n    return 1\n")
    assert session.value("inspect.getsource(f)") == repr("def f():\n    return 1\n")


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no code": ({}, "input: Field required"),
    "an unknown key": ({"input": "1", "inptu": "2"}, "inptu: "),
    "a misspelt limit": (
        {"input": "1", "limits": {"wal_time": 1}},
        "limits.wal_time: unknown; did you mean 'wall_time'?",
    ),
    "a limit of the session": ({"input": "1", "limits": {"memory": 1}}, "limits.memory: unknown"),
    "a limit that is too high": ({"input": "1", "limits": {"wall_time": 900}}, "limits.wall_time: 900.0 is above"),
    "a path outside": ({"input": "1", "files": [{"path": "/etc/x"}]}, "files.0.path: must be a relative path"),
}


@pytest.mark.parametrize("title", BAD)
def test_bad_cells_are_refused_with_the_reason(session: Session, title: str) -> None:
    body, expected = BAD[title]
    answer = session.client.post(f"/sessions/{session.id}/eval", json=body)
    assert answer.status_code == 400
    assert expected in answer.json()["description"]
    assert session.value("1") == "1"


def test_the_default_runtime_is_that_of_the_registry(new_session: NewSession, registry: Registry) -> None:
    assert new_session().show().json()["runtime"] == registry.default
