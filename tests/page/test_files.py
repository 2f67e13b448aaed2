"""Files of the program: given, dropped, returned, shown and saved."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from page.doing import badge, output, panel, run, write

PICTURES = r"""import base64, json
open("t.csv", "w", newline="").write('name,said\r\nAda,"one, two"\r\nBob,"three"\r\n')
open("notes.txt", "w").write("plain <b>text</b>")
open("p.svg", "w").write('<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><rect width="40" height="20" fill="green"/><script>document.title = "run"</script></svg>')
open("p.png", "wb").write(base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="))
open("raw.bin", "wb").write(bytes(range(256)))
"""


def test_given_files_are_in_the_home(page: Page, tmp_path: Path) -> None:
    (tmp_path / "numbers.txt").write_text("1\n2\n3\n")
    page.locator("input[type=file]").first.set_input_files(tmp_path / "numbers.txt")
    expect(page.get_by_label("Input files")).to_contain_text("numbers.txt")
    run(page, "print(sum(map(int, open('numbers.txt'))))")
    expect(output(page)).to_have_text(["6"])
    page.get_by_role("button", name="Remove numbers.txt").click()
    run(page, "import os; print(os.path.exists('numbers.txt'))")
    expect(output(page)).to_have_text(["False"])


def test_files_can_be_dropped_anywhere_on_the_page(page: Page) -> None:
    drop = """() => {
      const transfer = new DataTransfer();
      transfer.items.add(new File(["dropped"], "d.txt"));
      document.querySelector(".editor .cm-content").dispatchEvent(
        new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
    }"""
    page.evaluate(drop)
    run(page, "print(open('d.txt').read())")
    expect(output(page)).to_have_text(["dropped"])


def test_returned_files_are_shown_by_their_kind(page: Page) -> None:
    run(page, PICTURES)
    files = panel(page).locator(".output-files")
    expect(files.get_by_role("heading")).to_have_text("5 files")
    expect(files.get_by_role("img", name="p.png")).to_have_js_property("naturalWidth", 1)
    drawing = files.frame_locator('iframe[title="p.svg"]').locator("img")
    expect(drawing).to_have_js_property("naturalWidth", 40)
    files.get_by_role("button", name="t.csv", exact=True).click()
    expect(files.get_by_role("columnheader")).to_have_text(["name", "said"])
    expect(files.get_by_role("cell")).to_have_text(["Ada", "one, two", "Bob", "three"])
    files.get_by_role("button", name="notes.txt", exact=True).click()
    expect(files.locator(".text")).to_have_text("plain <b>text</b>")
    files.get_by_role("button", name="raw.bin", exact=True).click()
    expect(files).to_contain_text("This file is not text.")
    assert page.title() == "snekhouse"  # the script of the picture did not run


def test_a_returned_file_can_be_saved(page: Page, tmp_path: Path) -> None:
    run(page, PICTURES)
    with page.expect_download() as saving:
        page.get_by_role("button", name="Download raw.bin").click()
    saving.value.save_as(tmp_path / "raw.bin")
    assert saving.value.suggested_filename == "raw.bin"
    assert (tmp_path / "raw.bin").read_bytes() == bytes(range(256))


def test_files_that_are_too_large_are_refused_with_the_limit(page: Page, tmp_path: Path) -> None:
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(41 << 20)
    page.locator("input[type=file]").first.set_input_files(tmp_path / "large.bin")
    expect(page.get_by_role("alert")).to_contain_text(re.compile(r"too large.*40 MiB"))
    run(page, "print('goes on')")
    expect(badge(page)).to_have_text("ok")


def test_a_program_is_opened_from_a_file_and_saved_as_one(page: Page, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("print('from a file')\n")
    write(page, "print('my own')")
    page.get_by_label("Open a program from a file").set_input_files(tmp_path / "mine.py")
    page.locator("button.run").click()
    expect(output(page)).to_have_text(["from a file"])
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save").click()
    assert saved.value.suggested_filename == "program.py"
    assert Path(saved.value.path()).read_text() == "print('from a file')\n"
    page.get_by_role("button", name="Back to your program").click()
    expect(page.get_by_role("textbox", name="Program", exact=True)).to_have_text("print('my own')")


def test_what_cannot_be_opened_is_told(page: Page, tmp_path: Path) -> None:
    (tmp_path / "raw.py").write_bytes(b"\xff\xfe")
    (tmp_path / "big.py").write_bytes(b"#" * ((1 << 20) + 1))
    opener = page.get_by_label("Open a program from a file")
    opener.set_input_files(tmp_path / "raw.py")
    expect(page.get_by_text("raw.py cannot be opened: it is not a text in UTF-8.")).to_be_visible()
    opener.set_input_files(tmp_path / "big.py")
    expect(page.get_by_text("big.py cannot be opened: it has more than 1.0 MiB.")).to_be_visible()


def test_files_that_the_server_leaves_out_are_told(page: Page) -> None:
    run(page, "for n in range(101): open(f'{n:03}', 'w').close()")
    expect(panel(page).get_by_text("at most 100 files are returned (files.limit)")).to_be_visible()
