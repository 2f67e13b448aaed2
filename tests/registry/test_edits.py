"""What tools do to a person's registry: the bytes that are there stay, and differences are told."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import tomli_w

from snekhouse.errors import RegistryError
from snekhouse.registry.edits import appended, differences, remove, settings
from snekhouse.registry.file import exclusive
from snekhouse.registry.loading import load, parse

_TABLE = '[runtimes."3.14t"]\nexecutable = "/opt/python"\n'
_WRITTEN = '# Mine.\n[runtimes.one]\nexecutable = "/usr/bin/python3" # the system\'s'


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n# the end"])
def test_what_was_there_is_a_prefix_of_what_comes_to_be(tmp_path: Path, end: str) -> None:
    path = tmp_path / "runtimes.toml"
    before = f'default = "one"\n{_WRITTEN}{end}'.encode()
    path.write_bytes(before)
    draft = appended(path, _TABLE)
    assert path.read_bytes() == before
    draft.write()
    assert path.read_bytes().startswith(before)
    assert list(load(path).runtimes) == ["one", "3.14t"] == list(draft.registry.runtimes)


def test_what_another_command_appended_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "runtimes.toml"
    path.write_text(f'default = "one"\n{_WRITTEN}')
    draft = appended(path, _TABLE)
    appended(path, _TABLE.replace("3.14t", "3.15")).write()
    draft.write()
    assert list(load(path).runtimes) == ["one", "3.15", "3.14t"]


def test_a_name_that_another_command_has_taken_meanwhile_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runtimes.toml"
    path.write_text(f'default = "one"\n{_WRITTEN}')
    draft = appended(path, _TABLE)
    appended(path, _TABLE).write()
    before = path.read_bytes()
    with pytest.raises(RegistryError):
        draft.write()
    assert path.read_bytes() == before


def test_an_edit_waits_for_another(tmp_path: Path) -> None:
    path = tmp_path / "runtimes.toml"
    path.write_text(_SEVERAL)
    edit = threading.Thread(target=remove, args=(path, "two"))
    with exclusive(path):
        edit.start()
        edit.join(timeout=0.2)
        assert path.read_text() == _SEVERAL
    edit.join()
    assert list(load(path).runtimes) == ["one", "three"]


def test_a_file_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "runtimes.toml"
    path.write_text(_SEVERAL)
    path.chmod(0o640)
    os.chown(path, 0, 65534)
    remove(path, "three")
    status = path.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (0, 65534, 0o640)


def test_a_file_that_is_a_mount_of_its_own_is_written_in_place(tmp_path: Path) -> None:
    path = tmp_path / "runtimes.toml"
    path.write_text(_SEVERAL)
    remove_in_mount = "from sys import argv; from pathlib import Path; from snekhouse.registry.edits import remove\n"
    remove_in_mount += "remove(Path(argv[1]), 'two')"
    script = 'mount --bind "$2" "$2" && "$0" -c "$1" "$2"'
    subprocess.run(["unshare", "--mount", "sh", "-c", script, sys.executable, remove_in_mount, path], check=True)
    assert list(load(path).runtimes) == ["one", "three"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('default = "one"\nruntimes = { one = { executable = "/usr/bin/python3" } }\n', "is not TOML"),
        (_WRITTEN, "default: is missing"),
        (f'default = "one"\n{_WRITTEN}\naliases = ["3.14t"]\n', "is also the name of a runtime"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "runtimes.toml"
    path.write_text(text)
    with pytest.raises(RegistryError, match=problem):
        appended(path, _TABLE)
    assert path.read_text() == text


def test_differences_are_told_key_by_key_and_new_tables_as_a_whole() -> None:
    before = {"default": "a", "runtimes": {"a": {"limits": {"memory": 1, "output": 2}}, "old": {"start": "fork"}}}
    after = {"default": "b", "runtimes": {"a": {"limits": {"memory": 3, "output": 2}}, "b": {"start": "cold"}}}
    assert list(map(str, differences(before, after))) == [
        "~ default = 'a' -> 'b'",
        "~ runtimes.a.limits.memory = 1 -> 3",
        "- runtimes.old",
        "+ runtimes.b",
    ]


def test_settings_are_what_toml_can_hold(tmp_path: Path) -> None:
    path = tmp_path / "runtimes.toml"
    path.write_text(_WRITTEN)
    told = settings(load(path).runtimes["one"])
    assert told["limits"]["memory"] == 70 << 20
    assert told["env"]["LANG"] == "en_US.UTF-8"
    assert "build" not in told


def test_settings_written_as_a_table_say_the_same_again(tmp_path: Path) -> None:
    path = tmp_path / "runtimes.toml"
    mounts = 'mounts = [{ source = "/opt" }, { target = "/tmp", tmpfs = "16MiB" }]'
    path.write_text(f'[defaults]\n{mounts}\n[runtimes.one]\nexecutable = "/opt/one"\n')
    told = settings(load(path).runtimes["one"])
    assert told["mounts"][1] == {"target": "/tmp", "tmpfs": 16 << 20, "writable": True, "mandatory": True}
    again = parse(tomli_w.dumps({"runtimes": {"one": told}}).encode(), str(path))
    assert again.runtimes == load(path).runtimes


_SEVERAL = """\
# Mine, all of it.
default = "one"  # the newest

[runtimes.one]
executable = "/opt/one"  # works
aliases = ["first"]

# The second.
[runtimes."two"]  # by hand
executable = "/opt/two"
# of two

[[runtimes.two.mounts]]
source = "/opt"

# The last.
[runtimes.'three']
executable = "/opt/three"
"""


def test_a_runtime_is_removed_and_all_else_stays_comments_included(tmp_path: Path) -> None:
    path = tmp_path / "runtimes.toml"
    path.write_text(_SEVERAL)
    remove(path, "two")
    assert path.read_text() == _SEVERAL.replace(
        _SEVERAL[_SEVERAL.index('[runtimes."two"]') : _SEVERAL.index("\n# The last.")], ""
    )
    assert list(load(path).runtimes) == ["one", "three"]


def test_the_last_table_of_a_file_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "runtimes.toml"
    path.write_text(_SEVERAL)
    path.chmod(0o640)
    remove(path, "three")
    assert path.read_text() == _SEVERAL[: _SEVERAL.index("[runtimes.'three']")]
    assert path.stat().st_mode & 0o777 == 0o640


def test_the_default_is_removed_only_with_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "runtimes.toml"
    path.write_text(_SEVERAL)
    with pytest.raises(RegistryError, match="is the default runtime; name the new default with --default"):
        remove(path, "one")
    path.write_text(_SEVERAL.replace('default = "one"', 'default = "first"'))
    with pytest.raises(RegistryError, match="is the default runtime"):
        remove(path, "one")
    with pytest.raises(RegistryError, match="there is no runtime 'four'"):
        remove(path, "one", default="four")
    remove(path, "one", default="three")
    assert load(path).default == "three"
    assert 'default = "three"  # the newest\n' in path.read_text()


@pytest.mark.parametrize(
    "text",
    [
        'default = "one"\n[runtimes]\none.executable = "/1"\ntwo = { executable = "/2" }\n',
        'default = "one"\n[runtimes.one]\nexecutable = "/1"\n[runtimes]\ntwo.executable = "/2"\n',
        'default = "one"\n[runtimes.one]\nexecutable = "/1"\n[runtimes.two]\nexecutable = "/2"\nenv.X = """\n[runtimes.one]\n"""',
    ],
)
def test_what_only_a_person_can_edit_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "runtimes.toml"
    path.write_text(text)
    with pytest.raises(RegistryError):
        remove(path, "two")
    assert path.read_text() == text
