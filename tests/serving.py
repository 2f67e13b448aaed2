"""A real server, for tests and benchmarks."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

_RUNNING = re.compile(r"Running on (http://\S+)")


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    client: httpx.Client
    process: subprocess.Popen[str]


@contextmanager
def running_server(registry: Path, log: Path) -> Iterator[Server]:
    """Run `snekhouse serve` on a free port until the end."""
    command = [
        sys.executable,
        "-m",
        "snekhouse",
        "serve",
        "--registry",
        str(registry),
        "--bind",
        "127.0.0.1:0",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with log.open("w") as kept:
        for line in process.stderr:
            kept.write(line)
            if match := _RUNNING.search(line):
                break
        else:
            raise AssertionError(f"the server did not start:\n{log.read_text()}")
    try:
        with httpx.Client(base_url=match[1], timeout=60) as client:
            yield Server(client, process)
    finally:
        process.terminate()
        rest = process.communicate(timeout=30)[1]
        with log.open("a") as kept:
            kept.write(rest)
    assert process.returncode == 0, log.read_text()
