"""A program run by us cannot be told from one run by `nsjail --config PROFILE -- python ARGS`."""

import base64
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fidelity.plain import Outcome, Plain
from fidelity.programs import EXCEPTIONS, PROGRAMS, Program
from snekhouse.registry.models import Registry


@pytest.fixture(scope="module")
def plain(registry: Registry) -> Iterator[Plain]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Plain(registry, Path(folder))


def ours(client: httpx.Client, runtime: str, program: Program) -> Outcome:
    body = client.post(
        f"/eval/{runtime}",
        json={
            "args": program.args,
            "stdin": program.stdin.decode(),
            "files": [
                {"path": path, "content": base64.b64encode(content).decode()} for path, content in program.files.items()
            ],
        },
    ).json()
    return Outcome(body["stdout"].encode(), body["returncode"])


def by_id(program: Program) -> str:
    return str(program.name)


@pytest.mark.parametrize("program", PROGRAMS, ids=by_id)
def test_output_and_exit_code_are_those_of_plain_nsjail(
    program: Program, client: httpx.Client, registry: Registry, plain: Plain
) -> None:
    expected = {name: plain.run(name, program.args, program.files, program.stdin) for name in registry.runtimes}
    assert {name: ours(client, name, program) for name in registry.runtimes} == expected


@pytest.mark.parametrize("program", EXCEPTIONS, ids=by_id)
def test_what_cannot_be_identical_differs_as_documented(
    program: Program, client: httpx.Client, registry: Registry, plain: Plain
) -> None:
    """Each entry of the list in docs/protocol.md still holds somewhere; one that no longer does leaves the list."""
    differ = [
        name
        for name in registry.runtimes
        if ours(client, name, program) != plain.run(name, program.args, program.files, program.stdin)
    ]
    assert differ
