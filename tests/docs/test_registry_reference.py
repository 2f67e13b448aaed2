"""docs/reference/registry.md lists every key of the registry, and no default but the model's."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from snekhouse.registry.build import Build
from snekhouse.registry.environment import DEFAULT_ENV
from snekhouse.registry.models import Files, Limits, MountTable, RegistryFile, RuntimeTable, Settings
from snekhouse.registry.server import Server

_REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "registry.md"

_SECTIONS: dict[str, type[BaseModel]] = {
    "Top level": RegistryFile,
    "`[server]`": Server,
    "`[defaults]`": Settings,
    '`[defaults.limits]`, `[runtimes."NAME".limits]`': Limits,
    '`[defaults.files]`, `[runtimes."NAME".files]`': Files,
    '`[[defaults.mounts]]`, `[[runtimes."NAME".mounts]]`': MountTable,
    '`[runtimes."NAME"]`': RuntimeTable,
    '`[runtimes."NAME".build]`': Build,
}
_ENV_SECTION = '`[defaults.env]`, `[runtimes."NAME".env]`'


def _rows(section: str) -> dict[str, list[str]]:
    """Read the table of a section: its cells after the first, by what the first quotes."""
    body = _REFERENCE.read_text().split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    lines = [re.split(r" ?\| ?", line)[1:-1] for line in body.splitlines() if line.startswith("| `")]
    return {key.strip("`"): cells for key, *cells in lines}


def _keys_of(model: type[BaseModel]) -> set[str]:
    """List the keys that belong to a section: those that runtimes share with the defaults stand there."""
    return set(model.model_fields) - (set(Settings.model_fields) if model is RuntimeTable else set())


def _cases() -> list[Any]:
    return [
        pytest.param(model, key, id=f"{model.__name__}.{key}")
        for model in _SECTIONS.values()
        for key in sorted(_keys_of(model))
    ]


def _default_cell(model: type[BaseModel], key: str) -> str:
    section = next(section for section, each in _SECTIONS.items() if each is model)
    return _rows(section)[key][1]


def test_every_section_of_the_page_is_tested() -> None:
    headings = re.findall(r"^## (.*)$", _REFERENCE.read_text(), re.MULTILINE)
    assert headings == [*list(_SECTIONS)[:5], _ENV_SECTION, *list(_SECTIONS)[5:]]


@pytest.mark.parametrize("section", _SECTIONS)
def test_a_section_lists_exactly_the_keys_of_its_table(section: str) -> None:
    assert set(_rows(section)) == _keys_of(_SECTIONS[section])


@pytest.mark.parametrize(("model", "key"), _cases())
def test_every_key_shows_the_default_of_its_model(model: type[BaseModel], key: str) -> None:
    field, cell = model.model_fields[key], _default_cell(model, key)
    if isinstance(field.default, BaseModel) or key == "env":
        assert cell == "see below"
    elif (model, key) == (RegistryFile, "runtimes"):  # the models let it be empty, so that the loader can say it better
        assert cell == "required"
    elif (model, key) == (MountTable, "target"):
        assert MountTable(source="/x").target == "/x"
        assert cell == "the source"
    elif field.is_required():
        assert cell == "required"
    elif field.default is None:
        assert cell == "none"
    else:
        shown = tomllib.loads(f"{key} = {cell.strip('`')}")
        required = {"executable": "/x"} if model is RuntimeTable else {}
        if model is Build:
            required = {"version": "3.14.6", "sha256": "0" * 64}
        assert getattr(model.model_validate({**required, **shown}), key) == field.default


def test_the_environment_shown_is_the_default_one() -> None:
    assert {key: tomllib.loads(f"x = {cells[0].strip('`')}")["x"] for key, cells in _rows(_ENV_SECTION).items()} == (
        DEFAULT_ENV
    )


@pytest.mark.parametrize("section", _SECTIONS)
def test_every_key_has_a_type_and_a_meaning(section: str) -> None:
    assert all(kind and meaning for kind, _, meaning in _rows(section).values())
