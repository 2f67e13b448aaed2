"""The outline of a JSON text: its structure as it is, with long strings taken out while they arrive.

A parser that takes a whole text holds it up for as long as it takes, and makes an object of each of millions of zeros.
Here a text is looked through piece by piece, and its long strings, which are nearly all of an honest one, are set
apart. What is left is small, or refused; a parser then checks it like any other text.
"""

import re
import secrets

from snekhouse.errors import RequestError
from snekhouse.web.long_string import LongString

NOT_JSON = "Invalid JSON"
"""The title of an error in the syntax; snekbox has it too, and its clients compare it."""

_LONG = 256
"""Bytes from which on a string is taken out."""

_MOST_BYTES = 4 << 20
_MOST_PARTS = 250_000
_MOST_STRINGS = 25_000
"""What an outline may have. 20,000 files with their keys and contents fit."""

_SHORT = re.compile(rb'(?:[^"]++|"(?:[^"\\\x00-\x1f]|\\.){0,%d}+")*+' % _LONG, re.DOTALL)
"""Structure, and strings that are short and whole, up to the first other quote."""

_INSIDE = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\.)*+', re.DOTALL)
"""The inside of a string, up to its last quote, a character that it may not have, or half an escape."""


class OutlineError(RequestError):
    """The text cannot be taken apart."""


class Outline:
    """The outline of a text that arrives in pieces.

    Attributes:
        text: The outline so far.
        strings: The long strings that were taken out, by what stands in their place.
    """

    def __init__(self) -> None:
        self.text = bytearray()
        self.strings: dict[str, LongString] = {}
        self._mark = secrets.token_hex(16)  # nobody can send what looks like a string taken out
        self._parts = 0
        self._string: LongString | None = None  # the string that has begun
        self._escape = b""  # a backslash whose other half is yet to come

    def feed(self, piece: bytes) -> None:
        """Take what has arrived.

        Raises:
            OutlineError: There is too much besides long strings, or a string has a control character.
        """
        place = 0
        while place < len(piece):
            string = self._string
            place = self._outside(piece, place) if string is None else self._inside(string, piece, place)

    def finish(self) -> bytes:
        """Return the whole outline.

        Raises:
            OutlineError: The text ends within a string.
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
        if len(self.strings) == _MOST_STRINGS:
            raise OutlineError(f"the body has more than {_MOST_STRINGS} long strings")
        name = f"{self._mark}:{len(self.strings)}"
        self.strings[name] = string
        self._add(b'"' + name.encode() + b'"')

    def _add(self, text: bytes) -> None:
        self.text += text
        self._parts += text.count(b",") + text.count(b"[") + text.count(b"{")
        if len(self.text) > _MOST_BYTES or self._parts > _MOST_PARTS:
            raise OutlineError(
                f"the body has more than {_MOST_PARTS} values, or {_MOST_BYTES >> 20} MiB besides long strings"
            )
