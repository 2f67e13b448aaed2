"""Messages that a person reads on the command line: what is wrong, and what to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from command import refused, snekhouse


def test_the_url_of_a_server_must_be_one(small: Path) -> None:
    token = {"SNEKHOUSE_ADMIN_TOKEN": "t" * 16}
    message = refused(snekhouse("runtimes", "diff", "--url", "localhost:8060", "-r", small, env=token))
    assert message == "snekhouse: 'localhost:8060' is not the URL of a server; write http://HOST:PORT\n"


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
