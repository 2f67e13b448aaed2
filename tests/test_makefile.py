"""What `make serve` does with its folder and its address."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_NOBODY = 65534


def test_the_address_may_be_given() -> None:
    command = ["make", "--dry-run", "--directory", str(_ROOT), "serve", "BIND=127.0.0.1:9999"]
    planned = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "serve --registry runtimes.local.toml --bind 127.0.0.1:9999" in planned


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user who may not write")
def test_a_folder_that_cannot_be_written_is_told_with_the_remedy(packages: Path) -> None:
    folder = packages / "clone"
    folder.mkdir(mode=0o755)
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(_ROOT / name, folder)
    done = subprocess.run(["make", "serve"], cwd=folder, user=_NOBODY, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "this folder cannot be written, and .venv belongs here; copy the project to a folder of yours" in done.stdout
    assert "apt install" not in done.stdout
