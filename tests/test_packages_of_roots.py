"""Packages of a runtime from a root file system: its own interpreter and libraries serve to install them."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from command import snekhouse
from roots import EXECUTABLE, make_telling_root
from wheels import make_sdist, make_wheel

OURS = Path(getattr(sys, "_base_executable", sys.executable)).resolve()


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder with a root, whose code tells when it runs on the host, and with wheels."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        root = make_telling_root(place, OURS)
        (place / "wheels").mkdir()
        make_wheel(place / "wheels", "alpha", "1.0")
        make_sdist(place / "wheels", "beta", "1.0", build='text = "version = 2"')
        (place / "runtimes.toml").write_text(
            f'[server]\nallow_degraded = true\n[runtimes.rooted]\nexecutable = "{EXECUTABLE}"\n'
            f'root = "{root}"\npackages = "{place}/packages"\npackages_build = "source"\n'
        )
        yield place


def run(place: Path, *args: str) -> str:
    environment = {**os.environ, "UV_OFFLINE": "1", "UV_FIND_LINKS": str(place / "wheels")}
    done = snekhouse(*args, "--registry", place / "runtimes.toml", env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_packages_are_installed_listed_and_removed_and_nothing_of_the_root_runs_on_the_host(place: Path) -> None:
    run(place, "packages", "install", "rooted", "alpha", "beta")
    assert [each["name"] for each in json.loads(run(place, "packages", "list", "rooted", "--json"))] == [
        "alpha",
        "beta",
    ]
    assert run(place, "eval", "import alpha, beta; print(alpha.version, beta.version)") == "1.0 2\n"
    run(place, "packages", "remove", "rooted", "alpha", "beta")
    assert json.loads(run(place, "packages", "list", "rooted", "--json")) == []
    assert list((place / "ran").iterdir()) == []


def test_a_root_that_is_not_there_is_told(place: Path) -> None:
    registry = place / "gone.toml"
    registry.write_text((place / "runtimes.toml").read_text().replace(f"{place}/root", f"{place}/gone"))
    done = snekhouse("packages", "list", "rooted", "--registry", registry)
    assert done.returncode == 2
    assert f"the root {place}/gone is not a folder on this host" in done.stderr
