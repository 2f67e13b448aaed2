"""`snekhouse repl`: a session at a prompt, with a server and without one."""

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from command import SNEKHOUSE
from serving import PATIENCE, SLOWNESS, Server
from snekhouse.cli.repl import is_complete


def _repl(place: list[str], text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SNEKHOUSE, "repl", *place], input=text, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


@pytest.fixture
def remote(server: Server) -> list[str]:
    """Options for a session of a server, which begins sooner."""
    return ["--url", str(server.client.base_url)]


@pytest.fixture(params=["server", "none"])
def place(request: pytest.FixtureRequest, remote: list[str], small: Path) -> list[str]:
    """Options for a session of a server, and for one without."""
    return remote if request.param == "server" else ["-r", str(small)]


def test_each_statement_is_a_cell_of_one_session(place: list[str]) -> None:
    done = _repl(place, "x = 20\nx * 2 + 2\nfor i in range(2):\n    print(i)\n\ndef f():\n    return x\n\nf()\n")
    assert (done.returncode, done.stdout) == (0, "42\n0\n1\n20\n")


def test_a_cell_can_be_undone_and_a_branch_used(place: list[str]) -> None:
    done = _repl(place, "x = 1\nx = 2\n%back\nx\n%branch\nx = 5\nx\n%back\n%back\n")
    assert (done.returncode, done.stdout) == (0, "1\n5\n")
    assert "the state contains 1 cell\n" in done.stderr
    assert "you use a branch now" in done.stderr
    assert "no checkpoint" in done.stderr


def test_a_cell_that_is_killed_is_told_and_undone(remote: list[str]) -> None:
    done = _repl(remote, "x = 1\nimport os; x = 2; os.abort()\nx\n")
    assert done.stdout == "1\n"
    assert "ended by signal SIGABRT" in done.stderr
    assert "the cell is undone" in done.stderr


def test_an_exception_is_printed_and_exit_gives_its_code(place: list[str]) -> None:
    done = _repl(place, "1 / 0\nexit(7)\nprint('not run')\n")
    assert done.returncode == 7
    assert "ZeroDivisionError: division by zero" in done.stdout
    assert "not run" not in done.stdout


def test_files_are_listed(remote: list[str]) -> None:
    assert "a.txt\t2\n" in _repl(remote, "open('a.txt', 'w').write('hi')\n%files\n").stdout


def test_what_cannot_be_used_is_an_error_with_a_remedy(small: Path) -> None:
    assert "write http://HOST:PORT" in _repl(["--url", "localhost"], "1\n").stderr
    done = _repl(["--url", "http://127.0.0.1:9"], "1\n")
    assert (done.returncode, "start the server, or leave --url out" in done.stderr) == (2, True)
    assert "there is no runtime 'nothing'" in _repl(["-r", str(small), "--runtime", "nothing"], "1\n").stderr


def test_a_percent_sign_inside_a_statement_is_no_command(remote: list[str]) -> None:
    done = _repl(remote, 's = """\n%d items\n""" % 3\ns\n')
    assert done.stdout == "'\\n3 items\\n'\n"


def test_a_session_that_the_server_refuses_is_an_error_without_a_traceback(server: Server) -> None:
    url = str(server.client.base_url)
    done = _repl(["--url", url, "--runtime", "nothing"], "1\n")
    assert (done.returncode, "there is no runtime 'nothing'" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr


def test_a_session_with_threads_cannot_branch_and_goes_on(place: list[str]) -> None:
    start = "import threading; go = threading.Event(); threading.Thread(target=go.wait, daemon=True).start(); x = 1"
    done = _repl(place, f"{start}\n%branch\nx\n")
    assert (done.returncode, done.stdout) == (0, "1\n")
    assert "a session with threads cannot branch" in done.stderr


@contextmanager
def _at_a_terminal(place: list[str], home: Path) -> Iterator[tuple[int, int]]:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(
            SNEKHOUSE[0], [*SNEKHOUSE, "repl", *place], {**os.environ, "XDG_STATE_HOME": str(home), "TERM": "xterm"}
        )
    try:
        yield pid, terminal
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.close(terminal)


def _read_until(terminal: int, text: str) -> str:
    seen, deadline = "", time.monotonic() + PATIENCE
    while text not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([terminal], [], [], 1)[0]:
            chunk = os.read(terminal, 4096).decode(errors="replace")
            seen += chunk
            if "\x1b[6n" in chunk:
                os.write(terminal, b"\x1b[1;1R")  # where the cursor is, which prompt_toolkit asks
    return seen


def test_at_a_terminal_there_is_a_prompt_with_history_and_interrupts(place: list[str], tmp_path: Path) -> None:
    with _at_a_terminal(place, tmp_path) as (pid, terminal):
        _read_until(terminal, "[1]")
        os.write(terminal, b"6 * 7\r")
        _read_until(terminal, "42")
        _read_until(terminal, "[2]")
        os.write(terminal, b"while True: pass\r")
        time.sleep(2 * SLOWNESS)
        os.kill(pid, signal.SIGINT)
        _read_until(terminal, "KeyboardInterrupt")
        _read_until(terminal, "[3]")
        os.write(terminal, b"\x04")
        assert os.waitpid(pid, 0)[1] == 0
    assert "+6 * 7" in (tmp_path / "snekhouse/repl-history").read_text()


@pytest.mark.parametrize(
    ("text", "complete"),
    {
        "1 + 1": True,
        "def f():": False,
        "def f():\n    return 1": False,
        "def f():\n    return 1\n": True,
        "def f():\n    return 1\n    ": True,
        "f(1,": False,
        "'''a": False,
        "for for": True,
        "if x: pass": True,
    }.items(),
)
def test_enter_runs_what_is_complete(text: str, complete: bool) -> None:
    assert is_complete(text) is complete
