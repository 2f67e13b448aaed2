"""`runtimes discover --root` and `runtimes add --root`, on a root with an interpreter of this host."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from command import refused, snekhouse
from roots import make_telling_root
from snekhouse.registry.discovery.rooted import candidates_in_root
from snekhouse.registry.loading import load

OURS = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
VERSION = f"{MINOR}.{sys.version_info.micro}"
INSIDE = f"/usr/local/bin/python{MINOR}"


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        root = make_telling_root(place, OURS)
        (root / "usr/bin").mkdir()
        (root / "usr/bin/python3.99").symlink_to(sys.executable)  # of the host: no file of the root has that path
        (root / "usr/bin/python3.98").write_text("#!/bin/sh\n")
        (root / "usr/bin/python3.98").chmod(0o755)
        (root / "opt").mkdir()
        (root / "opt/python3").write_bytes(OURS.read_bytes())
        (root / "opt/python3").chmod(0o755)
        (root / "usr/bin/python3.97").symlink_to("/opt/python3")  # which no jail sees
        yield place


def test_candidates_are_the_programs_of_the_root_that_a_jail_sees_each_once(place: Path) -> None:
    assert candidates_in_root(str(place / "root")) == (INSIDE,)


def test_discover_writes_tables_with_the_root_and_runs_nothing_of_it_on_the_host(place: Path) -> None:
    output = place / "discovered.toml"
    done = snekhouse("runtimes", "discover", "--root", place / "root", "--output", output)
    assert done.returncode == 0, done.stderr
    assert list((place / "ran").iterdir()) == []
    (runtime,) = load(output).runtimes.values()
    assert (runtime.name, runtime.root, runtime.executable) == (MINOR, str(place / "root"), INSIDE)
    assert (runtime.aliases, runtime.mounts) == (("3", "latest", VERSION), ())
    done = snekhouse("eval", "import sys; print(sys.executable)", "--registry", output)
    assert done.stdout == f"{INSIDE}\n"


def test_discover_names_what_is_wrong_with_a_root(tmp_path: Path) -> None:
    options = ("--output", tmp_path / "no.toml")
    said = refused(snekhouse("runtimes", "discover", "--root", tmp_path / "gone", *options))
    assert f"the root {tmp_path}/gone is not a folder on this host; make" in said
    (tmp_path / "usr/bin").mkdir(parents=True)
    said = refused(snekhouse("runtimes", "discover", "--root", tmp_path, *options))
    assert f"no Python interpreter of the root {tmp_path} works in a jail" in said
    (tmp_path / "usr/bin/python3").write_bytes(OURS.read_bytes())
    (tmp_path / "usr/bin/python3").chmod(0o755)
    said = refused(snekhouse("runtimes", "discover", "--root", tmp_path, *options))
    assert "\n  /usr/bin/python3: " in said
    assert not (tmp_path / "no.toml").exists()


def test_add_takes_an_executable_inside_a_root(place: Path, small: Path) -> None:
    small.write_text('default = "only"\n' + small.read_text())
    options = ("--executable", "/usr/local/bin/python3", "--root", place / "root", "--registry", small)
    done = snekhouse("runtimes", "add", "rooted", *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"added rooted, CPython {VERSION}\n")
    added = load(small).runtimes["rooted"]
    assert (added.root, added.executable) == (str(place / "root"), "/usr/local/bin/python3")
