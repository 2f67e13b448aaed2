"""The reference pages list what the code has, and no link leads nowhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard, get_origin

import pytest
import typer
from pydantic import BaseModel
from typer.core import TyperArgument, TyperGroup

from snekhouse.cli import app
from snekhouse.evaluation import Status
from snekhouse.service.metrics import Metrics
from snekhouse.web import (
    admin,
    batch_routes,
    compare_routes,
    judge_routes,
    pages,
    schemas,
    session_files,
    session_routes,
)
from snekhouse.web.admin_schemas import AdminRuntimeDetail, RegistryOut, ReloadOut
from snekhouse.web.eval_request import EvalRequest
from snekhouse.web.routes import ROUTES

_ROOT = Path(__file__).parents[2]
_CLI = (_ROOT / "docs" / "reference" / "cli.md").read_text()
_HTTP = (_ROOT / "docs" / "reference" / "http.md").read_text()
_METRICS = (_ROOT / "docs" / "reference" / "metrics.md").read_text()
_PAGES = sorted([*_ROOT.glob("*.md"), *(_ROOT / "docs").rglob("*.md")])


def _commands() -> Iterator[tuple[str, list[str]]]:
    """Name each command, with the options that it has."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    yield from _commands_of(group, "snekhouse")


def _commands_of(group: TyperGroup, path: str) -> Iterator[tuple[str, list[str]]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _commands_of(command, f"{path} {name}")
            continue
        options = [param for param in command.params if not isinstance(param, TyperArgument)]
        yield f"{path} {name}", [opt for option in options for opt in option.opts]


def _section(page: str, title: str) -> str:
    """Cut out the section whose heading begins with a command's name."""
    found = re.search(rf"^## `{re.escape(title)}[ `].*?(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, f"no section for {title}"
    return found[0]


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Name each field of a request or an answer as the page does: `limits.memory`, `files[].path`."""
    for name, field in model.model_fields.items():
        inner = [each for each in (field.annotation, *_arguments(field.annotation)) if _is_model(each)]
        yield f"{prefix}{name}"
        for each in inner:
            dots = "[]." if get_origin(field.annotation) is tuple else "."
            yield from _fields(each, f"{prefix}{name}{dots}")


def _arguments(annotation: object) -> tuple[object, ...]:
    return getattr(annotation, "__args__", ())


def _is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _rows(page: str, heading: str) -> set[str]:
    """Read what the first cells below a heading quote."""
    body = re.split(r"^#{2,3} ", page.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return set(re.findall(r"^\| `([^`]+)`", body, re.MULTILINE))


@pytest.mark.parametrize("command", [name for name, _ in _commands()])
def test_every_command_has_a_section(command: str) -> None:
    assert _section(_CLI, command)


@pytest.mark.parametrize(("command", "option"), [(name, option) for name, options in _commands() for option in options])
def test_every_option_stands_in_the_section_of_its_command(command: str, option: str) -> None:
    assert re.search(rf"^\|[^|]*`{option}[ `]", _section(_CLI, command), re.MULTILINE)


def test_the_command_line_page_has_no_command_that_does_not_exist() -> None:
    titles = re.findall(r"^## `([a-z ]+?)(?: [A-Z\[].*)?`$", _CLI, re.MULTILINE)
    assert sorted(titles) == sorted(name for name, _ in _commands())


def _shown() -> list[tuple[Path, str]]:
    """List each use of the command line that a page shows as a line of code."""
    return [
        (page, line)
        for page in _PAGES
        for line in re.findall(r"^    (?:\.venv/bin/)?(snekhouse [a-z].*)$", page.read_text(), re.MULTILINE)
    ]


@pytest.mark.parametrize(("page", "line"), [pytest.param(*each, id=f"{each[0].name}:{each[1]}") for each in _shown()])
def test_every_command_shown_exists_with_its_options(page: Path, line: str) -> None:
    known = next(options for name, options in _commands() if line.startswith(name))
    assert set(re.findall(r" (--?[a-z]+(?:-[a-z]+)*)", line)) <= set(known), page


def test_the_page_lists_exactly_the_routes() -> None:
    assert _rows(_HTTP, "HTTP") == {
        route.path_format
        for route in (
            *ROUTES,
            *pages.ROUTES,
            *session_routes.ROUTES,
            *session_files.ROUTES,
            *judge_routes.ROUTES,
            *compare_routes.ROUTES,
            *batch_routes.ROUTES,
        )
    } | {f"/admin{route.path}" for route in admin.ROUTES}


def test_the_page_lists_exactly_what_only_operators_are_told() -> None:
    fields = set(AdminRuntimeDetail.model_fields) - set(schemas.RuntimeOut.model_fields)
    assert _rows(_HTTP, "`GET /admin/runtimes`") == fields
    admin_part = _HTTP.split("## Admin\n", 1)[1]
    assert all(f"`{name}`" in admin_part for name in (*RegistryOut.model_fields, *ReloadOut.model_fields))


def test_the_page_lists_exactly_the_metrics() -> None:
    gathered = Metrics().collect(runtimes={}, digest="")
    assert _rows(_METRICS, "Metrics") == {
        family.name + ("_total" if family.type == "counter" else "")
        for family in gathered.collect()
        if family.name.startswith("snekhouse")
    }
    assert all(f"`{name}" in _METRICS for name in (f.name for f in gathered.collect() if f.name.startswith("process")))


def test_the_page_lists_exactly_the_fields_of_a_request() -> None:
    assert _rows(_HTTP, "`POST /eval`, `POST /eval/{runtime}`") == set(_fields(EvalRequest))


def test_the_page_lists_exactly_the_fields_of_an_answer() -> None:
    fields = set(_fields(schemas.EvalResponse)) - {"usage"}
    same_as_the_request = {name for name in _fields(EvalRequest) if name.startswith("limits.")}
    by_the_names_of_limits = {f"limits.enforced_by.{name}" for name in schemas.EnforcementOut.model_fields}
    assert same_as_the_request | by_the_names_of_limits <= fields
    assert _rows(_HTTP, "Answer") == fields - same_as_the_request - by_the_names_of_limits


def test_the_page_lists_exactly_the_fields_of_a_runtime() -> None:
    assert _rows(_HTTP, "`GET /runtimes`") == set(schemas.RuntimeOut.model_fields)
    assert all(f'`{{"{name}": [...]}}`' in _HTTP for name in schemas.RuntimesOut.model_fields)


def test_the_page_names_the_fields_of_an_error() -> None:
    errors = _HTTP.split("## Errors\n", 1)[1]
    assert all(f"`{name}`" in errors for name in schemas.ErrorOut.model_fields)


def test_the_page_lists_exactly_the_statuses() -> None:
    assert _rows(_HTTP, "Statuses") == {status.value for status in Status}


def _links() -> list[tuple[Path, str]]:
    return [
        (page, link)
        for page in _PAGES
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text())
        if "://" not in link
    ]


@pytest.mark.parametrize(("page", "link"), [pytest.param(*each, id=f"{each[0].name}:{each[1]}") for each in _links()])
def test_every_relative_link_leads_to_a_file_and_its_heading(page: Path, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = (page.parent / path) if path else page
    assert target.exists()
    if anchor:
        headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_of_the_documentation_is_in_its_index() -> None:
    index = _ROOT / "docs" / "README.md"
    linked = {(page.parent / link.partition("#")[0]).resolve() for page, link in _links() if page == index}
    assert linked == {page.resolve() for page in (_ROOT / "docs").rglob("*.md")} - {index, _ROOT / "docs/index.md"}
