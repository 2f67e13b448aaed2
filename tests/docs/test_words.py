"""Code, messages and pages are in plain words, which somebody whose second language is English knows."""

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_READ = sorted(
    path
    for pattern in (
        "*.md",
        "Makefile",
        "{0}/**/*.py",
        "{0}/**/*.md",
        "{0}/**/*.jinja",
        "{0}/**/*.yml",
        "{0}/**/*.toml",
        "{0}/**/*.ts*",
    )
    for folder in ("platform", "runtimes", "templates", "docs", "deploy", "benchmarks")
    for path in _ROOT.glob(pattern.format(folder))
    if path.name != "CHANGELOG.md" and "node_modules" not in path.parts
)
_RETIRED = re.compile(
    r"(?<!there )\b(?:is|are) no (?!longer|more|such)|\bmend|\blen[dt]\b|\bbur(?:y|ie)|\bmould|\bof ours\b|\bdoors?\b"
    r"|\bwhoever\b|\blest\b|\bhence\b|\bkeepers?\b|\bguardians?\b|\bthe peer\b|\binstallers?\b|_PATIENCE|_PROVEN|_LOOKING"
    r"|(?<!/run/)\bhouses?\b(?!-)",
    re.IGNORECASE,
)
_TEMPLATES = re.compile(r"(?<!message )\btemplates?\b(?!/|libs?)", re.IGNORECASE)
"""What evaluates is a fork server: a template is a text that Jinja fills in."""

_JINJA = re.compile(r"jinja|templates/|get_template|ref_template", re.IGNORECASE)


@pytest.mark.parametrize("path", [pytest.param(each, id=str(each.relative_to(_ROOT))) for each in sorted(set(_READ))])
def test_no_retired_word_is_left(path: Path) -> None:
    lines = enumerate(path.read_text().splitlines(), start=1)
    assert [(number, line) for number, line in lines if _RETIRED.search(line)] == []


@pytest.mark.parametrize(
    "path",
    [each for each in sorted(set(_READ)) if each.suffix == ".py" and "examples" not in each.parts],
    ids=lambda path: path.name,
)
def test_templates_are_those_of_jinja(path: Path) -> None:
    text = path.read_text()
    assert _JINJA.search(text) or not _TEMPLATES.search(text)
