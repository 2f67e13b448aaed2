"""What tools do to a person's registry: the bytes that are there stay, and differences are told."""

from pathlib import Path

import pytest

from snekhouse.errors import RegistryError
from snekhouse.registry.edits import appended, changes, settings
from snekhouse.registry.loading import load

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


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('default = "one"\nruntimes = { one = { executable = "/usr/bin/python3" } }\n', "is not TOML"),
        (_WRITTEN, "default: is missing"),
        (f'default = "one"\n{_WRITTEN}\naliases = ["3.14t"]\n', "hides the runtime"),
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
    assert list(map(str, changes(before, after))) == [
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
