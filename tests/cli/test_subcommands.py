"""Commands are found by name, and only what a command needs is imported."""

import subprocess
import sys

import pytest


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "importtime", "-m", "snekhouse", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [("--version",), ("doctor", "--help"), ("render", "--help")], ids=" ".join)
def test_a_command_imports_no_part_of_others(words: tuple[str, ...]) -> None:
    done = _run(*words)
    assert done.returncode == 0
    assert [
        name for name in ("snekhouse.service", "snekhouse.web", "prompt_toolkit") if f" {name}\n" in done.stderr
    ] == []


def test_the_list_of_commands_has_them_all_in_their_order() -> None:
    listed = _run("--help").stdout.partition("Commands:\n")[2].splitlines()
    names = [line.split()[0] for line in listed]
    assert names == ["serve", "eval", "repl", "judge", "compare", "doctor", "runtimes", "packages", "render"]


def test_the_nearest_command_is_suggested() -> None:
    done = _run("evla")
    assert done.returncode == 2
    assert "No such command 'evla'. Did you mean 'eval'?" in done.stderr
