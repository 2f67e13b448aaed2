"""Long strings of a JSON text, kept as they arrived and decoded piece by piece.

Decoding a piece takes well under a millisecond, and frees it before the next one. So a string of 64 MiB does not block
the server and is not held twice. One wide character does not make it four times as large, as it would in a `str`.
"""

import binascii
import codecs
import json
import re
from collections.abc import Callable, Iterator
from io import BytesIO

_SPACE = b" \t\r\n\v\f"
"""Whitespace that base64 may contain: MIME breaks it into lines (RFC 2045, 6.8)."""

_PAIR = rb"\\u[Dd][89ABab][0-9A-Fa-f]{2}\\u[Dd][C-Fc-f][0-9A-Fa-f]{2}"
_SINGLE = rb"\\u(?![Dd][89A-Fa-f])[0-9A-Fa-f]{4}"
_WHOLE = re.compile(rb"(?:[^\\]++|" + _PAIR + rb"|" + _SINGLE + rb"|\\[^u])*+", re.DOTALL)
"""Complete characters and escapes; a surrogate only with its other half (RFC 8259, 7)."""

_LONGEST_ESCAPE = 12

_PIECE = 1 << 18
"""Minimum bytes of a piece, large enough that malloc returns its memory to the system when it is freed (mallopt(3))."""


class LongString:
    """A string of a JSON text, in pieces as they arrived, without its quotes.

    Attributes:
        size: Bytes of its pieces in memory.
    """

    __slots__ = ("_pieces", "_recent", "_recent_size", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._recent: list[bytes] = []
        self._recent_size = 0
        self.size = 0

    def append(self, text: bytes) -> None:
        """Add a piece."""
        self._recent.append(text)
        self._recent_size += len(text)
        self.size += len(text)
        if self._recent_size >= _PIECE:
            self._join_recent()

    def raw(self) -> bytes:
        """Return the string as it arrived."""
        return b"".join((*self._pieces, *self._recent))

    def utf8(self) -> bytes:
        """Decode the string to UTF-8, and free its pieces.

        Raises:
            ValueError: It is not a JSON string, or has half of a surrogate pair.
        """
        return self._collect(lambda text: text)

    def base64(self) -> bytes:
        """Decode the string and its base64, and free its pieces.

        Raises:
            ValueError: It is not a JSON string, or not base64.
        """
        decoder = _Base64()
        content = self._collect(decoder.feed)
        decoder.finish()
        return content

    def _collect(self, decode: Callable[[bytes], bytes]) -> bytes:
        content = BytesIO()  # a growing buffer, which becomes the result without a copy
        for text in self._decoded():
            content.write(decode(text))
        return content.getvalue()

    def _decoded(self) -> Iterator[bytes]:
        """Yield the pieces as UTF-8, with escapes replaced."""
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
            raise ValueError("ends inside an escape, or has half of a surrogate pair")

    def _join_recent(self) -> None:
        self._pieces.append(b"".join(self._recent))
        self._recent = []
        self._recent_size = 0


def decode_base64(text: str) -> bytes:
    """Decode base64, which may be broken into lines.

    Raises:
        ValueError: The text is not base64.
    """
    if not text.isascii():
        raise ValueError("is not base64: it has characters other than ASCII")
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
    # The outline ends a string at an unescaped quote, so these quotes make one valid JSON string. surrogateescape keeps
    # the bytes of UTF-8 characters that are cut at either end.
    text = piece.decode("utf-8", "surrogateescape")
    return str(json.loads(f'"{text}"')).encode("utf-8", "surrogateescape")


class _Base64:
    """A decoder of base64 in pieces."""

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
        if self._is_over or 0 <= text.find(b"=") < len(text) - _MAX_PADDING:
            raise ValueError("is not base64: data after the padding")
        try:
            content = binascii.a2b_base64(text, strict_mode=True)
        except ValueError as error:
            raise ValueError(f"is not base64: {error}") from None
        self._is_over = text.endswith(b"=")
        return content


_MAX_PADDING = 2
