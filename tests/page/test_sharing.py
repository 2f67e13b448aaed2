"""Links that hold the program, and the program as commands."""

import json
import re
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, expect

from page.doing import Open, link_of, output, run, show, write


def test_a_link_brings_program_files_and_choices_and_runs_nothing(page: Page, opened: Open, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("in the link")
    page.locator("input[type=file]").first.set_input_files(tmp_path / "data.txt")
    page.get_by_text("Options").click()
    page.get_by_label("Arguments").fill("a b")
    page.get_by_label("Runtime", exact=True).select_option("3.12")
    write(page, "import sys\nprint(open('data.txt').read(), sys.argv[1:], sys.version_info[1])")
    other = opened(link_of(page).split("/", 3)[3])
    expect(other.get_by_label("Runtime", exact=True)).to_have_value("3.12")
    expect(other.locator(".empty")).to_be_visible()  # nothing has run
    other.get_by_role("button", name="Run", exact=True).click()
    expect(output(other)).to_have_text(["in the link ['a', 'b'] 12"])
    other.reload()
    expect(other.get_by_label("Arguments")).to_have_value("a b")  # the link is still in the address
    write(other, "print('changed')")
    expect(other).not_to_have_url(re.compile("#"))


def test_a_link_of_a_notebook_brings_its_cells(page: Page, opened: Open) -> None:
    show(page, "Notebook")
    page.get_by_role("textbox", name="Code of cell 1", exact=True).fill("'from the link'")
    other = opened(link_of(page).split("/", 3)[3])
    other.get_by_role("textbox", name="Code of cell 1", exact=True).press("Control+Enter")
    expect(other.locator(".value")).to_have_text("'from the link'")


def test_a_damaged_link_is_reported_and_the_page_works(opened: Open) -> None:
    for fragment in ("#p=AAAA", "#p=%%%", "#p="):
        page = opened(fragment)
        expect(page.get_by_role("alert")).to_contain_text("This link is damaged")
        page.locator("main select").wait_for()
        run(page, "print('works')")
        expect(output(page)).to_have_text(["works"])


def test_a_link_pasted_into_the_address_opens_and_the_own_program_is_one_click_away(page: Page) -> None:
    write(page, "print('own')")
    link = link_of(page)
    page.keyboard.press("Escape")
    write(page, "print('newer')")
    page.evaluate("link => { location.href = link }", link)
    editor = page.get_by_role("textbox", name="Program", exact=True)
    expect(editor).to_have_text("print('own')")
    page.goto(page.url.split("#")[0])
    page.reload()
    expect(editor).to_have_text("print('newer')")  # a link replaces nothing that was stored
    page.evaluate("link => { location.href = link }", link)
    page.get_by_role("button", name="Back to your program").click()
    expect(editor).to_have_text("print('newer')")


def test_the_own_program_survives_two_links_and_one_can_be_kept(page: Page) -> None:
    editor = page.get_by_role("textbox", name="Program", exact=True)
    links = []
    for program in ("print('first')", "print('second')"):
        write(page, program)
        links.append(link_of(page))
        page.keyboard.press("Escape")
    write(page, "print('own')")
    for link in links:
        page.evaluate("link => { location.href = link }", link)
        expect(page.get_by_role("button", name="Back to your program")).to_be_visible()
    expect(editor).to_have_text("print('second')")
    page.get_by_role("button", name="Back to your program").click()
    expect(editor).to_have_text("print('own')")
    page.evaluate("link => { location.href = link }", links[0])
    page.get_by_role("button", name="Keep this one").click()
    page.reload()
    expect(editor).to_have_text("print('first')")


def test_large_files_are_left_out_and_the_dialog_says_so(page: Page, tmp_path: Path) -> None:
    (tmp_path / "large.txt").write_bytes(bytes(33 * 1024))
    page.locator("input[type=file]").first.set_input_files(tmp_path / "large.txt")
    assert len(link_of(page)) < 2000
    expect(page.get_by_role("dialog")).to_contain_text("The files are left out")


def test_the_commands_do_what_the_page_does(page: Page) -> None:
    program = "import sys\nprint('it\\'s \"quoted\" $HOME \\\\n', sys.argv[1:])"
    page.get_by_text("Options").click()
    page.get_by_label("Arguments").fill("x")
    run(page, program)
    expect(output(page)).to_contain_text(["quoted"])
    printed = output(page).inner_text()
    page.get_by_role("button", name="Share").click()
    curl = page.get_by_label("curl", exact=True).input_value()
    answer = subprocess.run(["bash", "-c", f"{curl} --silent"], capture_output=True, check=True, timeout=30).stdout
    assert json.loads(answer)["stdout"] == printed + "\n"
    python = page.get_by_label("Python", exact=True).input_value()
    told = subprocess.run([sys.executable, "-c", python], capture_output=True, text=True, check=True, timeout=30).stdout
    assert told == f"{printed}\nok 0\n"


def test_a_judge_without_a_case_has_no_commands(page: Page) -> None:
    show(page, "Judge")
    page.get_by_role("button", name="Share").click()
    expect(page.get_by_role("dialog")).to_contain_text("Add a case")
    expect(page.get_by_label("curl", exact=True)).to_have_count(0)
    expect(page.get_by_role("link", name="All requests of this server")).to_have_attribute("href", "docs")


def test_the_commands_of_the_judge_send_the_cases(page: Page) -> None:
    show(page, "Judge")
    write(page, "print(int(input()) * 2)")
    page.get_by_role("button", name="Add case", exact=True).click()
    page.get_by_label("Input of case 1", exact=True).fill("4")
    page.get_by_label("Expected output of case 1", exact=True).fill("8")
    page.get_by_role("button", name="Share").click()
    curl = page.get_by_label("curl", exact=True).input_value()
    answer = subprocess.run(["bash", "-c", f"{curl} --silent"], capture_output=True, check=True, timeout=30).stdout
    assert json.loads(answer)["verdict"] == "accepted"


_OPEN = """async (program) => {
  const packed = new Blob([JSON.stringify(program)]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
  location.hash = "#p=" + btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
}"""
"""Opens the link of a program that need not be one that the page makes."""


def test_a_link_with_other_line_ends_is_not_a_change(page: Page) -> None:
    editor = page.get_by_role("textbox", name="Program", exact=True)
    write(page, "print('own')")
    page.evaluate(_OPEN, {"mode": "run", "code": "x = 1\r\nx"})
    expect(editor).to_have_text("x = 1x")
    page.wait_for_timeout(600)
    page.goto(page.url.split("#")[0])
    page.reload()
    expect(editor).to_have_text("print('own')")


def test_a_link_with_more_than_the_page_shows_is_refused(page: Page) -> None:
    page.evaluate(_OPEN, {"mode": "notebook", "cells": [""] * 101})
    expect(page.get_by_role("alert")).to_contain_text("This link cannot be opened: it has more than 100 cells.")


def test_tabs_keep_their_own_programs(page: Page) -> None:
    write(page, "print('first tab')")
    page.wait_for_timeout(600)
    other = page.context.new_page()
    other.goto(page.url)
    other.locator("main select").wait_for()
    write(other, "print('second tab')")
    other.wait_for_timeout(600)
    page.reload()
    expect(page.get_by_role("textbox", name="Program", exact=True)).to_have_text("print('first tab')")
    other.reload()
    expect(other.get_by_role("textbox", name="Program", exact=True)).to_have_text("print('second tab')")


def test_what_the_browser_has_no_room_for_is_told(page: Page, tmp_path: Path) -> None:
    (tmp_path / "large.bin").write_bytes(bytes(8 << 20))
    page.locator("input[type=file]").first.set_input_files(tmp_path / "large.bin")
    expect(page.get_by_text("The browser has no room to keep the files")).to_be_visible()
    page.get_by_role("button", name="Remove large.bin").click()
    expect(page.get_by_text("The browser has no room to keep the files")).to_have_count(0)
