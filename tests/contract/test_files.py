"""Which files come back."""

import pytest

from contract.snekbox_client import SnekboxClient, upload


def test_files_come_back_sorted_by_path(snekbox: SnekboxClient) -> None:
    code = "import os\nos.mkdir('b')\nfor p in ('c', 'a', 'b/x', 'b-', 'B', 'é'.encode()): open(p, 'w').close()"
    assert list(snekbox.leaves(code)) == ["B", "a", "b-", "b/x", "c", "é"]


def test_without_files_the_list_is_empty(snekbox: SnekboxClient) -> None:
    assert snekbox.run("import os; os.mkdir('folder')")["files"] == []


def test_hidden_names_and_names_with_an_underscore_stay(snekbox: SnekboxClient) -> None:
    code = (
        "import os\nfor d in ('.h', '_d', 'd', 'd/.h'): os.mkdir(d)\n"
        "for p in ('.x', '_x', 'x', '.h/x', '_d/x', '_d/_x', 'd/.x', 'd/_x', 'd/.h/x', 'x_', 'x.y'): open(p, 'w')"
    )
    assert list(snekbox.leaves(code)) == ["_d/x", "x", "x.y", "x_"]


def test_empty_files_count_and_what_is_no_file_does_not(snekbox: SnekboxClient) -> None:
    code = (
        "import os, socket\nopen('empty', 'w').close(); os.mkfifo('pipe'); os.mkdir('folder')\n"
        "socket.socket(socket.AF_UNIX).bind('socket'); os.symlink('pipe', 'link'); os.symlink('/dev/zero', 'zero')"
    )
    assert snekbox.leaves(code) == {"empty": b""}


def test_binary_content_comes_back_as_it_is(snekbox: SnekboxClient) -> None:
    code = "open('x', 'wb').write(bytes(range(256)) * 5000)"
    assert snekbox.leaves(code) == {"x": bytes(range(256)) * 5000}


def test_an_input_comes_back_only_when_it_was_modified(snekbox: SnekboxClient) -> None:
    files = [upload(name, name) for name in ("kept", "read", "changed", "touched", "gone")]
    code = "import os\nopen('read').read(); open('changed', 'a').write('!'); os.utime('touched'); os.remove('gone')"
    assert snekbox.leaves(code, files=files) == {"changed": b"changed!", "touched": b"touched"}


@pytest.mark.parametrize(
    ("code", "left"),
    [
        ("os.rename('a', 'c')", {"c": b"1"}),
        ("os.rename('a', 'b')", {"b": b"1"}),
        ("os.rename('a', 't'); os.rename('b', 'a'); os.rename('t', 'b')", {"a": b"2", "b": b"1"}),
        ("os.link('a', 'hard')", {"hard": b"1"}),
        ("os.symlink('a', 'soft')", {"soft": b"1"}),
        ("os.remove('a'); open('a', 'w').write('1')", {"a": b"1"}),
        ("os.remove('a'); os.symlink('b', 'a')", {"a": b"2"}),
        ("os.rename('d', 'e')", {"e/x": b"3"}),
        ("import shutil; shutil.copy2('a', 'copy')", {"copy": b"1"}),
    ],
)
def test_an_input_under_another_name_comes_back(snekbox: SnekboxClient, code: str, left: dict[str, bytes]) -> None:
    files = [upload("a", "1"), upload("b", "2"), upload("d/x", "3")]
    assert snekbox.leaves(f"import os; {code}", files=files) == left


def test_at_most_100_files_come_back(snekbox: SnekboxClient) -> None:
    code = "for n in range({}): open('%03d' % n, 'w').close()"
    assert list(snekbox.leaves(code.format(100))) == [f"{n:03}" for n in range(100)]
    assert list(snekbox.leaves(code.format(150))) == [f"{n:03}" for n in range(100)]


def test_all_files_together_are_at_most_as_large_as_the_home(snekbox: SnekboxClient) -> None:
    assert list(snekbox.leaves("open('x', 'wb').write(b'1'); open('y', 'w').truncate(1 << 50)")) == ["x"]
    code = "import os\nopen('x', 'wb').truncate(30 << 20)\nfor n in 'abc': os.symlink('x', n)"
    assert {name: len(content) for name, content in snekbox.leaves(code).items()} == {"a": 30 << 20}
    assert list(snekbox.leaves("open('x', 'wb').truncate(48 << 20)")) == ["x"]


@pytest.mark.parametrize("target", ["d/real", "./d/../d/real", "/home/d/real", "../home/d/real", "e/real", "first"])
def test_a_link_to_a_file_in_the_home_comes_back_as_that_file(snekbox: SnekboxClient, target: str) -> None:
    code = (
        f"import os\nos.mkdir('d'); open('d/real', 'w').write('1')\nos.symlink('d', 'e'); os.symlink({target!r}, 'l')"
    )
    assert snekbox.leaves(code + "; os.symlink('d/real', 'first')")["l"] == b"1"


def test_a_link_to_a_folder_is_not_entered(snekbox: SnekboxClient) -> None:
    code = "import os\nos.mkdir('d'); open('d/x', 'w').close(); os.symlink('d', 'e'); os.symlink('/', 'root')"
    assert list(snekbox.leaves(code)) == ["d/x"]


def test_a_file_that_nobody_may_read_comes_back_all_the_same(snekbox: SnekboxClient) -> None:
    code = "import os\nos.mkdir('d'); open('d/x', 'w').write('1'); os.chmod('d/x', 0); os.chmod('d', 0)"
    assert snekbox.leaves(code) == {"d/x": b"1"}


def test_the_message_says_that_files_are_left_out(snekbox: SnekboxClient) -> None:
    answer = snekbox.run("for n in range(101): open(f'{n:03}', 'w').close()")
    assert len(answer["files"]) == 100
    assert (answer["status"], answer["message"]) == ("ok", "at most 100 files are returned (files.limit)")
    answer = snekbox.run("for n in range(100): open(f'{n:03}', 'w').close()\nopen('_x', 'w'); import os; os.mkdir('y')")
    assert (len(answer["files"]), answer["message"]) == (100, "")


def test_the_message_says_that_files_do_not_fit(snekbox: SnekboxClient) -> None:
    answer = snekbox.run("open('a', 'wb').write(b'x' * 1000); open('b', 'wb').truncate(1 << 40)")
    assert [file["path"] for file in answer["files"]] == ["a"]
    assert answer["message"].startswith("1 file is left out, because all files together may have at most ")
