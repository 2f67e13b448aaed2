"""The judge: cases by hand and from a folder, verdicts, and why a case failed."""

from pathlib import Path

from playwright.sync_api import Page, expect

from page.doing import badge, panel, show, write


def add(page: Page, number: int, stdin: str, expected: str) -> None:
    page.get_by_role("button", name="Add case", exact=True).click()
    page.get_by_label(f"Input of case {number}", exact=True).fill(stdin)
    page.get_by_label(f"Expected output of case {number}", exact=True).fill(expected)


def test_cases_get_their_verdicts_and_the_difference(page: Page) -> None:
    show(page, "Judge")
    write(page, "print(int(input()) * 2)")
    for number, (stdin, expected) in enumerate([("1", "2"), ("2", "5"), ("x", "1")], 1):
        add(page, number, stdin, expected)
    page.get_by_role("button", name="Judge 3 cases").click()
    expect(badge(page, "Cases")).to_have_text("wrong answer")
    expect(panel(page, "Cases")).to_contain_text("1 of 3 passed")
    cases = page.locator(".case")
    expect(cases.locator("header .badge")).to_have_text(["accepted", "wrong answer", "runtime error"])
    expect(cases.nth(1).locator(".why code")).to_have_text(["5", "4"])
    expect(cases.nth(2)).to_contain_text("ValueError")


def test_a_folder_of_pairs_becomes_cases(page: Page, tmp_path: Path) -> None:
    for number in (1, 2, 10):
        (tmp_path / f"{number}.in").write_text(f"{number}\n")
        (tmp_path / f"{number}.out").write_text(f"{number * 2}\n")
    (tmp_path / "lonely.in").write_text("1")
    show(page, "Judge")
    write(page, "print(int(input()) * 2)")
    page.locator("section[aria-label=Cases] input[type=file]").set_input_files(tmp_path)
    expect(page.locator(".case h3")).to_have_text(["1", "2", "10"])
    page.get_by_role("button", name="Judge 3 cases").click()
    expect(badge(page, "Cases")).to_have_text("accepted")


def test_pairs_can_be_dropped_on_the_page(page: Page) -> None:
    show(page, "Judge")
    page.evaluate("""() => {
      const transfer = new DataTransfer();
      for (const [name, text] of [["a.in", "x"], ["a.out", "y"]]) transfer.items.add(new File([text], name));
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
    }""")
    expect(page.get_by_label("Input of case 1", exact=True)).to_have_value("x")
    expect(page.get_by_label("Expected output of case 1", exact=True)).to_have_value("y")


def test_verdicts_come_one_by_one(page: Page) -> None:
    show(page, "Judge")
    write(page, "import time\ntime.sleep(float(input()))")
    for number in range(1, 4):
        add(page, number, str(0.1 if number == 1 else 2), "")
    page.get_by_role("button", name="Judge 3 cases").click()
    expect(page.locator(".case").first.locator("header .badge")).to_have_text("accepted")
    assert page.get_by_role("button", name="Stop").is_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Judge 3 cases")).to_be_enabled()
    expect(page.locator(".case").nth(1).locator("header .badge")).to_have_count(0)


def test_an_edited_case_has_no_verdict_and_others_keep_theirs(page: Page) -> None:
    show(page, "Judge")
    write(page, "print(input())")
    for number in (1, 2, 3):
        add(page, number, str(number), "2")
    page.get_by_role("button", name="Judge 3 cases").click()
    verdicts = page.locator(".case header .badge")
    expect(verdicts).to_have_text(["wrong answer", "accepted", "wrong answer"])
    page.get_by_label("Expected output of case 3", exact=True).fill("3")
    page.get_by_role("button", name="Remove case 1").click()
    expect(verdicts).to_have_text(["accepted"])
    expect(page.locator(".case").first.locator("header .badge")).to_have_text("accepted")


def test_without_cases_the_page_says_what_to_add(page: Page) -> None:
    show(page, "Judge")
    page.get_by_role("button", name="Judge 0 cases").click()
    expect(page.get_by_role("alert")).to_contain_text("Add a case first")


def test_verdicts_say_when_something_has_changed_since(page: Page) -> None:
    show(page, "Judge")
    write(page, "print(int(input()) * 2)")
    add(page, 1, "1", "2")
    page.get_by_role("button", name="Judge 1 case").click()
    expect(badge(page, "Cases")).to_have_text("accepted")
    note = panel(page, "Cases").get_by_text("before the last change")
    expect(note).to_have_count(0)
    write(page, "print(0)")
    expect(note).to_be_visible()


def test_cases_that_are_removed_while_they_are_judged_get_no_verdict(page: Page) -> None:
    show(page, "Judge")
    write(page, "import time\ntime.sleep(float(input()))")
    for number, pause in enumerate(["0.1", "3", "3"], 1):
        add(page, number, pause, "")
    page.get_by_role("button", name="Judge 3 cases").click()
    expect(page.locator(".case").first.locator("header .badge")).to_have_text("accepted")
    page.get_by_role("button", name="Remove all").click()
    expect(badge(page, "Cases")).to_have_text("stopped")
    expect(panel(page, "Cases")).not_to_contain_text("passed")


def test_a_folder_of_large_cases_is_refused_with_the_limit(page: Page, tmp_path: Path) -> None:
    (tmp_path / "1.in").write_text("x" * (5 << 20))
    (tmp_path / "1.out").write_text("y")
    show(page, "Judge")
    page.locator("section[aria-label=Cases] input[type=file]").set_input_files(tmp_path)
    expect(panel(page, "Cases")).to_contain_text("at most 500 cases, and 4.0 MiB at once")
    expect(page.locator(".case")).to_have_count(0)
