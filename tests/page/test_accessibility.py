"""axe-core finds no violation in any mode, and the keyboard alone is enough to run, compare and keep state."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from page.doing import TOKEN, Open, badge, output, panel, run, show

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
WIDTHS = [390, 1280]


def violations(page: Page) -> list[str]:
    """Ask axe-core for what is wrong with the page as it is shown."""
    page.evaluate(AXE.read_text() + "; undefined")
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{each['id']}: {json.dumps([node['html'][:200] for node in each['nodes']])}" for each in found["violations"]
    ]


def show_all(page: Page) -> None:
    """Bring a mode into the state with the most to see."""
    run(page, "import sys\nprint('out')\nprint('err', file=sys.stderr)\nopen('a.csv', 'w').write('a,b')\n1 / 0")
    expect(badge(page)).to_have_text("error ZeroDivisionError")
    page.get_by_role("button", name="a.csv", exact=True).click()
    page.get_by_text("Options").click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_no_mode_violates_a_rule(opened: Open, scheme: str, width: int) -> None:
    page = opened(color_scheme=scheme, viewport={"width": width, "height": 800}, reduced_motion="reduce")
    page.locator("main select").wait_for()
    assert violations(page) == []
    show_all(page)
    assert violations(page) == []
    show(page, "Every version")
    page.get_by_role("button", name="Run in").click()
    expect(panel(page, "Every version").locator(".chart")).to_be_visible()
    expect(page.get_by_role("article").first).to_be_visible()
    assert violations(page) == []
    show(page, "Judge")
    page.get_by_role("button", name="Add case", exact=True).click()
    page.get_by_role("button", name="Judge 1 case").click()
    expect(badge(page, "Cases")).to_be_visible()
    assert violations(page) == []
    show(page, "Notebook")
    page.get_by_role("textbox", name="Code of cell 1", exact=True).fill("import os\nprint('out')\nos._exit(1)")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".result .notice")).to_be_visible()
    assert violations(page) == []
    for name in ("Examples", "Share"):
        page.get_by_role("button", name=name).click()
        assert violations(page) == []
        page.keyboard.press("Escape")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_operators_page_violates_no_rule(opened: Open, scheme: str) -> None:
    page = opened("admin/", color_scheme=scheme, reduced_motion="reduce")
    assert violations(page) == []
    page.get_by_label("Admin token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.get_by_role("table").wait_for()
    assert violations(page) == []


def focus_by_tab(page: Page, name: str, most: int = 60) -> None:
    """Press Tab until something with a name has the focus; before each Tab, Escape, because editors take Tab."""
    for _ in range(most):
        page.keyboard.press("Escape")
        page.keyboard.press("Tab")
        found = page.evaluate("""() => {
          const element = document.activeElement;
          if (element === document.body) return "";
          return element.getAttribute("aria-label") || element.labels?.[0]?.innerText || element.innerText || "";
        }""")
        if name in found:
            return
    pytest.fail(f"Tab does not reach {name!r}")


def test_the_keyboard_alone_writes_runs_types_compares_and_keeps_state(page: Page) -> None:
    page.evaluate("document.activeElement.blur()")
    focus_by_tab(page, "Program")
    page.keyboard.press("Control+A")
    page.keyboard.type("print(input('? '))\nprint('end')")
    page.keyboard.press("Control+Enter")
    page.get_by_label("Input for the program").wait_for()
    focus_by_tab(page, "Input for the program")
    page.keyboard.type("typed")
    page.keyboard.press("Enter")
    expect(output(page)).to_have_text(["? typed", "typed", "end"])
    focus_by_tab(page, "Run")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Every version")).to_have_attribute("aria-selected", "true")
    focus_by_tab(page, "Run in")
    page.keyboard.press("Enter")
    expect(panel(page, "Every version").locator(".chart")).to_be_visible()
    focus_by_tab(page, "Every version")
    page.keyboard.press("ArrowRight")
    focus_by_tab(page, "Code of cell 1")
    page.keyboard.type("40 + 2")
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".value")).to_have_text("42")
    expect(page.get_by_role("textbox", name="Code of cell 2", exact=True)).to_be_focused()


def test_screen_readers_are_told_how_a_program_ended(page: Page) -> None:
    run(page, "print('hello')")
    expect(page.locator("p[aria-live]")).to_have_text("The program succeeded. hello")
    run(page, "print('hello')\n1 / 0")
    expect(page.locator("p[aria-live]")).to_contain_text("The program failed with ZeroDivisionError.")
