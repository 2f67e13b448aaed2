"""What a program prints: drained while it runs, kept up to a limit."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import anyio
from anyio.lowlevel import checkpoint

_CHUNK = 1 << 16
"""Bytes read at once: the capacity of a pipe (pipe(7))."""

_READS = 64
"""Reads until others have a turn: where a program sets O_DIRECT, each returns one packet, of one byte even."""

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""What makes a terminal show text in a colour (ECMA-48, SGR)."""

_LAST_LINES_TIMEOUT_S = 0.2
"""Seconds that reading them may take: there is an end to wait for only when nobody holds the pipe's other one."""

_LINES, _SHOWN = 20, 200
"""How many of the last lines are told, and how many characters of each."""


class OutputLimitError(Exception):
    """More was printed than may be kept. Never leaves `run`, where it becomes a status."""


class Budget:
    """How many bytes may still be kept, for all streams of a run together."""

    def __init__(self, limit: int) -> None:
        self.left = limit


class Drain:
    """The reading end of one stream of a program.

    Attributes:
        writer: The program's end; closed as soon as the program has it.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._kept = bytearray()
        self._reader, self.writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._reader, False)

    @property
    def content(self) -> bytes:
        """What was kept."""
        return bytes(self._kept)

    async def drain(self) -> None:
        """Read to the end of the stream, which is NsJail's end.

        Raises:
            OutputLimitError: There was more than the budget; all up to it was kept.
        """
        while True:
            try:
                if self._read():
                    return
            except BlockingIOError:
                await anyio.wait_readable(self._reader)
            else:
                await checkpoint()

    def _read(self) -> bool:
        """Read some times; tell whether that was to the end.

        Raises:
            BlockingIOError: There is nothing more to read now.
            OutputLimitError: As above.
        """
        for _ in range(_READS):
            chunk = os.read(self._reader, _CHUNK)
            if not chunk:
                return True
            self._kept += chunk[: self._budget.left]
            if len(chunk) > self._budget.left:
                self._budget.left = 0
                raise OutputLimitError
            self._budget.left -= len(chunk)
        return False

    async def last_lines(self) -> list[str]:
        """Read the last lines of a jail that did not come as far as a program: of its loader, or the interpreter."""
        with suppress(OutputLimitError), anyio.move_on_after(_LAST_LINES_TIMEOUT_S):
            await self.drain()
        lines = COLOUR.sub("", self.content.decode(errors="replace")).strip().splitlines()
        return [line[:_SHOWN] for line in lines[-_LINES:]]

    def close_writer(self) -> None:
        """Let go of the program's end, so that the stream ends with the program."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def close(self) -> None:
        """Close what is still open."""
        self.close_writer()
        os.close(self._reader)


@contextmanager
def output_streams(limit: int, *, apart: bool) -> Iterator[tuple[Drain, ...]]:
    """Open the streams of a run: one for both stdout and stderr, or one for each.

    Args:
        limit: Bytes kept of all together.
        apart: Whether stderr has a stream of its own.
    """
    budget = Budget(limit)
    streams: list[Drain] = []
    try:
        for _ in range(2 if apart else 1):
            streams.append(Drain(budget))  # noqa: PERF401 - an error halfway must close the first
        yield tuple(streams)
    finally:
        for stream in streams:
            stream.close()
