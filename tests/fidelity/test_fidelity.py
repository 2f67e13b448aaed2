"""A program run by us cannot be told from one run by `nsjail --config PROFILE -- python ARGS`."""

import base64
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from zlib import crc32

import httpx
import pytest

from fidelity.imports import IMPORTS
from fidelity.plain import Outcome, Plain
from fidelity.programs import EXCEPTIONS, PROGRAMS, Program
from serving import PATIENCE, Server
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


_EVERY = int(os.environ.get("SNEKHOUSE_TEST_EVERY", "3"))
"""A program runs on every third runtime, beginning with another one each; with SNEKHOUSE_TEST_EVERY=1 on all."""


def suited(program: Program, versions: dict[str, tuple[int, int]], every: int = _EVERY) -> list[str]:
    names = [name for name, version in versions.items() if program.since <= version < program.until]
    return names[crc32(program.name.encode()) % min(every, max(len(names), 1)) :: every]


def by_id(program: Program) -> str:
    return program.name


@pytest.mark.parametrize("program", PROGRAMS, ids=by_id)
def test_output_and_exit_code_are_those_of_plain_nsjail(
    program: Program, client: httpx.Client, plain: Plain, versions: dict[str, tuple[int, int]]
) -> None:
    assert differing(program, client, plain, suited(program, versions)) == {}


@pytest.fixture(scope="module")
def importing(forking_server: Server) -> httpx.Client:
    """A client of a server whose runtimes have all set modules aside, which they do after a program that imports."""
    for runtime in forking_server.client.get("/runtimes").json()["runtimes"]:
        count = {"input": "import gc; print(gc.get_freeze_count() if hasattr(gc, 'get_freeze_count') else 10**9)"}
        url = f"/eval/{runtime['name']}"
        deadline = time.monotonic() + PATIENCE
        while int(forking_server.client.post(url, json=count).json()["stdout"]) < _SET_ASIDE:
            assert time.monotonic() < deadline, runtime["name"]
            time.sleep(0.1)
    return forking_server.client


_SET_ASIDE = 15_000
"""Fewer objects than there are in a fork once modules are set aside, and more than before."""


@pytest.mark.parametrize("program", IMPORTS, ids=by_id)
def test_nothing_tells_that_modules_were_set_aside(
    program: Program, importing: httpx.Client, plain: Plain, versions: dict[str, tuple[int, int]]
) -> None:
    assert differing(program, importing, plain, suited(program, versions)) == {}


@pytest.mark.parametrize("name", ["json", "re", "asyncio", "logging", "typing", "dataclasses", "random", "unittest"])
def test_imports_take_what_was_set_aside(
    name: str, importing: httpx.Client, versions: dict[str, tuple[int, int]]
) -> None:
    """A module that was imported before the fork is frozen, and the garbage collector does not list it."""
    program = f"import gc, {name}; print(any(each is {name} for each in gc.get_objects()))"
    runtimes = [runtime for runtime, version in versions.items() if version >= (3, 7)]
    printed = {each: importing.post(f"/eval/{each}", json={"input": program}).json()["stdout"] for each in runtimes}
    assert printed == dict.fromkeys(runtimes, "False\n")


@pytest.mark.parametrize("program", EXCEPTIONS, ids=by_id)
def test_what_cannot_be_identical_differs_as_documented(
    program: Program, client: httpx.Client, plain: Plain, versions: dict[str, tuple[int, int]]
) -> None:
    """Each entry of the list in docs/protocol.md still holds; one that no longer does leaves the list."""
    names = suited(program, versions, every=1)
    listed = client.get("/runtimes").json()["runtimes"]
    excepted = names if not program.forked or listed[0]["start"] == "fork" else []
    assert bool(differing(program, client, plain, names)) == bool(excepted)


def test_a_file_that_the_program_hid_from_the_garbage_collector_is_written(
    client: httpx.Client, versions: dict[str, tuple[int, int]]
) -> None:
    program = "import gc; file = open('out', 'w'); file.write('data'); gc.freeze()"
    runtimes = [runtime for runtime, version in versions.items() if version >= (3, 7)]
    left = {each: client.post(f"/eval/{each}", json={"input": program}).json()["files"] for each in runtimes}
    assert {each: files[0]["size"] for each, files in left.items()} == dict.fromkeys(runtimes, len("data"))


def test_every_exception_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs/protocol.md").read_text()
    assert [program.name for program in EXCEPTIONS if program.name not in page] == []
