"""Requirements are brought into the jail with what they name, and nothing that would have to be built, unless allowed."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from snekhouse.errors import PackagesError
from snekhouse.packages.inputs import Inputs
from snekhouse.packages.requirements import Reader

_REMEDY = "THE REMEDY"
_MakeReader = Callable[[bool], Reader]


@pytest.fixture
def given(tmp_path: Path) -> Path:
    (tmp_path / "given").mkdir()
    (tmp_path / "place").mkdir()
    return tmp_path / "given"


@pytest.fixture
def make(given: Path, tmp_path: Path) -> _MakeReader:
    return lambda builds: Reader(Inputs(given, tmp_path / "place"), builds, _REMEDY)


def _read(given: Path, inside: str) -> str:
    return (given / Path(inside).relative_to("/snekhouse/given")).read_text()


@pytest.mark.parametrize(
    "requirement",
    [
        "numpy", "numpy>=2", "numpy[extra] >= 2, < 3 ; python_version < '3.13'", "a-b.c_d==1.0",
        "alpha @ https://host/alpha-1.0-py3-none-any.whl", "https://host/alpha-1.0-py3-none-any.whl#sha256=00",
        "https://host/alpha-1.0-py3-none-any.whl ; os_name == 'posix'",
    ],
)  # fmt: skip
def test_what_names_nothing_on_this_host_stays_as_it_is(make: _MakeReader, given: Path, requirement: str) -> None:
    assert _read(given, make(False).requirements([requirement])) == f"{requirement}\n"


@pytest.mark.parametrize(
    ("requirement", "brought"),
    [
        ("./a.whl", "/snekhouse/given/1/a.whl"),
        ("a.whl", "/snekhouse/given/1/a.whl"),
        ("./a.whl[x,y] ; os_name == 'posix'", "/snekhouse/given/1/a.whl[x,y] ; os_name == 'posix'"),
        ("{place}/a.whl", "/snekhouse/given/1/a.whl"),
        ("a[x] @ file://{place}/a.whl --hash=sha256:0", "a[x] @ /snekhouse/given/1/a.whl --hash=sha256:0"),
    ],
)
def test_a_wheel_is_copied_from_the_users_folder(
    make: _MakeReader, given: Path, requirement: str, brought: str
) -> None:
    reader = make(False)
    (reader.inputs.place / "a.whl").write_text("wheel")
    inside = reader.requirements([requirement.format(place=reader.inputs.place)])
    assert _read(given, inside) == f"{brought}\n"
    assert (given / "1" / "a.whl").read_text() == "wheel"


@pytest.mark.parametrize(
    "requirement",
    [
        "./tree", "tree/", ".", "..", "./a.tar.gz", "a.zip", "a @ ./a.tar.gz", "file:./tree", "https://host/a.tar.gz",
        "https://host/a.tar.gz?x=.whl", "a @ https://host/a.zip#b.whl", "git+https://host/a", "a @ git+https://host/a.whl",
        "git+ssh://git@host/a.whl", "hg+https://host/a.whl",
    ],
)  # fmt: skip
def test_what_would_have_to_be_built_is_refused_with_the_remedy(make: _MakeReader, requirement: str) -> None:
    with pytest.raises(PackagesError, match=_REMEDY):
        make(False).requirements([requirement])


@pytest.mark.parametrize("requirement", ["-e .", "--no-binary=a", " -r file", "a\n--no-binary a", "a\r-e ."])
@pytest.mark.parametrize("builds", [False, True])
def test_a_requirement_is_never_an_option(make: _MakeReader, requirement: str, builds: bool) -> None:
    with pytest.raises(PackagesError, match="is not a requirement"):
        make(builds).requirements([requirement])


def test_a_source_tree_is_copied_with_its_links_as_links(make: _MakeReader, given: Path) -> None:
    reader = make(True)
    (reader.inputs.place / "tree").mkdir()
    (reader.inputs.place / "tree" / "link").symlink_to("/etc/shadow")
    assert _read(given, reader.requirements(["./tree"])) == "/snekhouse/given/1/tree\n"
    assert (given / "1" / "tree" / "link").is_symlink()


def test_a_source_tree_above_the_current_folder_has_its_own_name(given: Path, tmp_path: Path) -> None:
    (tmp_path / "tree" / "docs").mkdir(parents=True)
    reader = Reader(Inputs(given, tmp_path / "tree" / "docs"), builds=True, remedy=_REMEDY)
    assert _read(given, reader.requirements([".."])) == "/snekhouse/given/1/tree\n"


@pytest.mark.parametrize("requirement", ["./a.whl", "./tree"])
def test_what_cannot_be_copied_is_named(make: _MakeReader, requirement: str) -> None:
    reader = make(True)
    (reader.inputs.place / "tree").mkdir()
    os.mkfifo(reader.inputs.place / "a.whl")
    os.mkfifo(reader.inputs.place / "tree" / "pipe")
    path = re.escape(str(reader.inputs.place / requirement))
    with pytest.raises(PackagesError, match=rf"^cannot read {path}: .*named pipe"):
        reader.requirements([requirement])


def test_a_file_is_brought_with_those_that_it_includes(
    make: _MakeReader, given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    reader = make(False)
    folder = reader.inputs.place / "reqs"
    folder.mkdir()
    (folder / "wheels").mkdir()
    (folder / "all.txt").write_text(
        "# a comment\n\nnumpy == 1 \\\n  --hash=sha256:0  # another\n-r more/x.in\n-cmore/c.in\n"
        "--extra-index-url=https://${TOKEN}@host/simple\n-f wheels\n--only-binary :none:\n--require-hashes\n"
    )
    (folder / "more").mkdir()
    (folder / "more" / "x.in").write_text("six\n")
    (folder / "more" / "c.in").write_text("six < 2\n")
    lines = _read(given, reader.file(folder / "all.txt")).split("\n")
    assert _read(given, lines[1].removeprefix("-r ")) == "six\n"
    assert _read(given, lines[2].removeprefix("-c ")) == "six < 2\n"
    assert lines[0].split() == ["numpy", "==", "1", "--hash=sha256:0"]
    assert lines[3:] == [
        "--extra-index-url https://secret@host/simple",
        "-f /snekhouse/sources/1",
        "",
        "--require-hashes",
        "",
    ]


@pytest.mark.parametrize(
    "line",
    ["--no-binary a", "--no-binary=:all:", "-e .", "-e.", "--editable=.", "./tree", "--global-option=x", "--config-settings=a"],
)  # fmt: skip
def test_a_line_that_would_build_something_is_refused_and_its_file_named(make: _MakeReader, line: str) -> None:
    reader = make(False)
    (reader.inputs.place / "a.txt").write_text(f"six\n{line}\n")
    with pytest.raises(PackagesError, match=r"a\.txt: "):
        reader.file(reader.inputs.place / "a.txt")


def test_a_file_that_includes_itself_is_refused(make: _MakeReader) -> None:
    place = make(False).inputs.place
    (place / "a.txt").write_text("-r b.txt\n")
    (place / "b.txt").write_text("-r a.txt\n")
    with pytest.raises(PackagesError, match="includes itself"):
        make(False).file(place / "a.txt")


def test_only_variables_that_say_where_packages_come_from_are_passed_on(make: _MakeReader) -> None:
    inputs = make(False).inputs
    (inputs.place / "wheels").mkdir()
    passed = {
        "UV_INDEX_URL": "https://host/simple", "UV_INDEX_MINE_PASSWORD": "x", "HTTPS_PROXY": "http://proxy", "no_proxy": "*"
    }  # fmt: skip
    kept_out = (
        "PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "LD_PRELOAD", "UV_COMPILE_BYTECODE", "UV_PYTHON",
        "UV_NO_BINARY", "UV_NO_BINARY_PACKAGE", "UV_CONFIG_FILE", "UV_PROJECT", "UV_TARGET", "UV_CACHE_DIR", "PIP_FIND_LINKS",
    )  # fmt: skip
    assert inputs.environment({**passed, **dict.fromkeys(kept_out, "x")}) == passed
    local = {"UV_FIND_LINKS": "wheels", "UV_INDEX": f"https://a/ mine=file://{inputs.place}/wheels"}
    assert inputs.environment(local) == {
        "UV_FIND_LINKS": "/snekhouse/sources/1",
        "UV_INDEX": "https://a/ mine=/snekhouse/sources/2",
    }
