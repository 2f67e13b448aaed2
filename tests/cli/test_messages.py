"""Messages that a person reads on the command line: what is wrong, and what to do."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from command import refused, snekhouse


def test_the_url_of_a_server_must_be_one(small: Path) -> None:
    token = {"SNEKHOUSE_ADMIN_TOKEN": "t" * 16}
    message = refused(snekhouse("runtimes", "diff", "--url", "localhost:8060", "-r", small, env=token))
    assert message == "snekhouse: 'localhost:8060' is not the URL of a server; write http://HOST:PORT\n"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"SSH-2.0-x\r\n", "no valid answer from {url}: SSH-2.0-x"),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", "{url} is not a server of this version"),
        (b"HTTP/1.1 200 OK\r\n\r\n[]", "{url} is not a server of this version"),
    ],
)
def test_what_is_no_server_of_ours_is_told(small: Path, answer: bytes, said: str) -> None:
    with _answering(answer) as url:
        token = {"SNEKHOUSE_ADMIN_TOKEN": "t" * 16}
        assert said.format(url=url) in refused(snekhouse("runtimes", "diff", "--url", url, "-r", small, env=token))


@pytest.mark.parametrize("command", ["diff", "outdated"])
def test_a_port_that_is_no_number_is_told(small: Path, command: str) -> None:
    token = {"SNEKHOUSE_ADMIN_TOKEN": "t" * 16}
    said = refused(snekhouse("runtimes", command, "--url", "http://127.0.0.1:80x", "-r", small, env=token))
    assert "nonnumeric port: '80x'" in said


@contextmanager
def _answering(answer: bytes) -> Iterator[str]:
    """Serve one connection with an answer, and yield the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_once() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=answer_once)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_add_asks_for_the_program_where_it_is_given_a_script(small: Path, tmp_path: Path) -> None:
    script = tmp_path / "python3"
    script.write_text("#!/bin/sh\nexec python3 $@\n")
    script.chmod(0o755)
    message = refused(snekhouse("runtimes", "add", "mine", "--executable", script, "-r", small))
    assert message == (
        f"snekhouse: {script} is not an interpreter; name the program itself, not a script or the copy in a venv\n"
    )


@pytest.mark.parametrize("on_path", [False, True])
def test_discover_names_the_command_as_it_can_be_typed(on_path: bool, tmp_path: Path) -> None:
    installed = Path(sys.executable).with_name("snekhouse")
    path = str(installed.parent) if on_path else os.defpath
    command = [str(installed), "runtimes", "discover", "--output", str(tmp_path / "new.toml")]
    done = subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=True)
    typed = "snekhouse" if on_path else str(installed)
    assert f"serve it with: {typed} serve --registry" in done.stdout
