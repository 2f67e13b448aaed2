"""What the tests share: this machine's interpreters, and a real server on them."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from snekhouse.registry.discovery import find_interpreters, render_registry
from snekhouse.registry.loading import load
from snekhouse.registry.models import Registry

_RUNNING = re.compile(r"Running on (http://\S+)")


@contextmanager
def running_server(registry: Path, log: Path) -> Iterator[httpx.Client]:
    """Run `snekhouse serve` on a free port until the end; lend a client of it."""
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
            pytest.fail(f"the server did not start:\n{log.read_text()}")
    try:
        with httpx.Client(base_url=match[1], timeout=60) as client:
            yield client
    finally:
        process.terminate()
        rest = process.communicate(timeout=30)[1]
        with log.open("a") as kept:
            kept.write(rest)
    assert process.returncode == 0, log.read_text()


@pytest.fixture(scope="session")
def registry_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The registry that `runtimes discover` writes for this machine."""
    path = tmp_path_factory.mktemp("registry") / "runtimes.toml"
    path.write_text(render_registry(find_interpreters(), allow_degraded_reason="the tests run on any host"))
    return path


@pytest.fixture(scope="session")
def registry(registry_path: Path) -> Registry:
    """That registry, loaded."""
    return load(registry_path)


@pytest.fixture(scope="session")
def client(registry_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a server on that registry."""
    with running_server(registry_path, tmp_path_factory.mktemp("server") / "log") as client:
        yield client
