"""`snekhouse eval --interactive`, against a server."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from command import SNEKHOUSE, snekhouse
from serving import PATIENCE, Server

ECHO = "while True:\n    try: print('got', input())\n    except EOFError: break\nprint('end')"


def url(server: Server) -> str:
    return str(server.client.base_url)


def test_input_goes_to_the_program_and_output_comes_back(server: Server, tmp_path: Path) -> None:
    """It needs no registry, and takes the server's default runtime."""
    done = snekhouse("eval", "-i", "--url", url(server), ECHO, stdin="eins\nzwei é\n".encode(), cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "got eins\ngot zwei é\nend\n", "")


def test_arguments_runtime_stderr_and_exit_code(server: Server, tmp_path: Path) -> None:
    code = "import sys; print(sys.argv[1:], sys.version_info[:2]); print('err', file=sys.stderr); sys.exit(3)"
    command = ("eval", "-i", "--url", url(server), "--runtime", "3.8", "--separate-stderr", code, "--", "a", "-b")
    done = snekhouse(*command, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (3, "['a', '-b'] (3, 8)\n", "err\n")


def test_the_limit_that_ended_the_program_is_told(server: Server, tmp_path: Path) -> None:
    done = snekhouse("eval", "-i", "--url", url(server), "while True: pass", cwd=tmp_path)
    assert done.returncode == 137
    assert "still running after 6 s (limits.wall_time)" in done.stderr


def test_a_line_is_answered_before_the_next_is_typed(server: Server, tmp_path: Path) -> None:
    command = [*SNEKHOUSE, "eval", "-i", "--url", url(server), ECHO]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for word in (b"one", b"two"):
            process.stdin.write(word + b"\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"got " + word + b"\n"
        process.stdin.close()
        assert process.stdout.read() == b"end\n"
    assert process.returncode == 0


def test_ctrl_c_reaches_the_program(server: Server, tmp_path: Path) -> None:
    code = "import time\nprint('ready')\ntry: time.sleep(5)\nexcept KeyboardInterrupt: print('stopped')"
    command = [*SNEKHOUSE, "eval", "-i", "--url", url(server), code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == b"stopped\n"
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("-i",), "--interactive needs --url"),
        (("--url", "http://localhost"), "--url needs --interactive"),
        (("-i", "--url", "localhost:1"), "is not the URL of a server"),
        (("-i", "--url", "http://127.0.0.1:1"), "no valid answer from http://127.0.0.1:1"),
    ],
)
def test_what_cannot_be_done_is_told(tmp_path: Path, options: tuple[str, ...], told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "snekhouse", "eval", *options, "1"],
        check=False,
        capture_output=True,
        timeout=PATIENCE,
        cwd=tmp_path,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 2
    assert told in done.stderr


def test_a_runtime_that_does_not_exist_is_told(server: Server, tmp_path: Path) -> None:
    done = snekhouse("eval", "-i", "--url", url(server), "--runtime", "none", "1", cwd=tmp_path)
    assert done.returncode == 2
    assert "there is no runtime 'none'" in done.stderr


def test_a_prompt_on_a_server_needs_no_registry(server: Server, tmp_path: Path) -> None:
    done = snekhouse("repl", "--url", url(server), stdin=b"6 * 7\n", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "42\n")
