"""The notebook: cells over a session, values in their rich forms, back, branches, and what became of the state."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from page.doing import show
from serving import Server


@pytest.fixture
def notebook(page: Page) -> Page:
    """The notebook, with one empty cell."""
    show(page, "Notebook")
    return page


def cell(page: Page, number: int) -> Locator:
    return page.get_by_role("article", name=f"Cell {number}", exact=True)


def run(page: Page, number: int, code: str, keys: str = "Shift+Enter") -> Locator:
    """Write a cell, and run it; Shift-Enter goes on to the next."""
    found = cell(page, number)
    found.get_by_role("textbox", name=f"Code of cell {number}", exact=True).fill(code)
    page.keyboard.press(keys)
    expect(found).to_have_attribute("aria-busy", "false")
    return found


def test_cells_share_a_state_and_show_output_and_value(notebook: Page) -> None:
    first = run(notebook, 1, "x = 21\nprint('printed')\nx * 2")
    expect(first.locator(".output")).to_have_text("printed")
    expect(first.locator(".value")).to_have_text("42")
    expect(first.locator(".count")).to_have_text("[1]")
    expect(run(notebook, 2, "x + 1").locator(".value")).to_have_text("22")


def test_rich_values_are_shown_and_their_scripts_do_not_run(notebook: Page, logged: list[str]) -> None:
    forged = "parent.postMessage({height: 500}, '*')"
    srcdoc = "<iframe srcdoc=\"<script src='/docs/start.js'></script>\"></iframe>"
    html = f'<table><tr><td>cell of a table</td></tr></table><img src=x onerror="{forged}"><p>last</p>{srcdoc}'
    shown = run(notebook, 1, f"class Rich:\n    def _repr_html_(self): return {html!r}\nRich()")
    frame = shown.frame_locator("iframe")
    expect(frame.get_by_text("cell of a table")).to_be_visible()
    box = shown.locator("iframe").bounding_box()
    assert box
    assert 60 < box["height"] != 500
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="30" height="10"><script>parent.document.title=2</script></svg>'
    )
    shown = run(notebook, 2, f"class Drawn:\n    def _repr_svg_(self): return {svg!r}\nDrawn()")
    drawing = shown.frame_locator("iframe").locator("img")
    expect(drawing).to_have_js_property("naturalWidth", 30)
    assert notebook.title() == "snekhouse"
    assert all("Content Security Policy" in each for each in logged)  # of the frame in the frame
    logged.clear()


def test_back_takes_the_last_cell_back(notebook: Page) -> None:
    run(notebook, 1, "x = 1")
    second = run(notebook, 2, "x = 2")
    notebook.get_by_role("button", name="Undo").click()
    expect(second).to_contain_text("undone")
    expect(run(notebook, 3, "x").locator(".value")).to_have_text("1")


def test_a_branch_has_its_own_variables(notebook: Page) -> None:
    run(notebook, 1, "x = 1")
    notebook.get_by_role("button", name="Branch", exact=True).click()
    expect(notebook.get_by_role("button", name="branch 1", exact=True)).to_have_attribute("aria-pressed", "true")
    run(notebook, 2, "x = 100", keys="Control+Enter")
    notebook.get_by_role("button", name="main", exact=True).click()
    expect(run(notebook, 2, "x").locator(".value")).to_have_text("1")
    notebook.get_by_role("button", name="branch 1", exact=True).click()
    notebook.get_by_role("button", name="Add cell", exact=True).click()
    expect(run(notebook, 3, "x").locator(".value")).to_have_text("100")


def test_closing_a_branch_shows_the_same_one_as_before(notebook: Page) -> None:
    run(notebook, 1, "x = 'main'")
    for _ in range(2):
        notebook.get_by_role("button", name="Branch", exact=True).click()
        expect(notebook.get_by_role("button", name="Branch", exact=True)).to_be_enabled()
    run(notebook, 2, "x = 'last'", keys="Control+Enter")
    notebook.get_by_role("button", name="Close branch 1").click()
    expect(notebook.get_by_role("button", name="branch 2", exact=True)).to_have_attribute("aria-pressed", "true")
    notebook.get_by_role("button", name="Close branch 2").click()
    expect(run(notebook, 2, "x").locator(".value")).to_have_text("'main'")


def test_cells_wait_for_each_other_and_not_for_one_that_failed(notebook: Page) -> None:
    codes = ["import time; time.sleep(1)", "'after it'", "1 / 0", "'never'"]
    for number, code in enumerate(codes, 1):
        notebook.get_by_role("textbox", name=f"Code of cell {number}", exact=True).fill(code)
        notebook.keyboard.press("Shift+Enter")
    expect(cell(notebook, 2).locator(".value")).to_have_text("'after it'")
    expect(cell(notebook, 3).locator(".cm-failed-line")).to_have_text("1 / 0")
    expect(cell(notebook, 4).locator(".result")).to_have_count(0)


def test_a_cell_that_waits_can_be_withdrawn_and_the_other_goes_on(notebook: Page) -> None:
    for number, code in enumerate(["import time; time.sleep(2); 'done'", "'never'"], 1):
        notebook.get_by_role("textbox", name=f"Code of cell {number}", exact=True).fill(code)
        notebook.keyboard.press("Shift+Enter")
    notebook.get_by_role("button", name="Stop cell 2").click()
    expect(cell(notebook, 1).locator(".value")).to_have_text("'done'")
    expect(cell(notebook, 2).locator(".result")).to_have_count(0)


def test_a_cell_that_is_run_while_a_branch_opens_runs_after_it(notebook: Page) -> None:
    run(notebook, 1, "x = 1")

    def delay(route: Route) -> None:
        notebook.get_by_role("textbox", name="Code of cell 2", exact=True).fill("x + 1")
        notebook.keyboard.press("Control+Enter")
        route.continue_()

    notebook.route("**/branch", delay)
    notebook.get_by_role("button", name="Branch", exact=True).click()
    expect(notebook.get_by_role("button", name="branch 1", exact=True)).to_be_visible()
    expect(cell(notebook, 2).locator(".result")).to_have_count(0)
    notebook.get_by_role("button", name="main", exact=True).click()
    expect(cell(notebook, 2).locator(".value")).to_have_text("2")


def test_a_file_that_did_not_arrive_is_sent_again(notebook: Page, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("arrived")
    notebook.locator("input[type=file]").first.set_input_files(tmp_path / "data.txt")
    busy = {"title": "Service Unavailable", "description": "the queue is full"}
    notebook.route("**/eval", lambda route: route.fulfill(status=503, json=busy), times=1)
    expect(run(notebook, 1, "1").get_by_role("alert")).to_contain_text("the queue is full")
    expect(run(notebook, 1, "open('data.txt').read()", keys="Control+Enter").locator(".value")).to_have_text(
        "'arrived'"
    )


def test_a_cell_that_is_killed_says_that_the_state_went_back(notebook: Page) -> None:
    run(notebook, 1, "x = 1")
    second = run(notebook, 2, "x = 2\nimport os; os._exit(3)")
    expect(second.locator(".badge").first).to_have_text("error, exit code 3")
    expect(second.locator(".notice")).to_contain_text("State rolled back.")
    expect(run(notebook, 3, "x").locator(".value")).to_have_text("1")


def test_interrupt_stops_a_cell_and_kill_what_ignores_it(notebook: Page) -> None:
    first = cell(notebook, 1)
    first.get_by_role("textbox").fill("import time\nwhile True: time.sleep(0.1)")
    notebook.keyboard.press("Control+Enter")
    first.get_by_role("button", name="Stop cell 1").click()
    expect(first.locator(".badge").first).to_have_text("error KeyboardInterrupt")
    notebook.get_by_role("button", name="Add cell", exact=True).click()
    second = cell(notebook, 2)
    code = (
        "import signal\nx = signal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('deaf', flush=True)\nwhile True: pass"
    )
    second.locator(".editor .cm-content").fill(code)
    notebook.keyboard.press("Control+Enter")
    expect(second.locator(".output")).to_have_text("deaf")
    second.get_by_role("button", name="Stop cell 2").click()
    second.get_by_role("button", name="Kill cell 2").click()
    expect(second.get_by_role("alert")).to_contain_text("Killed")
    notebook.get_by_role("button", name="Add cell", exact=True).click()
    run(notebook, 3, "foo = 1")
    forgiving = "import time\ntry:\n    print('begun', flush=True); time.sleep(9)\nexcept KeyboardInterrupt:\n    foo = 3; time.sleep(9)"
    cell(notebook, 4).get_by_role("textbox", name="Code of cell 4", exact=True).fill(forgiving)
    notebook.keyboard.press("Control+Enter")
    expect(cell(notebook, 4).locator(".output")).to_have_text("begun")
    notebook.get_by_role("button", name="Stop cell 4").click()
    notebook.get_by_role("button", name="Kill cell 4").click()
    notebook.get_by_role("button", name="Add cell", exact=True).click()
    expect(run(notebook, 5, "foo").locator(".value")).to_have_text("1")  # and goes on to a new cell
    expect(run(notebook, 6, "'alive'").locator(".value")).to_have_text("'alive'")


def test_a_session_that_has_ended_is_reported_and_the_next_cell_opens_another(notebook: Page, house: Server) -> None:
    with notebook.expect_response(re.compile("/sessions$")) as opening:
        run(notebook, 1, "x = 1")
    session = opening.value.json()["id"]
    assert house.client.delete(f"/sessions/{session}").status_code == 204
    run(notebook, 2, "x")
    expect(notebook.locator(".notebook > .notice")).to_contain_text("The session has ended.")
    expect(run(notebook, 2, "'x' in globals()").locator(".value")).to_have_text("False")


def test_cells_can_be_moved_and_removed(notebook: Page) -> None:
    run(notebook, 1, "'one'")
    run(notebook, 2, "'two'")
    notebook.get_by_role("button", name="Move cell 2 up").click()
    expect(cell(notebook, 1).locator(".value")).to_have_text("'two'")
    notebook.get_by_role("button", name="Remove cell 1").click()
    expect(cell(notebook, 1).locator(".value")).to_have_text("'one'")


def test_buttons_that_change_the_state_or_the_order_keep_the_focus(notebook: Page) -> None:
    run(notebook, 1, "x = 1")
    run(notebook, 2, "x = 2")
    branch = notebook.get_by_role("button", name="Branch", exact=True)
    branch.press("Enter")
    expect(notebook.get_by_role("button", name="branch 1", exact=True)).to_be_visible()
    expect(branch).to_be_focused()
    notebook.get_by_role("button", name="Restart").press("Enter")
    expect(notebook.locator(".notebook-bar :focus")).to_have_count(1)
    notebook.get_by_role("button", name="Move cell 2 down").press("Enter")
    expect(notebook.get_by_role("button", name="Move cell 3 up")).to_be_focused()
    notebook.get_by_role("button", name="Move cell 2 up").press("Enter")
    expect(notebook.get_by_role("button", name="Move cell 1 down")).to_be_focused()


def test_removed_cells_come_back_where_they_were_and_know_that_the_session_ended(notebook: Page) -> None:
    run(notebook, 1, "'one'")
    run(notebook, 2, "'two'")
    bring_back = notebook.get_by_role("button", name="Bring back the removed cell")
    expect(bring_back).to_have_count(0)
    notebook.get_by_role("button", name="Remove cell 3").click()  # an empty cell does not come back
    expect(bring_back).to_have_count(0)
    notebook.get_by_role("button", name="Remove cell 2").click()
    notebook.get_by_role("button", name="Remove cell 1").click()
    bring_back.click()
    expect(cell(notebook, 1).locator(".value")).to_have_text("'one'")
    expect(notebook.get_by_role("textbox", name="Code of cell 1")).to_be_focused()
    notebook.get_by_role("button", name="Restart").click()
    bring_back.click()
    expect(cell(notebook, 2).locator(".cm-content")).to_have_text("'two'")
    expect(cell(notebook, 2).locator(".value")).to_have_count(0)
    expect(bring_back).to_have_count(0)


def test_without_sessions_the_reason_is_reported(notebook: Page) -> None:
    refusal = {"title": "Service Unavailable", "description": "sessions are off; set [server] sessions in the registry"}
    notebook.route("**/sessions", lambda route: route.fulfill(status=503, json=refusal))
    expect(run(notebook, 1, "1").get_by_role("alert")).to_contain_text("sessions are off")


def test_a_notebook_is_saved_as_a_program_and_opened_again(notebook: Page, tmp_path: Path) -> None:
    run(notebook, 1, "x = 1")
    run(notebook, 2, "x + 1", keys="Control+Enter")
    with notebook.expect_download() as saved:
        notebook.get_by_role("button", name="Save").click()
    assert saved.value.suggested_filename == "notebook.py"
    text = Path(saved.value.path()).read_text()
    assert text == "# %%\nx = 1\n\n# %%\nx + 1\n"
    (tmp_path / "other.py").write_text(f"{text}\n# %% more\n'third'\n", newline="\r\n")
    notebook.get_by_label("Open a program from a file").set_input_files(tmp_path / "other.py")
    expect(run(notebook, 3, "'third'", keys="Control+Enter").locator(".value")).to_have_text("'third'")
    expect(notebook.get_by_role("article")).to_have_count(3)
