"""What a state reports of a cell that ended. A program can forge the report, so its size is limited."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from snekhouse.errors import JailError
from snekhouse.evaluation import ProgramError
from snekhouse.jail.channel import Channel
from snekhouse.jail.protocol import CELL_REPORT_HEAD, CellEnd
from snekhouse.shortening import MESSAGE_SIZE, cut

_MAX_CODE, _MAX_PARTS, _MAX_NAME = 0xFF, 100, 64
"""The largest exit code, the most parts of a report, and the most bytes in the name of a part."""

_FORMATS = ("text", "html", "markdown", "svg", "png", "jpeg", "json", "latex")
_BROKEN = "the program sent an invalid report on its cell"
_MAX_DIGITS = 9


@dataclass(frozen=True, slots=True)
class CellReport:
    """A report on a cell.

    Attributes:
        end: How it ended.
        code: The exit code.
        threads: How many threads the state has besides the main thread.
        parts: Name and content of each part.
    """

    end: CellEnd
    code: int
    threads: int
    parts: Sequence[tuple[str, str]]

    @classmethod
    async def receive(cls, channel: Channel, limit: int) -> Self:
        """Wait for a report.

        Args:
            channel: The channel to the state.
            limit: The most bytes that all parts together may have.

        Raises:
            JailError: The program sent something else, or closed its end.
        """
        kind, end, code, threads, count = CELL_REPORT_HEAD.unpack(await channel.receive(CELL_REPORT_HEAD.size))
        if kind != b"D" or end not in {each.value for each in CellEnd} or code > _MAX_CODE or count > _MAX_PARTS:
            raise JailError(_BROKEN)
        parts = []
        for _ in range(count):
            name = await _field(channel, _MAX_NAME)
            content = await _field(channel, limit)
            limit -= len(content)
            parts.append((name.decode(errors="replace"), content.decode(errors="replace")))
        return cls(CellEnd(end), code, threads, parts)

    @property
    def value(self) -> Mapping[str, str]:
        """The value of the expression at the end of the cell, by format."""
        return {name: content for name, content in self.parts if name in _FORMATS}

    @property
    def figures(self) -> Sequence[str]:
        """Figures, as PNG in Base64."""
        return tuple(content for name, content in self.parts if name == "figure")

    @property
    def error(self) -> ProgramError | None:
        """The exception that ended the cell."""
        if self.end is not CellEnd.EXCEPTION:
            return None
        told = {name: cut(content, MESSAGE_SIZE) for name, content in self.parts}
        line = told.get("error.line", "")
        is_number = line.isascii() and line.isdigit() and len(line) <= _MAX_DIGITS
        return ProgramError(told.get("error.name", ""), told.get("error.value", ""), int(line) if is_number else None)


async def _field(channel: Channel, limit: int) -> bytes:
    size = int.from_bytes(await channel.receive(4), "big")
    if size > limit:
        raise JailError(_BROKEN)
    return await channel.receive(size)
