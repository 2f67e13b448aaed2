"""Every version side by side: groups, marked differences, one version's own result, the chart."""

import re

from playwright.sync_api import Page, expect

from page.doing import panel, run, show, write
from serving import Server

PROGRAM = "import sys\nprint('new' if sys.version_info >= (3, 12) else 'old', 'and the same')"


def test_equal_results_share_a_card_and_different_words_are_marked(page: Page, house: Server) -> None:
    names = [each["name"] for each in house.client.get("/runtimes").json()["runtimes"]]
    show(page, "Every version")
    run(page, PROGRAM)
    cards = panel(page, "Every version").get_by_role("article")
    expect(cards).to_have_count(2)
    expect(cards.first.locator(".text")).to_have_text("new and the same")
    expect(cards.first.locator("mark")).to_have_count(0)
    expect(cards.nth(1).locator("mark")).to_have_text("old")
    chips = [text for card in cards.all() for text in card.locator(".chip").all_inner_texts()]
    assert sorted(chips) == sorted(names)


def test_a_click_shows_the_result_of_one_version(page: Page) -> None:
    show(page, "Every version")
    page.get_by_label("versions", exact=True).check()
    run(page, "import sys; print(sys.version.split()[0])")
    card = panel(page, "Every version").get_by_role("article").first
    card.locator(".chip").nth(1).click()
    version = card.locator(".chip").nth(1).inner_text()
    expect(card.locator(".text")).to_contain_text(version)


def test_only_chosen_runtimes_run(page: Page, house: Server) -> None:
    names = [each["name"] for each in house.client.get("/runtimes").json()["runtimes"]]
    show(page, "Every version")
    for name in names[2:]:
        page.get_by_role("button", name=name, exact=True).click()
    page.get_by_role("button", name="Run in 2 versions").click()
    expect(panel(page, "Every version").locator(".chart tbody th")).to_have_text(names[:2])


def test_the_chart_has_time_and_memory_of_each_version(page: Page, house: Server) -> None:
    show(page, "Every version")
    run(page, PROGRAM)
    rows = panel(page, "Every version").locator(".chart tbody tr")
    expect(rows).to_have_count(len(house.client.get("/runtimes").json()["runtimes"]))
    for row in rows.all():
        expect(row).to_have_text(re.compile(r"[\d.]+.*(ms|s).*(KiB|MiB)"))


def test_stop_ends_all_of_them(page: Page) -> None:
    show(page, "Every version")
    run(page, "while True: pass")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name=re.compile("Run in"))).to_be_enabled()


def test_a_comparison_says_when_the_program_has_changed_since(page: Page) -> None:
    show(page, "Every version")
    write(page, "print(1)")
    page.keyboard.press("Control+Enter")
    expect(panel(page, "Every version")).to_contain_text("All results are equal.")
    expect(panel(page, "Every version")).not_to_contain_text("before the last change")
    write(page, "print(2)")
    expect(panel(page, "Every version")).to_contain_text("before the last change")
