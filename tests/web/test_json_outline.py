"""Large bodies are taken apart as they arrive: nothing of what they say is lost, and little is held twice."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snekhouse.web.json_outline import Outline, OutlineError
from snekhouse.web.long_string import LongString

CUTS = st.lists(st.integers(1, 400), min_size=1, max_size=5)


def pieces(text: bytes, sizes: list[int]) -> list[bytes]:
    """Cut a text into pieces of these sizes, in turns."""
    cut, place, turn = [], 0, 0
    while place < len(text):
        cut.append(text[place : place + sizes[turn % len(sizes)]])
        place += len(cut[-1])
        turn += 1
    return cut


def outlined(text: bytes, sizes: list[int]) -> Any:
    """Take a text apart, and put the value that it has together again."""
    outline = Outline()
    for piece in pieces(text, sizes):
        outline.feed(piece)

    def whole(value: Any) -> Any:
        match value:
            case str():
                return outline.strings[value].utf8().decode() if value in outline.strings else value
            case list():
                return [whole(each) for each in value]
            case dict():
                return {whole(key): whole(each) for key, each in value.items()}
            case _:
                return value

    return whole(json.loads(outline.finish()))


def long_string(text: bytes, sizes: list[int]) -> LongString:
    string = LongString()
    for piece in pieces(text, sizes):
        string.append(piece)
    return string


TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.builds(
    lambda text, count: text * count, st.text(st.sampled_from('a"\\/\n\t\x00é中😀'), min_size=1), st.integers(50, 200)
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)
)


@given(VALUES, CUTS, st.booleans())
def test_whatever_a_text_says_and_however_it_is_cut_it_says_the_same(
    value: Any, sizes: list[int], ascii_only: bool
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert outlined(text, sizes) == value


@given(st.binary(max_size=3000), CUTS, st.integers(1, 100))
def test_base64_is_decoded_however_it_is_cut(content: bytes, sizes: list[int], width: int) -> None:
    text = base64.b64encode(content)
    assert long_string(text, sizes).base64() == content
    lines = rb"\r\n".join(pieces(text, [width]))
    assert long_string(lines.replace(b"/", rb"\/"), sizes).base64() == content


@pytest.mark.parametrize(
    "text", [b"=", b"ab=c", b"abcd====", b"ab==cdef", b"abc", b"ab\xc3\xa9=", b"abc*", rb"\u0000abc"]
)
@pytest.mark.parametrize("size", [1, 3, 400])
def test_what_is_not_base64_is_refused(text: bytes, size: int) -> None:
    with pytest.raises(ValueError, match="base64"):
        long_string(b"abcd" * 100 + text, [size]).base64()


@pytest.mark.parametrize(
    "end",
    [
        b"\\ud800",
        b"\\ud83d\\u0041",
        b"\\udc80",
        b"\\udc00\\ud800",
        b"\\ud83dx",
        b"\\u12",
        b"\\",
        b"\\q",
        b"\\u12g4" + b"x" * 20,
    ],
)
@pytest.mark.parametrize("size", [1, 7, 400])
def test_half_surrogates_and_unknown_escapes_are_refused(end: bytes, size: int) -> None:
    with pytest.raises(ValueError, match=r"surrogate|escape"):
        long_string(b"x" * 300 + end, [size]).utf8()


@pytest.mark.parametrize("size", [1, 400])
def test_what_is_not_utf8_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="utf-8"):
        long_string(b"x" * 300 + b"\xff", [size]).utf8()
    with pytest.raises(ValueError, match="utf-8"):
        long_string(b"x" * 300 + b"\xf0\x9f\x98", [size]).utf8()


@pytest.mark.parametrize("control", [b"\n", b"\0", b"\x1f"])
def test_a_control_character_in_a_long_string_is_refused(control: bytes) -> None:
    with pytest.raises(OutlineError, match="control character"):
        outlined(b'{"input": "' + b"x" * 600 + control + b'"}', [100])


def test_a_string_without_an_end_is_refused() -> None:
    with pytest.raises(OutlineError, match="EOF while parsing a string"):
        outlined(b'{"input": "' + b"x" * 600, [100])


@pytest.mark.parametrize(
    "bulk",
    [
        b"0," * 300_000,
        b"[" * 300_000,
        b'{"a":' * 300_000,
        b" " * (5 << 20),
        b"9" * (5 << 20),
        b'"",' * 300_000,
        b'"' * (5 << 20),
    ],
)
def test_bulk_besides_long_strings_is_refused(bulk: bytes) -> None:
    with pytest.raises(OutlineError, match="the body has more than"):
        outlined(b'{"ignored": [' + bulk, [1 << 16])


def test_nobody_can_send_what_looks_like_a_string_taken_out() -> None:
    first, second = Outline(), Outline()
    for outline in (first, second):
        outline.feed(b'["' + b"x" * 300 + b'"]')
    assert first.strings.keys().isdisjoint(second.strings)
