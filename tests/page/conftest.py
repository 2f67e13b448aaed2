"""A real server and a real browser for the tests of the pages: `make page-test`."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from page.doing import TOKEN, Open
from serving import Server, await_fork_servers, running_server

EXPECTED = re.compile(r"status of [45]\d\d|ERR_|WebSocket connection|Applying inline style")
"""Messages in a browser's console on requests that a test has refused or cut off, and on styles that Chromium itself
writes while it replaces text in an editor, which the policy discards."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep these tests for `make page-test`: they need a browser."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.page)


@pytest.fixture(scope="session")
def house(registry_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with sessions and an admin API."""
    folder = tmp_path_factory.mktemp("house")
    with running_server(registry_path, folder / "log", {"SNEKHOUSE_ADMIN_TOKEN": TOKEN}) as server:
        await_fork_servers(server.client)
        yield server


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium that is installed."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    assert found, "no Chromium here; on Debian: apt install chromium; or name one in CHROMIUM"
    return found


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """A running Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def logged() -> list[str]:
    """The errors that pages logged; a test that expects some removes them."""
    return []


@pytest.fixture
def opened(browser: Browser, house: Server, logged: list[str]) -> Iterator[Open]:
    """Open pages, each in a context of its own; then check that none logged an error."""
    contexts = []

    def note(message: ConsoleMessage) -> None:
        is_of_program = "/page/frame" in message.location["url"]  # the policy blocked something in its HTML
        if message.type == "error" and not is_of_program and not EXPECTED.search(message.text):
            logged.append(message.text)

    def open_page(path: str = "", base: str = str(house.client.base_url), **options: object) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", note)
        page.on("pageerror", lambda error: logged.append(str(error)))
        page.goto(f"{base}/{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not logged


@pytest.fixture
def page(opened: Open) -> Page:
    """The page at ``/``, ready to use."""
    found = opened()
    found.locator("main select").first.wait_for()
    return found
