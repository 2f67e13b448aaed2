"""The answer tells the exception that ended a program, in every runtime and both ways to start."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from snekhouse.registry.models import Registry


def _script(code: str, path: str = "main.py") -> list[dict[str, str]]:
    return [{"path": path, "content": base64.b64encode(code.encode()).decode()}]


RAISING = "x = 1\ndef f():\n    raise ValueError('a\\nb')\n\nf()\n"
RAISED = {"name": "ValueError", "value": "a\nb", "line": 3}

# What is asked, and the name, text and line of the exception.
FAILING: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "code": ({"input": RAISING}, RAISED),
    "a file": ({"args": ["main.py"], "files": _script(RAISING)}, RAISED),
    "a file in a folder": ({"args": ["./a/main.py"], "files": _script(RAISING, "a/main.py")}, RAISED),
    "a module": ({"args": ["-m", "main"], "files": _script(RAISING)}, RAISED),
    "a new interpreter": ({"args": ["-X", "dev", "-c"], "input": RAISING}, RAISED),
    "standard input": ({"args": ["-"], "stdin": RAISING}, RAISED),
    "stderr apart": ({"input": f"print('Traceback')\n{RAISING}", "separate_stderr": True}, {**RAISED, "line": 4}),
    "base64": ({"input": RAISING, "encoding": "base64"}, RAISED),
    "no colours": ({"input": RAISING, "colors": False}, RAISED),
    "a class of its own": ({"input": "class E(Exception): pass\nraise E"}, {"name": "E", "value": "", "line": 2}),
    "a library": (
        {"input": "import json\njson.loads('x')"},
        {"name": "JSONDecodeError", "value": "Expecting value: line 1 column 1 (char 0)", "line": 2},
    ),
    "another in its place": (
        {"input": "try: 1 / 0\nexcept ZeroDivisionError:\n  raise KeyError('k')"},
        {"name": "KeyError", "value": "'k'", "line": 3},
    ),
    "a long text": ({"input": "raise E('x' * 9999)".replace("E", "OSError")}, {"name": "OSError", "value": "x" * 496 + " ...", "line": 1}),
    "an interrupt": ({"input": "raise KeyboardInterrupt('k')"}, {"name": "KeyboardInterrupt", "value": "k", "line": 1}),
    "output before": ({"input": "print('x' * 500_000)\n1 / 0"}, {"name": "ZeroDivisionError", "value": "division by zero", "line": 2}),
}  # fmt: skip

QUIET: dict[str, dict[str, Any]] = {
    "nothing": {"input": "print(1)"},
    "a traceback that was caught": {"input": "import traceback\ntry: 1 / 0\nexcept Exception: traceback.print_exc()"},
    "an exit": {"input": "import sys; sys.exit(1)"},
    "an exit with a text": {"input": "import sys; sys.exit('Error: no')"},
    "a thread": {
        "input": "import sys, threading\nt = threading.Thread(target=lambda: 1 / 0); t.start(); t.join(); sys.exit(1)"
    },
    "tests that fail": {"args": ["-m", "unittest", "main"], "files": _script("import unittest\nclass T(unittest.TestCase):\n  def test(self): assert 0")},
    "a hook of its own": {"input": "import sys\nsys.excepthook = lambda *_: print('sorry')\n1 / 0"},
    "a signal": {"input": "import os\nos.abort()"},
    "a timeout": {"input": "try: 1 / 0\nexcept Exception: __import__('traceback').print_exc()\nwhile 1: pass", "limits": {"wall_time": 0.3}},
}  # fmt: skip


@pytest.fixture
def evaluations(client: httpx.Client, registry: Registry, request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """The answer of each runtime."""
    return (client.post(f"/eval/{name}", json=request.param).json() for name in registry.runtimes)


@pytest.mark.parametrize(("evaluations", "error"), FAILING.values(), ids=FAILING, indirect=["evaluations"])
def test_the_exception_is_told(evaluations: Iterator[dict[str, Any]], error: dict[str, Any]) -> None:
    for answer in evaluations:
        assert (answer["error"], answer["status"]) == (error, "error"), answer
        assert answer["returncode"] in ({1, 130} if error["name"] == "KeyboardInterrupt" else {1})


@pytest.mark.parametrize("evaluations", QUIET.values(), ids=QUIET, indirect=True)
def test_where_no_exception_ended_the_program_none_is_told(evaluations: Iterator[dict[str, Any]]) -> None:
    for answer in evaluations:
        assert answer["error"] is None, answer


@pytest.mark.parametrize("evaluations", [{"input": "x = 1\n1 +"}], indirect=True)
def test_the_place_of_a_mistake_in_the_syntax_is_told(evaluations: Iterator[dict[str, Any]]) -> None:
    for answer in evaluations:
        assert answer["error"] == {"name": "SyntaxError", "value": "invalid syntax", "line": 2}, answer


@pytest.mark.parametrize("evaluations", [{"input": "def f(): f()\nf()"}], indirect=True)
def test_a_recursion_without_end_is_told(evaluations: Iterator[dict[str, Any]]) -> None:
    for answer in evaluations:
        assert (answer["error"]["name"], answer["error"]["line"]) == ("RecursionError", 1), answer


@pytest.mark.parametrize(
    "evaluations", [{"input": "def f():\n  raise ExceptionGroup('g', [ValueError('v')])\nf()"}], indirect=True
)
def test_a_group_of_exceptions_is_told(evaluations: Iterator[dict[str, Any]]) -> None:
    for answer in evaluations:  # from 3.11 on there are some
        group = {"name": "ExceptionGroup", "value": "g (1 sub-exception)", "line": 2}
        missing = {"name": "NameError", "value": "name 'ExceptionGroup' is not defined", "line": 2}
        assert answer["error"] in (group, missing), answer
