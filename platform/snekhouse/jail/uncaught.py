"""The exception that ended a program, read from the traceback that its interpreter printed last.

The result is only a claim of the program, which may print a text that looks like a traceback and exit with 1.
"""

import re
from collections.abc import Sequence

from snekhouse.evaluation import ProgramError
from snekhouse.jail.streams import COLOUR
from snekhouse.registry.models import HOME
from snekhouse.shortening import MESSAGE_SIZE, cut

_TAIL_SIZE = 1 << 17
"""Bytes at the end of the output that are searched; the traceback of an endless recursion has a tenth of that."""

_HEADER = "Traceback (most recent call last):\n"
_GROUP_PREFIX = "  + Exception Group "
"""The text before the header of an exception group, in the same line."""

_NOT_FATAL = re.compile(r"Exception (?:in thread|ignored) ")
"""The line before the header begins with this if the exception did not end the program."""

_PLACE = '  File "'
_NO_HEADER = re.compile(r'  File ".*", line \d{1,9}\n(?:    .*\n)*(?:Syntax|Indentation|Tab)Error: ')
"""For a program that does not compile, the interpreter prints no header, only the place of the error."""

_FRAME = re.compile(r'^  File "(.*)", line (\d{1,9})(?:, in .*)?$', re.MULTILINE)
_LINES = re.compile(r"(?: .*\n)*")
_MARGIN, _END_OF_GROUP = re.compile(r"^  \| ", re.MULTILINE), "\n  +-"


def uncaught(printed: bytes) -> ProgramError | None:
    """Find the exception that ended a program.

    Args:
        printed: Its stderr, or its stdout and stderr together.

    Returns:
        The exception; None if the output does not end with a traceback.
    """
    text = COLOUR.sub("", printed[-_TAIL_SIZE:].decode(errors="replace"))
    found = end = len(text)
    while (found := text.rfind(_HEADER, 0, found)) >= 0:
        line = text.rfind("\n", 0, found) + 1
        before = text.rfind("\n", 0, max(line - 1, 0)) + 1
        if _NOT_FATAL.match(text, before, line):
            found = end = before
        elif text[line:found] in {"", _GROUP_PREFIX}:
            return _parsed(text[found + len(_HEADER) : end], is_group=line < found)
    place = text.rfind(_PLACE, 0, end)
    is_line = place == 0 or (place > 0 and text[place - 1] == "\n")
    return _parsed(text[place:end]) if is_line and _NO_HEADER.match(text, place, end) else None


def _parsed(block: str, *, is_group: bool = False) -> ProgramError | None:
    """Parse the text after the header: frames, then the name of the class and the text of the exception."""
    if is_group:
        block = _MARGIN.sub("", block.partition(_END_OF_GROUP)[0])
    frames = _LINES.match(block)
    assert frames  # noqa: S101 - it matches the empty text as well
    first, _, more = block[frames.end() :].rstrip("\n").partition("\n")
    name, _, value = first.partition(": ")
    if not name or " " in name or "\n\n" in f"\n{more}":  # something else was printed afterwards
        return None
    value = "\n".join(filter(None, (value, more)))
    return ProgramError(
        cut(name.rpartition(".")[2], MESSAGE_SIZE), cut(value, MESSAGE_SIZE), _line(_FRAME.findall(frames[0]))
    )


def _line(frames: Sequence[tuple[str, str]]) -> int | None:
    """Find the innermost line in the file of the outermost frame; None if this file belongs to a library."""
    frames = [(file, line) for file, line in frames if file != "<frozen runpy>" and not file.endswith("/runpy.py")]
    program = frames[0][0] if frames else "/"
    if program.startswith(("/", "<frozen")) and not program.startswith(f"{HOME}/"):
        return None
    return next(int(line) for file, line in reversed(frames) if file == program)
