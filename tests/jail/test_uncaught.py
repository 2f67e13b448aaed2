"""The exception that ended a program is found in what it printed, whatever that is."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snekhouse.evaluation import ProgramError
from snekhouse.jail.uncaught import uncaught

TRACEBACK = b"""Traceback (most recent call last):
  File "<string>", line 4, in <module>
    f()
  File "<string>", line 2, in f
    json.loads("x")
  File "/usr/lib/python3.12/json/decoder.py", line 355, in raw_decode
    raise JSONDecodeError("Expecting value", s, err.value) from None
json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)
"""
FOUND = ProgramError("JSONDecodeError", "Expecting value: line 1 column 1 (char 0)", 2)
THREAD = (
    b'Exception in thread Thread-1:\nTraceback (most recent call last):\n  File "/x.py", line 1, in f\nTypeError: t\n'
)
IGNORED = b"Exception ignored in: <x>\nTraceback (most recent call last):\nTypeError: t\n"
GROUP = (
    b'  + Exception Group Traceback (most recent call last):\n  |   File "/home/a.py", line 5, in <module>\n  |     raise g\n'
    b"  | ExceptionGroup: two (2 sub-exceptions)\n  +-+---------------- 1 ----------------\n    | ValueError: x\n"
    b"    +---------------- 2 ----------------\n    | Traceback (most recent call last):\n    | TypeError: y\n"
    b"    +------------------------------------\n"
)
CHAIN = b"\nDuring handling of the above exception, another exception occurred:\n\n"


@pytest.mark.parametrize(
    "printed",
    [
        TRACEBACK,
        b"printed before\n" + TRACEBACK,
        b"an end without a line" * 9000 + b"\n" + TRACEBACK,
        TRACEBACK.replace(b"line 1 column", b"line 9 column") + CHAIN + TRACEBACK,
        THREAD + TRACEBACK,
        TRACEBACK + THREAD + THREAD,
        TRACEBACK + IGNORED,
        TRACEBACK.replace(b"json.decoder.JSONDecodeError", b"\x1b[1;35mjson.decoder.JSONDecodeError\x1b[0m"),
        b"\xff\xfe not UTF-8\n" + TRACEBACK,
    ],
)
def test_the_last_traceback_tells(printed: bytes) -> None:
    assert uncaught(printed) == FOUND


@pytest.mark.parametrize(
    ("printed", "error"),
    [
        (b"Traceback (most recent call last):\nE\n", ProgramError("E", "", None)),
        (b"Traceback (most recent call last):\nE: a\nb\n", ProgramError("E", "a\nb", None)),
        (b"Traceback (most recent call last):\nf.<locals>.E: x: y\n", ProgramError("E", "x: y", None)),
        (b'  File "<string>", line 3\n    1 +\n       ^\nSyntaxError: bad\n', ProgramError("SyntaxError", "bad", 3)),
        (GROUP, ProgramError("ExceptionGroup", "two (2 sub-exceptions)", 5)),
    ],
)
def test_every_form_is_understood(printed: bytes, error: ProgramError) -> None:
    assert uncaught(printed) == error


@pytest.mark.parametrize(
    "printed",
    [
        b"",
        b"no traceback\n",
        b"Traceback (most recent call last):\n",
        b'Traceback (most recent call last):\n  File "<string>", line 1, in <module>\n',
        THREAD,
        b'never at the start of a line:   File "<string>", line 3\n    1 +\nSyntaxError: bad\n',
        TRACEBACK + b"\nRan 1 test in 0.001s\n\nFAILED (errors=1)\n",
        b"Traceback (most recent call last):\nnot the name of a class: x\n",
        TRACEBACK + b"x" * (1 << 18),
    ],
)
def test_where_no_traceback_comes_last_nothing_is_told(printed: bytes) -> None:
    assert uncaught(printed) is None


@pytest.mark.parametrize("file", ["/usr/lib/python3.12/timeit.py", "<frozen importlib._bootstrap>", "/homes/x.py"])
def test_a_line_of_a_library_is_not_one_of_the_program(file: str) -> None:
    error = uncaught(f'Traceback (most recent call last):\n  File "{file}", line 7, in <module>\nE: x\n'.encode())
    assert error == ProgramError("E", "x", None)


def test_texts_are_bounded() -> None:
    error = uncaught(b"Traceback (most recent call last):\n" + b"E" * 9999 + b": " + b"x" * 9999)
    assert error == ProgramError("E" * 496 + " ...", "x" * 496 + " ...", None)


_PIECES = st.sampled_from(
    [TRACEBACK, THREAD, CHAIN, b"  + Exception Group ", b"  | ", b"  +-+-", b"\n", b": ", b'  File "', b"\xff"]
)


@given(st.lists(_PIECES | st.binary(max_size=9), max_size=30).map(b"".join))
@settings(deadline=None)
def test_whatever_is_printed_it_is_bounded(printed: bytes) -> None:
    error = uncaught(printed)
    assert error is None or (0 < len(error.name) <= 500 and len(error.value) <= 500)


@pytest.mark.parametrize(
    "piece",
    [
        b"Traceback (most recent call last):\n", THREAD, b"\n", b'  File "x", line 1\n', b'  File "x", line 1\n    x\n',
        b'"", line 1, in ', b"  + Exception Group ", b"    \n", b"\x1b[1m", b" ",
    ],
)  # fmt: skip
def test_no_output_takes_long(piece: bytes) -> None:
    begin = time.thread_time()
    uncaught(b"Traceback (most recent call last):\n" + piece * (1_000_000 // len(piece)))
    uncaught(piece * (1_000_000 // len(piece)) + b"\nTraceback (most recent call last):\nE\n")
    assert time.thread_time() - begin < 0.1
