"""What `collect` reads of a home, and what it never does: here the home may even change under it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from snekhouse.evaluation import File
from snekhouse.jail.home_files import KnownFiles, collect
from snekhouse.jail.home_walk import FilesError
from snekhouse.jail.protocol import Stamp
from snekhouse.registry.models import Files

pytestmark = pytest.mark.alone

SECRET = b"secret"


def collected(home: Path, *, files: Files | None = None, size_limit: int = 1 << 20) -> tuple[File, ...]:
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return collect(descriptor, files=files or Files(), size_limit=size_limit, known=KnownFiles())[0]
    finally:
        os.close(descriptor)


def names(home: Path) -> list[str]:
    return [file.path for file in collected(home)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose neighbour has a secret."""
    (tmp_path / "secret").write_bytes(SECRET)
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.mark.parametrize("spelling", ["/home/x", "//home//x", "/home/./x", "/home/d/../x", "x", "./x", "d/../x"])
def test_a_link_to_a_file_of_the_home_is_that_file(home: Path, spelling: str) -> None:
    (home / "d").mkdir()
    (home / "x").write_bytes(b"1")
    (home / "link").symlink_to(spelling)
    assert collected(home) == (File("link", b"1"), File("x", b"1"))


@pytest.mark.parametrize(
    "spelling",
    [
        "../secret",
        "/home/../secret",
        "d/../../secret",
        "/secret",
        "/homes/x",
        "/",
        "/home/",
        "..",
        "link",
        "{parent}/secret",
    ],
)
def test_a_link_out_of_the_home_or_to_no_file_is_nothing(home: Path, spelling: str) -> None:
    (home / "d").mkdir()
    (home / "link").symlink_to(spelling.format(parent=home.parent))
    assert names(home) == []


def test_a_link_through_folders_that_are_links_is_followed(home: Path) -> None:
    (home / "a").mkdir()
    (home / "a/x").write_bytes(b"1")
    (home / "b").symlink_to("a")
    (home / "c").symlink_to("/home/b/../b")
    (home / "link").symlink_to("c/x")
    assert names(home) == ["a/x", "link"]


def test_a_folder_that_is_a_link_is_not_entered(home: Path) -> None:
    (home / "d").symlink_to(home.parent)
    assert names(home) == []


def test_what_is_neither_file_nor_link_is_nothing_and_blocks_nobody(home: Path) -> None:
    os.mkfifo(home / "pipe")
    (home / "link").symlink_to("pipe")
    assert names(home) == []


def test_exactly_as_many_files_as_the_limit(home: Path) -> None:
    for number in range(5):
        (home / f"{number}").touch()
    assert len(collected(home, files=Files(limit=3))) == 3
    assert len(collected(home, files=Files(limit=0))) == 0


def test_what_does_not_fit_is_left_out_and_the_rest_is_not(home: Path) -> None:
    (home / "a").write_bytes(b"x" * 60)
    (home / "b").write_bytes(b"x" * 60)
    (home / "c").write_bytes(b"x" * 40)
    with (home / "sparse").open("wb") as sparse:
        sparse.truncate(1 << 40)
    assert [file.path for file in collected(home, size_limit=100)] == ["a", "c"]


def test_too_deep_and_too_long_are_told(home: Path) -> None:
    (home / "/".join("d" * 100)).mkdir(parents=True)
    assert names(home) == []
    (home / "/".join("d" * 101)).mkdir()
    with pytest.raises(FilesError, match="Exceeded directory depth limit"):
        collected(home)
    with pytest.raises(FilesError, match="Exceeded time limit"):
        collected(home, files=Files(timeout=1e-9))


def test_files_come_sorted_by_path_from_wide_folders_too(home: Path) -> None:
    (home / "wide").mkdir()
    for number in range(1500):
        (home / f"wide/{number}").touch()
        (home / f"wide/f{number % 50}").mkdir(exist_ok=True)
    for path in ("wide.txt", "wide-", "wide/f7/x", "wide/f7.txt", "é", "Z"):
        (home / path).touch()
    expected = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    assert [file.path for file in collected(home, files=Files(limit=5000))] == expected


def test_a_path_longer_than_a_system_call_can_name_is_told(home: Path) -> None:
    here = os.open(home, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("n" * 255, dir_fd=here)
        below = os.open("n" * 255, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("x", os.O_CREAT, dir_fd=here))
    os.close(here)
    with pytest.raises(FilesError, match="Exceeded path length limit"):
        collected(home)


def test_what_comes_after_the_last_file_causes_no_error(home: Path) -> None:
    (home / "a").touch()
    (home / "/".join("d" * 101)).mkdir(parents=True)
    assert [file.path for file in collected(home, files=Files(limit=1))] == ["a"]


_RACER = """
import os, sys
home, secret = sys.argv[1:]
os.chdir(home)
for folder in ("real", "other"):
    os.mkdir(folder)
    open(folder + "/secret", "w").write("mine")
links = ["../secret", secret, "/home/../secret", "chain", "real/../../secret"]
os.symlink("../secret", "chain")
print("ready", flush=True)
turn = 0
while True:
    turn += 1
    for name, target in (("file", links[turn % len(links)]), ("folder", ("..", os.path.dirname(secret))[turn % 2])):
        os.symlink(target, ".swap")
        os.rename(".swap", name)
        os.unlink(name)
        if name == "file":
            os.link("real/secret", name)
            os.rename(name, ".old")
            os.rename(".old", name)
        else:
            os.rename("other", name)
            os.symlink(name + "/secret", ".next")
            os.rename(".next", "through")
            os.rename(name, "other")
"""


@contextmanager
def racer(home: Path) -> Iterator[None]:
    """Swap files and folders of a home for links out of it, as fast as it goes."""
    command = [sys.executable, "-c", _RACER, str(home), str(home.parent / "secret")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield
            assert process.poll() is None, "the racer gave up"
        finally:
            process.kill()


def test_no_race_brings_a_secret_back_in_ten_thousand_attempts(home: Path) -> None:
    seen: set[str] = set()
    with racer(home):
        for _ in range(10_000):
            for file in collected(home):
                assert file.content == b"mine", file
                seen.add(file.path)
    assert {"file", "folder/secret", "through", "real/secret"} <= seen, "the race did not take place"


def test_only_so_many_files_are_known() -> None:
    known = KnownFiles()
    for number in range(25_000):
        known.note(f"{number}", Stamp(number, 0))
    assert not known.includes("0", Stamp(0, 0))
    assert known.includes("24999", Stamp(24_999, 0))
    assert not known.includes("24999", Stamp(24_999, 1))
