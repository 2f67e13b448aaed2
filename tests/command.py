"""The command line in a process of its own, as a person or a script runs it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from serving import PATIENCE

SNEKHOUSE = (sys.executable, "-m", "snekhouse")


def snekhouse(
    *args: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run the command line to its end; what it prints must be UTF-8, and never a traceback of ours."""
    command = [*SNEKHOUSE, *map(str, args)]
    environment = {**os.environ, **(env or {})}
    done = subprocess.run(
        command, check=False, input=stdin, capture_output=True, timeout=PATIENCE, env=environment, cwd=cwd
    )
    stdout, stderr = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in stderr
    return subprocess.CompletedProcess(command, done.returncode, stdout, stderr)


def refused(done: "subprocess.CompletedProcess[str]") -> str:
    """Check that a command could not do its work, and said so on standard error alone; return what it said."""
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr
