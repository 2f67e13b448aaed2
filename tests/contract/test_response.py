"""How a run is told: stdout, return codes and messages."""

import pytest

from contract.snekbox_client import SnekboxClient, upload

FLOOD = "import sys\nwhile True: sys.stdout.write('x' * 999)"


def test_the_fields_of_the_answer(snekbox: SnekboxClient) -> None:
    answer = snekbox.run("print('é')\nopen('x', 'wb').write('é'.encode())")
    expected = {"path": "x", "size": 2, "content": "w6k="}
    assert (answer["stdout"], answer["returncode"], answer["files"]) == ("é\n", 0, [expected])


def test_stdout_and_stderr_share_one_pipe_in_order(snekbox: SnekboxClient) -> None:
    code = (
        "import os, sys\nfor n in range(99): print(n, file=(sys.stdout, sys.stderr)[n % 2]); os.write(n % 2 + 1, b'|')"
    )
    assert snekbox.prints(code) == "".join(f"{n}\n|" for n in range(99))


@pytest.mark.parametrize(
    ("code", "returncode"),
    [
        ("", 0),
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('x')", 1),
        ("1/0", 1),
        ("syntax error", 1),
        ("import os; os._exit(255)", 255),
        ("raise SystemExit(-1)", 255),
        ("import os; os._exit(137)", 137),
        ("import os; os._exit(9)", 9),
    ],
)
def test_the_return_code_is_the_programs_own(snekbox: SnekboxClient, code: str, returncode: int) -> None:
    answer = snekbox.run(code)
    assert answer["returncode"] == returncode
    assert answer["status"] == ("error" if returncode else "ok")


def test_a_crash_is_139(snekbox: SnekboxClient) -> None:
    answer = snekbox.run("import ctypes; print(1); ctypes.string_at(0)")
    assert (answer["returncode"], answer["signal"], answer["stdout"]) == (139, "SIGSEGV", "1\n")


def test_an_overflow_of_shared_memory_is_135(snekbox: SnekboxClient) -> None:
    code = (
        "import mmap, os\nfile = os.open('/dev/shm/x', os.O_RDWR | os.O_CREAT)\nos.ftruncate(file, 60 << 20)\n"
        "shared = mmap.mmap(file, 60 << 20)\nfor at in range(0, 60 << 20, 4096): shared[at] = 1"
    )
    answer = snekbox.run(code)
    assert (answer["returncode"], answer["signal"]) == (135, "SIGBUS")


def test_the_program_is_process_1_of_its_namespace(snekbox: SnekboxClient) -> None:
    assert snekbox.prints("import os; print(os.getpid())") == "1\n"
    assert snekbox.run("import os; os.abort()")["returncode"] == 139
    assert snekbox.prints("import os, signal; os.kill(1, signal.SIGTERM); print('alive')") == "alive\n"


def test_the_time_limit_is_6_seconds_and_137(snekbox: SnekboxClient) -> None:
    answer = snekbox.run("open('x', 'w').write('1')\nprint('before', flush=True)\nwhile True: pass")
    assert (answer["returncode"], answer["status"]) == (137, "timeout")
    assert (answer["stdout"], [file["path"] for file in answer["files"]]) == ("before\n", ["x"])
    assert 6 <= answer["usage"]["wall_time"] < 6.5


def test_the_memory_limit_is_70_mib_and_137(snekbox: SnekboxClient) -> None:
    code = "open('x', 'w').write('1')\nprint('before', flush=True)\nx = b'x' * ({} << 20); print('after')"
    assert snekbox.prints(code.format(50)) == "before\nafter\n"
    answer = snekbox.run(code.format(80))
    assert (answer["returncode"], answer["status"]) == (137, "out_of_memory")
    assert (answer["stdout"], [file["path"] for file in answer["files"]]) == ("before\n", ["x"])
    assert answer["limits"]["memory"] == 70 << 20


def test_the_address_space_is_700_mib(snekbox: SnekboxClient) -> None:
    code = "import mmap\ntry: mmap.mmap(-1, {} << 20); print('mapped')\nexcept OSError as error: print(error.errno)"
    assert snekbox.prints(code.format(600)) == "mapped\n"
    assert snekbox.prints(code.format(700)) == "12\n"


def test_processes_are_limited_to_15(snekbox: SnekboxClient) -> None:
    code = "import os, time\ntry:\n for n in range(99):\n  os.fork() or time.sleep(9)\nexcept OSError: print(n + 1)"
    assert snekbox.prints(code) == "15\n"


def test_a_flood_of_output_is_143_and_exactly_a_million_characters(snekbox: SnekboxClient) -> None:
    answer = snekbox.run("open('x', 'w').close()\n" + FLOOD)
    assert (answer["returncode"], answer["status"]) == (143, "output_limit")
    assert answer["stdout"] == "x" * 1_000_000
    assert [file["path"] for file in answer["files"]] == ["x"]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("import os; open('x', 'w'); os.write(1, b'1\\xff')", "UnicodeDecodeError: invalid Unicode in output pipe"),
        ("print('\0')", "ValueError: embedded null byte"),
        (
            "import os\nfor _ in range(101): os.mkdir('d'); os.chdir('d')\nopen('x', 'w')",
            "FileParsingError: Exceeded directory depth limit while parsing attachments",
        ),
        ("open(b'\\xff', 'w')", "FileParsingError: invalid bytes in filename while parsing attachments"),
    ],
)
def test_without_a_return_code_stdout_is_the_reason(snekbox: SnekboxClient, code: str, text: str) -> None:
    answer = snekbox.run(code)
    assert (answer["returncode"], answer["files"], answer["stdout"]) == (None, [], text)
    assert answer["message"]


def test_output_that_is_not_utf8_can_be_had_as_base64(snekbox: SnekboxClient) -> None:
    code = r"import os; os.write(1, b'1\xff')"
    assert "the encoding base64 returns the bytes" in snekbox.run(code)["message"]
    assert snekbox.run(code, encoding="base64")["stdout"] == "Mf8="


@pytest.mark.parametrize(
    ("paths", "text"),
    [
        (["dir/x", "dir"], "IsADirectoryError: Failed to create file 'dir'."),
        (["dir/x", "./dir/"], "IsADirectoryError: Failed to create file './dir/'."),
        (["a", "a/b"], "FileExistsError: Failed to create file 'a/b'."),
        (["a", "a/b/c"], "NotADirectoryError: Failed to create file 'a/b/c'."),
        (["a" * 256], f"OSError: Failed to create file '{'a' * 256}'."),
    ],
)
def test_a_file_that_cannot_be_made_is_the_reason(snekbox: SnekboxClient, paths: list[str], text: str) -> None:
    answer = snekbox.run("print(1)", files=[upload(path) for path in paths])
    assert (answer["returncode"], answer["files"], answer["stdout"]) == (None, [], text)
    assert answer["status"] == "file_error"


@pytest.mark.own_server
def test_collecting_for_too_long_is_the_reason(impatient: SnekboxClient) -> None:
    answer = impatient.run("for n in range(9999): open(str(n), 'w').close()")
    assert (answer["returncode"], answer["files"]) == (None, [])
    assert answer["stdout"] == "TimeoutError: Exceeded time limit while parsing attachments"
