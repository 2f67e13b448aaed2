"""What a person does on the page."""

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

TOKEN = "the-token-of-operators-1234"
"""The admin token of the server of these tests."""

Open = Callable[..., Page]
"""Opens a page of a server: a path, and options of the browser's context. A page must not log errors."""


def write(page: Page, program: str) -> None:
    """Replace the program."""
    page.get_by_role("textbox", name="Program", exact=True).fill(program)


def run(page: Page, program: str) -> None:
    """Write a program, and run it with Ctrl-Enter, as soon as none runs."""
    page.locator("button.run").wait_for()
    write(page, program)
    page.keyboard.press("Control+Enter")


def show(page: Page, mode: str) -> None:
    """Choose a mode by its tab."""
    page.get_by_role("tab", name=mode).click()


def panel(page: Page, name: str = "Output") -> Locator:
    """The panel beside the editor."""
    return page.locator(f'section.panel[aria-label="{name}"]')


def badge(page: Page, name: str = "Output") -> Locator:
    """The status in the head of a panel."""
    return panel(page, name).locator(".panel-head .badge")


def output(page: Page) -> Locator:
    """The lines of output that are in the page."""
    return panel(page).locator(".output .cm-line")


def link_of(page: Page) -> str:
    """Open the dialog to share, and return the link of the program."""
    page.get_by_role("button", name="Share").click()
    field = page.get_by_label("Link", exact=True)
    expect(field).to_have_value(re.compile("#p="))
    return field.input_value()
