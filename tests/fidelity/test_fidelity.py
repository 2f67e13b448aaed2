"""A program run by us cannot be told from one run by `nsjail --config PROFILE -- python ARGS`."""

import base64
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import pytest

from fidelity.imports import IMPORTS
from fidelity.plain import Outcome, Plain
from fidelity.programs import EXCEPTIONS, PROGRAMS, Program
from serving import Server
from snekhouse.registry.models import Registry


@pytest.fixture(scope="session")
def plain(registry: Registry) -> Iterator[Plain]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Plain(registry, Path(folder))


@pytest.fixture(scope="module")
def versions(client: httpx.Client) -> dict[str, tuple[int, int]]:
    """The version of each runtime."""
    listed = client.get("/runtimes").json()["runtimes"]
    parts = {runtime["name"]: runtime["version"].split(".") for runtime in listed}
    return {name: (int(major), int(minor)) for name, (major, minor, *_) in parts.items()}


def ours(client: httpx.Client, runtime: str, program: Program) -> Outcome:
    """Run a program through /eval."""
    files = [{"path": path, "content": base64.b64encode(content).decode()} for path, content in program.files.items()]
    request = {"args": program.args, "stdin": program.stdin.decode(), "files": files}
    body = client.post(f"/eval/{runtime}", json=request).json()
    return Outcome(body["stdout"].encode(), body["returncode"])


def differing(program: Program, client: httpx.Client, plain: Plain, names: Iterable[str]) -> dict[str, object]:
    """What each runtime that differs from plain NsJail gives, and what it should."""
    both = {
        name: (ours(client, name, program), plain.run(name, program.args, program.files, program.stdin))
        for name in names
    }
    return {name: outcomes for name, outcomes in both.items() if outcomes[0].steady != outcomes[1].steady}


def suited(program: Program, versions: dict[str, tuple[int, int]]) -> list[str]:
    return [name for name, version in versions.items() if program.since <= version < program.until]


def by_id(program: Program) -> str:
    return program.name


@pytest.mark.parametrize("program", PROGRAMS, ids=by_id)
def test_output_and_exit_code_are_those_of_plain_nsjail(
    program: Program, client: httpx.Client, plain: Plain, versions: dict[str, tuple[int, int]]
) -> None:
    assert differing(program, client, plain, suited(program, versions)) == {}


@pytest.mark.parametrize("program", IMPORTS, ids=by_id)
def test_nothing_tells_that_modules_were_set_aside(
    program: Program, forking_server: Server, plain: Plain, versions: dict[str, tuple[int, int]]
) -> None:
    assert differing(program, forking_server.client, plain, suited(program, versions)) == {}


@pytest.mark.parametrize("program", EXCEPTIONS, ids=by_id)
def test_what_cannot_be_identical_differs_as_documented(
    program: Program, client: httpx.Client, plain: Plain, versions: dict[str, tuple[int, int]]
) -> None:
    """Each entry of the list in docs/protocol.md still holds; one that no longer does leaves the list."""
    names = suited(program, versions)
    listed = client.get("/runtimes").json()["runtimes"]
    excepted = names if not program.forked or listed[0]["start"] == "fork" else []
    assert bool(differing(program, client, plain, names)) == bool(excepted)


def test_every_exception_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs/protocol.md").read_text()
    assert [program.name for program in EXCEPTIONS if program.name not in page] == []
