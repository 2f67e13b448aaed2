"""Run a program: runtimes, output as it comes, input, Stop, limits, arguments."""

import re

import pytest
from playwright.sync_api import Page, expect

from crowds import until
from page.doing import Open, badge, output, panel, run, show, write
from page.proxy import proxy
from serving import Server


def test_ctrl_enter_runs_the_program_and_its_output_and_cost_appear(page: Page) -> None:
    run(page, "print('hello')\nprint(6 * 7)")
    expect(badge(page)).to_have_text("ok")
    expect(output(page)).to_have_text(["hello", "42"])
    expect(panel(page).locator(".used")).to_contain_text(re.compile(r"Time[\d.]+ ms.*CPU.*Memory"))


def test_every_runtime_is_listed_with_its_version_and_the_chosen_one_runs(page: Page, house: Server) -> None:
    found = house.client.get("/runtimes").json()["runtimes"]
    select = page.get_by_label("Runtime", exact=True)
    assert select.locator("option").all_inner_texts() == [f"CPython {each['version']}" for each in found]
    for each in found[:3]:
        select.select_option(each["name"])
        run(page, "import sys; print(sys.version.split()[0])")
        expect(output(page)).to_have_text([each["version"]])


def test_a_runtime_that_is_unavailable_cannot_be_chosen_and_the_reason_is_reported(page: Page, house: Server) -> None:
    found = house.client.get("/runtimes").json()
    found["runtimes"][0] |= {"status": "unavailable", "reason": "its interpreter is gone", "version": None}
    page.route("**/runtimes", lambda route: route.fulfill(json=found))
    page.reload()
    expect(page.locator("main select option").first).to_be_disabled()
    expect(page.locator("main .notice")).to_contain_text("its interpreter is gone")
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_disabled()


def test_output_appears_while_the_program_runs(page: Page) -> None:
    run(page, "import time\nprint('first', flush=True)\ntime.sleep(2)\nprint('second')")
    expect(output(page)).to_have_text(["first"])
    expect(badge(page)).to_have_text("running")
    expect(output(page)).to_have_text(["first", "second"])


def test_a_program_reads_what_is_typed_while_it_runs(page: Page) -> None:
    run(page, "name = input('Who? ')\nprint('Hello', name)\nimport sys\nprint(sys.stdin.read().upper())")
    page.get_by_label("Input for the program").fill("Zoë 🐍")
    page.keyboard.press("Enter")
    expect(output(page)).to_have_text(["Who? Zoë 🐍", "Hello Zoë 🐍"])
    page.get_by_label("Input for the program").fill("more")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="End input").click()
    expect(badge(page)).to_have_text("ok")
    expect(output(page)).to_contain_text(["Who? Zoë 🐍", "Hello Zoë 🐍", "more", "MORE"])


def test_enter_begins_a_line_whatever_was_typed(page: Page) -> None:
    page.get_by_role("textbox", name="Program", exact=True).fill("")
    page.keyboard.type("import os\nimport sys\nprint(len(sys.argv))\n", delay=60)
    page.keyboard.press("Control+Enter")
    expect(output(page)).to_have_text(["1"])


def test_after_a_click_on_run_the_input_has_the_focus(page: Page) -> None:
    write(page, "print('Hello', input())")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_label("Input for the program")).to_be_focused()
    page.keyboard.type("Ada Lovelace")
    page.keyboard.press("Enter")
    expect(output(page)).to_have_text(["Ada Lovelace", "Hello Ada Lovelace"])


def test_a_double_click_on_run_does_not_stop_the_program(page: Page) -> None:
    write(page, "import time\ntime.sleep(0.5)\nprint('ran')")
    page.get_by_role("button", name="Run", exact=True).dblclick()
    expect(output(page)).to_have_text(["ran"])
    expect(badge(page)).to_have_text("ok")


def test_the_second_half_of_a_double_click_on_stop_does_not_run_the_program_again(page: Page) -> None:
    run(page, "import time\nprint('begun', flush=True)\ntime.sleep(60)")
    expect(output(page)).to_have_text(["begun"])
    place = page.get_by_role("button", name="Stop").bounding_box()
    assert place
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    page.mouse.down(click_count=1)
    page.mouse.up(click_count=1)
    page.get_by_role("button", name="Run", exact=True).wait_for()
    page.mouse.down(click_count=2)
    page.mouse.up(click_count=2)
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")  # it is drawn
    expect(badge(page)).to_have_text("error KeyboardInterrupt")


def test_what_stands_in_the_field_is_sent_before_the_end_of_input(page: Page) -> None:
    run(page, "import sys\nprint(repr(sys.stdin.read()))")
    page.get_by_label("Input for the program").fill("abc")
    page.get_by_role("button", name="End input").click()
    expect(output(page)).to_have_text(["abc'abc'"])


def test_stop_interrupts_and_kill_ends_what_ignores_it(page: Page) -> None:
    run(
        page,
        "import time\ntry:\n    print('begun', flush=True)\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('ended')",
    )
    expect(output(page)).to_have_text(["begun"])
    page.get_by_role("button", name="Stop").click()
    expect(output(page)).to_have_text(["begun", "ended"])
    run(
        page, "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('deaf', flush=True)\nwhile True: pass"
    )
    expect(output(page)).to_have_text(["deaf"])
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Kill").click()
    expect(badge(page)).to_have_text("signaled")


def test_colours_and_stderr_are_told_apart(page: Page) -> None:
    program = r"""import sys
print("\x1b[31mred\x1b[0m \x1b[1;38;5;208morange\x1b[0m \x1b[48;2;0;0;255mblue\x1b[0m plain")
print("to stderr", file=sys.stderr)"""
    run(page, program)
    expect(output(page).locator(".f1")).to_have_text("red")
    expect(output(page).locator(".bold.f208")).to_have_text("orange")
    expect(output(page).locator(".b21")).to_have_text("blue")
    expect(output(page).locator(".stderr")).to_have_text("to stderr")
    orange = output(page).locator(".f208").evaluate("each => getComputedStyle(each).color")
    assert orange == "rgb(255, 135, 0)"


def test_a_progress_bar_rewrites_its_line(page: Page) -> None:
    run(page, r"for n in range(0, 101, 10): print(f'\r{n:3}% done', end='', flush=True)")
    expect(badge(page)).to_have_text("ok")
    expect(output(page)).to_have_text(["100% done"])


def test_a_failure_marks_its_line_in_the_editor(page: Page) -> None:
    run(page, "x = 1\n\nraise ValueError('boom')")
    expect(badge(page)).to_have_text("error ValueError")
    expect(page.locator(".editor .cm-failed-line")).to_have_text("raise ValueError('boom')")
    page.get_by_role("textbox", name="Program", exact=True).press("End")
    page.keyboard.type(" ")
    expect(page.locator(".editor .cm-failed-line")).to_have_count(0)


def test_arguments_and_standard_input_reach_the_program(page: Page) -> None:
    page.get_by_text("Options").click()
    page.get_by_label("Arguments").fill("one 'two words' --three")
    page.get_by_label("Standard input, before what you type").fill("first line\n")
    run(page, "import sys\nprint(sys.argv[1:], input())")
    expect(output(page)).to_have_text(["['one', 'two words', '--three'] first line"])


def test_limits_are_sliders_up_to_those_of_the_runtime(page: Page) -> None:
    page.get_by_text("Options").click()
    slider = page.get_by_label("Time", exact=True)
    expect(slider).to_have_attribute("aria-valuetext", "6.0 s")
    slider.fill("40")
    run(page, "while True: pass")
    expect(badge(page)).to_have_text("timeout")
    expect(panel(page).locator(".notice")).to_contain_text("limits.wall_time")
    slider.fill("100")
    run(page, "print('in time')")
    expect(output(page)).to_have_text(["in time"])


def test_sliders_move_with_the_arrow_keys(page: Page) -> None:
    page.get_by_text("Options").click()
    slider = page.get_by_label("Processes", exact=True)
    slider.focus()
    for shown in ("14", "13", "14", "15"):
        page.keyboard.press(
            "ArrowLeft" if shown in {"14", "13"} and slider.get_attribute("aria-valuetext") != "13" else "ArrowRight"
        )
        expect(slider).to_have_attribute("aria-valuetext", shown)


def test_a_program_that_waits_for_a_connection_can_be_withdrawn(opened: Open, house: Server) -> None:
    with proxy(house.client.base_url.port or 0, is_silent=True) as base:
        page = opened(base=base)
        page.locator("main select").wait_for()
        run(page, "print('never')")
        page.get_by_role("button", name="Stop").click(timeout=3000)
        expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled(timeout=3000)
        expect(panel(page).get_by_role("alert")).to_have_count(0)


def test_a_program_that_prints_nothing_says_so(page: Page) -> None:
    run(page, "pass")
    expect(panel(page)).to_contain_text("The program printed nothing.")
    run(page, "print('something')")
    expect(output(page)).to_have_text(["something"])
    expect(panel(page)).not_to_contain_text("nothing")


def test_the_first_program_runs_in_every_version_and_shows_a_difference(page: Page) -> None:
    page.keyboard.press("Control+Enter")
    expect(badge(page)).to_have_text("ok")
    show(page, "Every version")
    page.get_by_role("button", name="Run in").click()
    cards = panel(page, "Every version").get_by_role("article")
    expect(cards.first).to_be_visible(timeout=20_000)
    expect(panel(page, "Every version")).to_contain_text("2 different results")
    expect(panel(page, "Every version")).not_to_contain_text("error")


def test_a_large_request_runs_as_a_stream_without_input(page: Page) -> None:
    run(page, f"x = '{'y' * 140_000}'\nimport time\ntime.sleep(0.6)\nprint(len(x))")
    expect(panel(page)).to_contain_text("cannot get input")
    expect(output(page)).to_have_text(["140000"])


@pytest.mark.parametrize("is_silent", [False, True], ids=["refused", "swallowed"])
def test_behind_a_proxy_without_websockets_a_program_runs_as_a_stream(
    opened: Open, house: Server, is_silent: bool
) -> None:
    with proxy(house.client.base_url.port or 0, is_silent=is_silent) as base:
        page = opened(base=base)
        page.locator("main select").wait_for()
        run(page, "print('still')")
        expect(output(page)).to_have_text(["still"], timeout=20_000)
        expect(badge(page)).to_have_text("ok")
        run(page, "print('again')")
        expect(output(page)).to_have_text(["again"], timeout=3000)  # the page does not wait for a WebSocket again


def test_the_program_ends_with_the_page(page: Page, house: Server) -> None:
    def in_progress() -> bool:
        return "\nsnekhouse_evals_in_progress 0.0" not in house.client.get("/metrics").text

    run(page, "import time; print('begun', flush=True); time.sleep(5.5)")
    expect(output(page)).to_have_text(["begun"])
    assert in_progress()
    page.goto("about:blank")
    until(lambda: not in_progress(), 3)


def test_with_a_key_a_program_runs_as_a_stream(page: Page) -> None:
    page.evaluate("sessionStorage.setItem('snekhouse-key', 'any')")
    page.reload()
    page.locator("main select").wait_for()
    expect(panel(page)).to_contain_text("Its input is in the options.")
    run(page, "import time; time.sleep(0.6); print('still')")
    expect(panel(page)).to_contain_text("cannot get input")
    expect(output(page)).to_have_text(["still"])
    run(page, "input()")
    expect(panel(page)).to_contain_text("Write the input into “Standard input” in the options.")


def test_the_program_is_there_again_after_a_reload(page: Page) -> None:
    write(page, "print('kept')")
    page.wait_for_timeout(500)  # the page stores a change after a pause
    page.reload()
    expect(page.get_by_role("textbox", name="Program", exact=True)).to_have_text("print('kept')")


def test_the_keys_that_run_work_without_the_focus_in_the_editor(page: Page) -> None:
    write(page, "print('by keys')")
    page.get_by_role("button", name="Save").focus()
    page.keyboard.press("Control+Enter")
    expect(output(page)).to_have_text(["by keys"])


def test_a_result_says_when_the_program_has_changed_since(page: Page) -> None:
    run(page, "print(1)")
    expect(badge(page)).to_have_text("ok")
    told = panel(page).get_by_text("of the program before its last change")
    expect(told).to_have_count(0)
    write(page, "print(2)")
    expect(told).to_be_visible()
