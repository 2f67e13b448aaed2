"""Long strings of a JSON text: kept as they arrived, and decoded piece by piece.

A piece is decoded in well under a millisecond, and freed before the next one. So a string of 64 MiB neither stops
the server for as long as it takes, nor is it held twice; nor does one wide character make all of it four times as
large, as it would in a `str`.
"""

import binascii
import codecs
import json
import re
from collections.abc import Callable, Iterator
from io import BytesIO

_SPACE = b" \t\r\n\v\f"
"""What base64 may have between its characters: MIME breaks it into lines (RFC 2045, 6.8)."""

_PAIR = rb"\\u[Dd][89ABab][0-9A-Fa-f]{2}\\u[Dd][C-Fc-f][0-9A-Fa-f]{2}"
_SINGLE = rb"\\u(?![Dd][89A-Fa-f])[0-9A-Fa-f]{4}"
_WHOLE = re.compile(rb"(?:[^\\]++|" + _PAIR + rb"|" + _SINGLE + rb"|\\[^u])*+", re.DOTALL)
"""Characters and escapes as far as they are whole; a surrogate only with its other half (RFC 8259, 7)."""

_LONGEST_ESCAPE = 12

_PIECE = 1 << 18
"""Bytes of a piece: enough for memory of its own, which goes back to the system when it is freed (mallopt(3))."""


class LongString:
    """A string of a JSON text, in pieces as they arrived, without its quotes.

    Attributes:
        size: Bytes of the pieces that are held.
    """

    __slots__ = ("_pieces", "_recent", "_recent_size", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._recent: list[bytes] = []
        self._recent_size = 0
        self.size = 0

    def append(self, text: bytes) -> None:
        """Add what has arrived."""
        self._recent.append(text)
        self._recent_size += len(text)
        self.size += len(text)
        if self._recent_size >= _PIECE:
            self._join_recent()

    def raw(self) -> bytes:
        """Return all of it as it arrived."""
        return b"".join((*self._pieces, *self._recent))

    def utf8(self) -> bytes:
        """Decode it, and let go of it.

        Raises:
            ValueError: It is not a JSON string, or has half of a surrogate pair.
        """
        return self._collect(lambda text: text)

    def base64(self) -> bytes:
        """Decode it, and what it says in base64; let go of it.

        Raises:
            ValueError: It is not a JSON string, or not base64.
        """
        decoder = _Base64()
        content = self._collect(decoder.feed)
        decoder.finish()
        return content

    def _collect(self, decode: Callable[[bytes], bytes]) -> bytes:
        content = BytesIO()  # one buffer that grows, and is then the result without a copy
        for text in self._decoded():
            content.write(decode(text))
        return content.getvalue()

    def _decoded(self) -> Iterator[bytes]:
        """Yield its UTF-8, escapes replaced."""
        check = codecs.getincrementaldecoder("utf-8")()
        rest = b""
        self._join_recent()
        self._pieces.reverse()
        while self._pieces:
            piece = self._pieces.pop()
            self.size -= len(piece)
            check.decode(piece)
            if rest or b"\\" in piece:
                piece = rest + piece
                end = _end_of_whole(piece)
                rest, piece = piece[end:], _unescape(piece[:end])
            yield piece
        check.decode(b"", final=True)
        if rest:
            raise ValueError("ends within an escape, or has half of a surrogate pair")

    def _join_recent(self) -> None:
        self._pieces.append(b"".join(self._recent))
        self._recent = []
        self._recent_size = 0


def decode_base64(text: str) -> bytes:
    """Decode base64, which may be broken into lines.

    Raises:
        ValueError: It is not base64.
    """
    if not text.isascii():
        raise ValueError("is not base64: only ASCII is")
    decoder = _Base64()
    content = decoder.feed(text.encode())
    decoder.finish()
    return content


def _end_of_whole(piece: bytes) -> int:
    found = _WHOLE.match(piece)
    end = found.end() if found else 0
    if len(piece) - end >= _LONGEST_ESCAPE:
        raise ValueError("has an unknown escape, or half of a surrogate pair")
    return end


def _unescape(piece: bytes) -> bytes:
    # Quotes and backslashes are escaped in what the outline takes for a string, so this is one string again. Of UTF-8
    # characters that are cut at either end, each byte passes as it is.
    text = piece.decode("utf-8", "surrogateescape")
    return str(json.loads(f'"{text}"')).encode("utf-8", "surrogateescape")


class _Base64:
    """A decoder of base64 that comes in pieces."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_over = False

    def feed(self, piece: bytes) -> bytes:
        text = self._rest + piece.translate(None, _SPACE)
        end = len(text) - len(text) % 4
        self._rest = text[end:]
        return self._decode(text[:end])

    def finish(self) -> None:
        self._decode(self._rest)

    def _decode(self, text: bytes) -> bytes:
        if not text:
            return b""
        if self._is_over or 0 <= text.find(b"=") < len(text) - _MOST_PADDING:
            raise ValueError("is not base64: data after the padding")
        try:
            content = binascii.a2b_base64(text, strict_mode=True)
        except ValueError as error:
            raise ValueError(f"is not base64: {error}") from None
        self._is_over = text.endswith(b"=")
        return content


_MOST_PADDING = 2
