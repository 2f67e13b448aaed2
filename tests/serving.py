"""A real server, for tests and benchmarks."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx

from snekhouse.registry.models import Runtime

_RUNNING = re.compile(r"Running on (http://[0-9.:]+)")
_SNEKHOUSE = (sys.executable, "-m", "snekhouse")
SLOWNESS = float(os.environ.get("SNEKHOUSE_TEST_SLOWNESS", "1"))
"""By how much longer everything may take: machines that are emulated are ten to twenty times slower."""
PATIENCE = 60.0 * SLOWNESS
"""Seconds in which a server answers, or probes all its runtimes, however loaded the host is."""


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        client: A client of it.
        process: Its process.
        log: What it writes to standard error; complete when it has ended.
    """

    client: httpx.Client
    process: subprocess.Popen[str]
    log: Path


def only(runtime: Runtime, packages: Path) -> str:
    """Write a registry of one runtime, named ``only``, with a place for its packages."""
    mounts = ", ".join(
        f'{{ source = "{each.source}", target = "{each.target}", mandatory = {str(each.mandatory).lower()} }}'
        for each in runtime.mounts
    )
    root = f'root = "{runtime.root}"\n' if runtime.root else ""
    return (
        "[server]\nallow_degraded = true\n"
        f'[runtimes."only"]\naliases = ["one"]\nexecutable = "{runtime.executable}"\nmounts = [{mounts}]\n{root}'
        f'packages = "{packages}"\n'
    )


@contextmanager
def running_server(
    registry: Path, log: Path, env: Mapping[str, str] | None = None, command: Sequence[str] = _SNEKHOUSE
) -> Iterator[Server]:
    """Run `snekhouse serve` on a free port until the end.

    Args:
        registry: What it serves.
        log: Where its log is kept.
        env: What its environment has besides this one's.
        command: What is `snekhouse`.
    """
    arguments = [*command, "serve", "--registry", str(registry), "--bind", "127.0.0.1:0"]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
    assert process.stderr is not None
    addresses: queue.Queue[str | None] = queue.Queue()
    keeping = threading.Thread(target=_keep, args=(process.stderr, log, addresses))
    keeping.start()
    try:
        address = addresses.get(timeout=PATIENCE)
        assert address, f"the server did not start:\n{log.read_text()}"
        with httpx.Client(base_url=address, timeout=PATIENCE) as client:
            yield Server(client, process, log)
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)
        keeping.join()
    assert process.returncode in {0, -signal.SIGKILL}, log.read_text()  # the latter is a test's own doing


@contextmanager
def server_of(text: str, folder: Path, start: str, command: Sequence[str] = _SNEKHOUSE) -> Iterator[Server]:
    """Run a server on a registry of its own, until its evaluations start as they are to.

    Args:
        text: The registry.
        folder: Where its file and the log are kept.
        start: ``fork`` or ``cold``, as the registry says.
        command: What is `snekhouse`.
    """
    registry = folder / "runtimes.toml"
    registry.write_text(text)
    with running_server(registry, folder / "log", command=command) as server:
        if start == "fork":
            await_fork_servers(server.client)
        yield server


def await_fork_servers(client: httpx.Client) -> None:
    """Wait until every runtime forks its evaluations."""
    deadline = time.monotonic() + PATIENCE
    while waiting := [each for each in client.get("/runtimes").json()["runtimes"] if each["start"] != "fork"]:
        assert time.monotonic() < deadline, waiting
        time.sleep(0.1)


def _keep(lines: IO[str], log: Path, addresses: "queue.Queue[str | None]") -> None:
    """Keep the log as it comes, lest the server wait for a reader; tell the address, or None when it ends without."""
    with lines, log.open("w", buffering=1) as kept:
        for line in lines:
            kept.write(line)
            if match := _RUNNING.search(line):
                addresses.put(match[1])
    addresses.put(None)
