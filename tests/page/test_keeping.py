"""What the browser keeps: over a reload, in several tabs, and when a link or an example replaces a program."""

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from page.doing import link_of, show, write


def editor(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Program", exact=True)


def shared(page: Page, program: str) -> str:
    """Make the link of a program."""
    write(page, program)
    link = link_of(page)
    page.keyboard.press("Escape")
    return link


def follow(page: Page, link: str) -> None:
    """Paste a link into the address of the page."""
    page.evaluate("link => { location.href = link }", link)


def stored(page: Page, program: str) -> None:
    """Wait until the browser has stored a program."""
    page.wait_for_function(
        "program => (localStorage.getItem('snekhouse-program') ?? '').includes(program)", arg=program
    )


def test_a_link_that_was_changed_loses_nothing_at_a_reload(page: Page) -> None:
    write(page, "print('shared')")
    link = link_of(page)
    page.keyboard.press("Escape")
    write(page, "print('own')")
    follow(page, link)
    expect(editor(page)).to_have_text("print('shared')")
    write(page, "print('changed')")
    page.reload()  # at once: the change is stored when the page goes
    expect(editor(page)).to_have_text("print('changed')")
    page.get_by_role("button", name="Back to your program").click()
    expect(editor(page)).to_have_text("print('own')")
    page.get_by_role("button", name="Back to your program").click()
    expect(editor(page)).to_have_text("print('changed')")


def test_a_reload_that_brings_the_removed_link_back_shows_the_changed_program(page: Page) -> None:
    write(page, "print('shared')")
    link = link_of(page)
    page.keyboard.press("Escape")
    follow(page, link)
    write(page, "print('changed')")
    with page.expect_navigation():  # as if the browser had not yet heard of the removal
        page.evaluate("link => { history.replaceState(null, '', link); location.reload() }", link)
    expect(editor(page)).to_have_text("print('changed')")
    assert "#p=" not in page.url
    follow(page, link)  # the user opens it again
    expect(editor(page)).to_have_text("print('shared')")
    page.reload()
    expect(editor(page)).to_have_text("print('shared')")


def test_back_at_once_after_a_change_keeps_the_change(page: Page) -> None:
    link = shared(page, "print('shared')")
    write(page, "print('own')")
    follow(page, link)
    expect(editor(page)).to_have_text("print('shared')")
    write(page, "print('changed')")
    page.evaluate("""() => {
      [...document.querySelectorAll("button")].find((each) => each.textContent === "Back to your program").click();
    }""")  # before the change is stored
    expect(editor(page)).to_have_text("print('own')")
    page.get_by_role("button", name="Back to your program").click()
    expect(editor(page)).to_have_text("print('changed')")


def test_a_new_tab_begins_with_what_was_changed_last(page: Page) -> None:
    write(page, "print('first')")
    stored(page, "first")
    other = page.context.new_page()
    other.goto(page.url)
    expect(editor(other)).to_have_text("print('first')")
    write(page, "print('second')")
    stored(page, "second")
    other.reload()  # it has changed nothing, so it stores nothing
    expect(editor(other)).to_have_text("print('first')")
    third = page.context.new_page()
    third.goto(page.url)
    expect(editor(third)).to_have_text("print('second')")


def test_large_files_of_the_own_program_survive_a_link_that_is_changed(page: Page, tmp_path: Path) -> None:
    link = shared(page, "print('shared')")
    (tmp_path / "large.bin").write_bytes(bytes(range(256)) * 10_000)
    page.locator("input[type=file]").first.set_input_files(tmp_path / "large.bin")
    write(page, "print('own')")
    follow(page, link)
    expect(editor(page)).to_have_text("print('shared')")
    write(page, "print('changed')")
    stored(page, "changed")
    page.reload()
    expect(editor(page)).to_have_text("print('changed')")
    page.get_by_role("button", name="Back to your program").click()
    expect(editor(page)).to_have_text("print('own')")
    expect(page.get_by_text("large.bin")).to_be_visible()


def test_a_good_link_after_a_damaged_one_removes_the_message(page: Page) -> None:
    link = shared(page, "print('shared')")
    follow(page, "#p=damaged")
    expect(page.get_by_text("This link is damaged")).to_be_visible()
    write(page, "print('own')")
    follow(page, link)
    expect(editor(page)).to_have_text("print('shared')")
    expect(page.get_by_text("This link is damaged")).to_have_count(0)


def branch(page: Page, code: str) -> None:
    """Run a cell in the notebook, and write another into a branch; then show the first branch."""
    show(page, "Notebook")
    page.get_by_role("textbox", name="Code of cell 1").fill("x = 1")
    page.keyboard.press("Control+Enter")
    page.get_by_role("button", name="Branch", exact=True).click()
    expect(page.get_by_role("button", name="branch 1", exact=True)).to_have_attribute("aria-pressed", "true")
    page.get_by_role("textbox", name="Code of cell 1").fill(code)
    page.get_by_role("button", name="main", exact=True).click()


def test_the_cells_of_all_branches_survive_a_reload(page: Page) -> None:
    branch(page, "x = 'of the branch'")
    page.reload()
    code = page.get_by_role("textbox", name="Code of cell 1")
    expect(code).to_have_text("x = 1")
    page.get_by_role("button", name="branch 1", exact=True).click()
    expect(code).to_have_text("x = 'of the branch'")
    page.get_by_role("button", name="Run cell 1").click()
    expect(page.locator(".cell .count")).to_have_text("[1]")


def expect_replaced(page: Page, shown: str) -> None:
    """Check that a notebook has replaced the two branches, and that the cells of both can come back."""
    code = page.get_by_role("textbox", name="Code of cell 1")
    expect(code).to_have_text(shown)
    for replaced in ("x = 1", "x = 'of the branch'"):
        page.get_by_role("button", name="Back to your program").click()
        expect(code).to_have_text(replaced)


@pytest.mark.parametrize("is_loaded", [False, True])
def test_a_link_to_a_notebook_keeps_the_cells_of_the_branches_that_it_replaces(page: Page, *, is_loaded: bool) -> None:
    show(page, "Notebook")
    page.get_by_role("textbox", name="Code of cell 1").fill("'shared'")
    link = link_of(page)
    page.keyboard.press("Escape")
    branch(page, "x = 'of the branch'")
    if is_loaded:
        page.goto("about:blank")
        page.goto(link)
    else:
        follow(page, link)
    expect_replaced(page, "'shared'")


def test_a_notebook_from_a_file_keeps_the_cells_of_closed_branches(page: Page, tmp_path: Path) -> None:
    branch(page, "x = 'of the branch'")
    page.get_by_role("button", name="Close branch 1").click()
    (tmp_path / "other.py").write_text("# %%\n'of the file'\n")
    page.get_by_label("Open a program from a file").set_input_files(tmp_path / "other.py")
    expect_replaced(page, "'of the file'")


def test_going_back_to_cells_that_a_branch_has_keeps_the_session(page: Page) -> None:
    branch(page, "x = 'of the branch'")
    page.get_by_role("button", name="Examples").click()
    page.locator("dialog li button, dialog article button").first.click()
    show(page, "Notebook")
    page.get_by_role("button", name="branch 1", exact=True).click()
    page.get_by_role("button", name="Back to your program").click()
    show(page, "Notebook")
    expect(page.get_by_role("textbox", name="Code of cell 1")).to_have_text("x = 1")
    expect(page.get_by_role("button", name="branch 1", exact=True)).to_be_visible()
    expect(page.locator(".cell .count")).to_have_text("[1]")


def test_a_closed_branch_can_be_opened_again(page: Page) -> None:
    branch(page, "x = 'of the branch'")
    page.get_by_role("button", name="Close branch 1").click()
    page.get_by_role("button", name="Reopen branch 1").click()
    expect(page.get_by_role("textbox", name="Code of cell 1")).to_have_text("x = 'of the branch'")
    expect(page.locator(".notebook > .notice")).to_contain_text("The session has ended.")
