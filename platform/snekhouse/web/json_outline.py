"""The outline of a JSON text: the text with its long strings taken out while they arrive.

A parser that takes a large text as a whole would block the event loop, and would make an object for each value, even
for millions of them.
This module scans a text piece by piece, and takes out its long strings, which are most of an ordinary request. The rest
must be small; otherwise it is refused. A parser then checks the rest like any other text.
"""

import re
import secrets

from snekhouse.errors import RequestError
from snekhouse.web.long_string import LongString

NOT_JSON = "Invalid JSON"
"""The title of an error in the syntax; snekbox has it too, and its clients compare it."""

_LONG = 256
"""Minimum number of bytes of a string that is taken out."""

_MAX_BYTES = 4 << 20
_MAX_PARTS = 250_000
_MAX_STRINGS = 25_000
"""Limits of an outline; 20,000 files fit, with their keys and contents."""

_SHORT = re.compile(rb'(?:[^"]++|"(?:[^"\\\x00-\x1f]|\\.){0,%d}+")*+' % _LONG, re.DOTALL)
"""Structure and complete short strings, up to the quote of another string."""

_INSIDE = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\.)*+', re.DOTALL)
"""The inside of a string, up to its closing quote, a character that is not allowed, or an incomplete escape."""


class OutlineError(RequestError):
    """The body is not JSON, or its outline is too large."""


class Outline:
    """The outline of a text that arrives in pieces.

    Attributes:
        text: The outline so far.
        strings: The long strings that were taken out, by their placeholders.
    """

    def __init__(self) -> None:
        self.text = bytearray()
        self.strings: dict[str, LongString] = {}
        self._mark = secrets.token_hex(16)  # clients cannot guess a placeholder
        self._parts = 0
        self._string: LongString | None = None  # the string that is not complete yet
        self._escape = b""  # a backslash at the end of a piece

    def feed(self, piece: bytes) -> None:
        """Add a piece of the text.

        Raises:
            OutlineError: The outline is too large, or a string has a control character.
        """
        place = 0
        while place < len(piece):
            string = self._string
            place = self._outside(piece, place) if string is None else self._inside(string, piece, place)

    def finish(self) -> bytes:
        """Return the whole outline.

        Raises:
            OutlineError: The text ends inside a string.
        """
        if self._string is not None:
            raise OutlineError("Invalid JSON: EOF while parsing a string", title=NOT_JSON)
        return bytes(self.text)

    def _outside(self, piece: bytes, place: int) -> int:
        found = _SHORT.match(piece, place)
        end = found.end() if found else place
        self._add(piece[place:end])
        if end < len(piece):
            self._string = LongString()
        return end + 1

    def _inside(self, string: LongString, piece: bytes, place: int) -> int:
        if self._escape:
            string.append(self._escape + piece[place : place + 1])
            self._escape = b""
            return place + 1
        found = _INSIDE.match(piece, place)
        end = found.end() if found else place
        if end > place:
            string.append(piece[place:end])
        if end < len(piece):
            self._stop(string, piece[end : end + 1])
        return end + 1

    def _stop(self, string: LongString, character: bytes) -> None:
        if character == b'"':
            self._close(string)
        elif character == b"\\":
            self._escape = character
        else:
            raise OutlineError(
                "Invalid JSON: control character (\\u0000-\\u001F) found while parsing a string", title=NOT_JSON
            )

    def _close(self, string: LongString) -> None:
        self._string = None
        if string.size < _LONG:
            self._add(b'"' + string.raw() + b'"')
            return
        if len(self.strings) == _MAX_STRINGS:
            raise OutlineError(f"the body has more than {_MAX_STRINGS} long strings")
        name = f"{self._mark}:{len(self.strings)}"
        self.strings[name] = string
        self._add(b'"' + name.encode() + b'"')

    def _add(self, text: bytes) -> None:
        self.text += text
        self._parts += text.count(b",") + text.count(b"[") + text.count(b"{")
        if len(self.text) > _MAX_BYTES or self._parts > _MAX_PARTS:
            raise OutlineError(
                f"the body has more than {_MAX_PARTS} values, or {_MAX_BYTES >> 20} MiB besides long strings"
            )
