"""The examples: each runs in every Python here, and its output changes where its description says."""

import re
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from page.doing import panel, show
from serving import PATIENCE, Server

SOURCES = Path(__file__).parents[2] / "platform/snekhouse/web/playground/source/examples"
EXAMPLES = sorted(SOURCES.glob("*.py"))
CHANGES = re.compile(r"# The output changes in (.*)\.")


def test_there_are_twelve() -> None:
    assert len(EXAMPLES) == 12


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_its_output_changes_where_it_says(house: Server, path: Path) -> None:
    program = path.read_text()
    found = CHANGES.fullmatch(program.splitlines()[2])
    assert found, "its third line says where the output changes"
    changes = [_number(version) for version in found[1].split(", ")]
    answer = house.client.post("/compare", json={"input": program, "normalize": {"addresses": True}}, timeout=PATIENCE)
    group_of = {name: index for index, group in enumerate(answer.json()["groups"]) for name in group["runtimes"]}
    versions = sorted((_number(version), name) for name, version in _versions(house.client).items())
    for (older, one), (newer, other) in pairwise(versions):
        is_changed = any(older < change <= newer for change in changes)
        assert (group_of[one] != group_of[other]) == is_changed, (one, other)


def test_the_menu_shows_them_and_runs_the_chosen_one(page: Page) -> None:
    page.get_by_role("button", name="Examples").click()
    items = page.get_by_role("dialog").locator(".examples button")
    expect(items).to_have_count(len(EXAMPLES))
    items.filter(has_text="Sums of floats").click()
    cards = panel(page, "Every version").get_by_role("article")
    expect(cards.locator("mark").first).to_be_visible()
    expect(page.get_by_role("textbox", name="Program", exact=True)).to_contain_text("# Sums of floats")


def test_an_example_keeps_the_notebook(page: Page) -> None:
    show(page, "Notebook")
    page.get_by_role("textbox", name="Code of cell 1").fill("x = 'kept'")
    page.keyboard.press("Shift+Enter")
    page.get_by_role("button", name="Examples").click()
    page.get_by_role("dialog").locator(".examples button").first.click()
    show(page, "Notebook")
    page.get_by_role("textbox", name="Code of cell 2").fill("x")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".value")).to_have_text("'kept'")


def _versions(client: httpx.Client) -> dict[str, str]:
    return {each["name"]: each["version"] for each in client.get("/runtimes").json()["runtimes"]}


def _number(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
