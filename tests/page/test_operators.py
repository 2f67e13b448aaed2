"""The page of operators: the token, runtimes, charts, reload and probe."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from page.doing import TOKEN, Open
from serving import Server, running_server


def entered(opened: Open) -> Page:
    page = opened("admin/")
    page.get_by_label("Admin token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.get_by_role("table").wait_for()
    return page


def test_a_wrong_token_is_refused_and_the_right_one_shows_the_state(opened: Open, house: Server) -> None:
    page = opened("admin/")
    page.get_by_label("Admin token").fill("wrong-token-of-somebody")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Unauthorized")
    page.get_by_label("Admin token").fill(TOKEN)
    page.keyboard.press("Enter")
    rows = page.get_by_role("table").locator("tbody tr:not(.reason)")
    expect(rows).to_have_count(len(house.client.get("/runtimes").json()["runtimes"]))
    expect(rows.first).to_contain_text(re.compile(r"default.*CPython.*available.*fork"))


def test_without_an_admin_api_the_page_says_how_to_get_it(opened: Open, small: Path, tmp_path: Path) -> None:
    with running_server(small, tmp_path / "log") as server:
        page = opened("admin/", base=str(server.client.base_url))
        expect(page.get_by_role("alert")).to_contain_text("start the server with SNEKHOUSE_ADMIN_TOKEN")
        expect(page.get_by_label("Admin token")).to_have_count(0)


def test_charts_follow_the_metrics(opened: Open, house: Server) -> None:
    page = entered(opened)
    chart = page.locator("figure", has=page.get_by_role("heading", name="Evaluations", exact=True))
    for _ in range(5):
        house.client.post("/eval", json={"input": "print(1)"})
    expect(chart.locator("small")).to_contain_text(re.compile(r"at most ([1-9]|0\.[1-9])"))
    expect(page.get_by_role("table").locator("tbody tr").first).to_contain_text(re.compile(r"\d+ ok"))


def test_reload_and_probe_tell_their_outcome(opened: Open) -> None:
    page = entered(opened)
    page.get_by_role("button", name="Reload").click()
    expect(page.locator(".admin-main > .notice")).to_contain_text("The registry was reloaded.")
    expect(page.locator(".registry")).to_contain_text("ok")
    page.get_by_role("button", name="Probe").first.click()
    expect(page.locator(".admin-main > .notice")).to_contain_text("was probed: available.")


def test_the_profile_of_a_runtime_is_shown(opened: Open) -> None:
    page = entered(opened)
    page.get_by_role("button", name="Profile").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("mount {")


def test_the_token_can_be_forgotten(opened: Open) -> None:
    page = entered(opened)
    page.reload()
    page.get_by_role("table").wait_for()  # the tab keeps it
    page.get_by_role("button", name="Forget the token").click()
    page.reload()
    expect(page.get_by_label("Admin token")).to_be_visible()
