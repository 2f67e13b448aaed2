"""The files that run in jails are in the Python of every interpreter, down to the oldest that discovery takes."""

import subprocess
from pathlib import Path

import pytest

from snekhouse.assets import asset
from snekhouse.registry.discovery.interpreters import find_interpreters

_COMPILE = (
    "import sys; compile(sys.stdin.buffer.read().decode('ascii'), sys.argv[1], 'exec', 0, True, int(sys.argv[2]))"
)
"""ASCII alone: an old interpreter reads the fork server in the encoding of the jail's locale."""

_GUEST = (
    "bootstrap.py",
    "fork_server.py",
    "libc.py",
    "process.py",
    "aside.py",
    "outside.py",
    "record.py",
    "leaving.py",
    "session.py",
    "showing.py",
)


@pytest.fixture(scope="module")
def executables() -> dict[str, Path]:
    """Every interpreter of this host, by implementation and version."""
    return {f"{each.implementation} {each.version}": each.source for each in find_interpreters()}


@pytest.mark.parametrize("optimize", [0, 2], ids=["source", "bytecode"])
@pytest.mark.parametrize("name", _GUEST)
def test_each_interpreter_compiles_it_without_a_warning(name: str, optimize: int, executables: dict[str, Path]) -> None:
    source = asset(f"runtimes/{name}").read_bytes()
    assert executables
    found = {version: _compiled(source, python, name, str(optimize)) for version, python in executables.items()}
    assert found == dict.fromkeys(executables, (0, b""))


def _compiled(source: bytes, python: Path, *arguments: str) -> tuple[int, bytes]:
    command = [str(python), "-I", "-S", "-W", "error", "-c", _COMPILE, *arguments]
    done = subprocess.run(command, input=source, capture_output=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", _GUEST)
def test_its_header_names_the_oldest_python(name: str) -> None:
    assert "Python 3.6 and every later one" in " ".join(asset(f"runtimes/{name}").read_text(encoding="ascii").split())
