"""What the pages say about the code is so: paths exist, rooms and walls are those in the code, words are in use."""

import re
from pathlib import Path

import pytest

from snekhouse.host.survey import survey
from test_layers import LAYERS

_ROOT = Path(__file__).parents[2]
_PAGES = sorted([*_ROOT.glob("*.md"), *(_ROOT / "docs").rglob("*.md"), *(_ROOT / "deploy").rglob("*.md")])
_FOLDERS = (".github", "platform", "runtimes", "templates", "tests", "deploy", "docs")
_FILES = {str(path) for path in [*_ROOT.iterdir(), *(each for name in _FOLDERS for each in (_ROOT / name).rglob("*"))]}
_PATH = re.compile(
    r"`((?:[\w.-]+/)*[\w-]+\.(?:py|jinja|cfg|md|yml|json|sh)|(?:platform|runtimes|templates|tests|deploy)/[\w/.-]*)`"
)
_OTHERS = re.compile(r"platform/__init__\.py|runtimes/packages.*|profile\.cfg|\w+/site\.py|prog\.py|main\.py")
"""Files that there must not be, that are in jails, or that a reader makes."""

_GLOSSARY = (_ROOT / "docs" / "explanation" / "glossary.md").read_text()
_ARCHITECTURE = (_ROOT / "docs" / "explanation" / "architecture.md").read_text()


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(_ROOT))) for page in _PAGES])
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    if page.name == "CHANGELOG.md":  # it tells of files that have gone
        return
    named = {path for path in _PATH.findall(page.read_text()) if not _OTHERS.fullmatch(path)}
    assert {path for path in named if not any(file.endswith(f"/{path.rstrip('/')}") for file in _FILES)} == set()


def test_the_architecture_lists_the_layers_from_top_to_bottom() -> None:
    assert tuple(re.findall(r"^\| `(\w+)` \|", _ARCHITECTURE, re.MULTILINE)) == LAYERS


def test_the_command_line_page_lists_exactly_the_walls() -> None:
    page = (_ROOT / "docs" / "reference" / "cli.md").read_text()
    listed = re.search(r"The walls are (.*?)\.", page, re.DOTALL)
    assert listed
    assert re.findall(r"`([^`]+)`", listed[1]) == [wall.name for wall in survey({}, (65534, 65535)).walls()]


@pytest.mark.parametrize("word", re.findall(r"^\| ([\w ]+) \|", _GLOSSARY, re.MULTILINE)[1:])
def test_every_word_of_the_glossary_stands_there_once_and_is_in_use(word: str) -> None:
    assert _GLOSSARY.count(f"\n| {word} |") == 1
    code = "\n".join(path.read_text() for path in (_ROOT / "platform").rglob("*.py"))
    assert re.search(rf"\b{word}", code, re.IGNORECASE)
