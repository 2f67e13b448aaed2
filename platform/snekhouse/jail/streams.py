"""The output of a program, read while it runs and kept up to a limit."""

import fcntl
import os
import re
import sys
import termios
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import anyio
from anyio.lowlevel import checkpoint

from snekhouse.errors import SnekhouseError

_CHUNK = 1 << 16
"""Bytes read at once: the capacity of a pipe (pipe(7))."""

_READS = 64
"""Reads before other tasks get a turn: if a program sets O_DIRECT, each read returns one packet, even of one byte."""

_END_SIZE = 1 << 17
"""Bytes at the end of the content that are kept although an observer has received them: a traceback may be there."""

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""A control sequence that sets the colour of text (ECMA-48, SGR)."""

_LAST_LINES_TIMEOUT_S = 0.2
"""Seconds to read the last lines: the stream does not end while any process holds the pipe's other end."""

_LINE_COUNT, _LINE_SIZE = 20, 200
"""How many of the last lines are returned, and how many characters of each."""


class OutputLimitError(SnekhouseError):
    """The program printed more than its limit. `run` turns it into a status."""


class OutputBudget:
    """How many bytes all streams of a run together may still keep."""

    def __init__(self, limit: int) -> None:
        self.left = limit


class OutputStream:
    """The reading end of one stream of a program.

    Attributes:
        writer: The program's end of the pipe; the server closes its copy as soon as the program has its own.
        observer: Takes the content as it comes. If set, the stream keeps only the end of the content, and what the
            observer has not received.
    """

    def __init__(self, budget: OutputBudget) -> None:
        self._budget = budget
        self._content = bytearray()
        self._given = 0
        self.observer: Callable[[bytes], Awaitable[None]] | None = None
        self._reader, self.writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._reader, False)

    @property
    def content(self) -> bytes:
        """The bytes that were kept."""
        return bytes(self._content)

    @property
    def rest(self) -> bytes:
        """The kept bytes that the observer has not received; without an observer, all kept bytes."""
        return bytes(self._content[self._given :]) if self._given else self.content

    async def read(self) -> None:
        """Read to the end of the stream, which ends with the program.

        Raises:
            OutputLimitError: There was more than the budget; the bytes within it are kept.
        """
        while True:
            try:
                if self._read_some():
                    return
            except BlockingIOError:
                if self.observer and self._given < len(self._content):
                    await self._give(self.observer)
                else:
                    await anyio.wait_readable(self._reader)
            else:
                if self.observer:
                    await self._give(self.observer)
                await checkpoint()

    async def _give(self, observer: Callable[[bytes], Awaitable[None]]) -> None:
        """Give new content to the observer; free what is no longer needed."""
        while piece := bytes(self._content[self._given : self._given + _CHUNK]):
            await observer(piece)
            self._given += len(piece)
        spare = len(self._content) - _END_SIZE
        if spare > _END_SIZE:
            del self._content[:spare]
            self._given -= spare

    def _read_some(self) -> bool:
        """Read a few times; return whether the stream has ended.

        Raises:
            BlockingIOError: There is nothing more to read now.
            OutputLimitError: As above.
        """
        for _ in range(1 if self.observer else _READS):
            chunk = os.read(self._reader, _CHUNK)
            if not chunk:
                return True
            self._keep(chunk)
        return False

    def _keep(self, chunk: bytes) -> None:
        self._content += chunk[: self._budget.left]
        if len(chunk) > self._budget.left:
            self._budget.left = 0
            raise OutputLimitError
        self._budget.left -= len(chunk)

    def read_rest(self) -> None:
        """Read what is in the pipe now, and not what comes meanwhile.

        Raises:
            OutputLimitError: As above.
        """
        size = bytearray(4)
        fcntl.ioctl(self._reader, termios.FIONREAD, size)
        left = int.from_bytes(size, sys.byteorder)
        with suppress(BlockingIOError):
            while left > 0 and (chunk := os.read(self._reader, min(left, _CHUNK))):
                left -= len(chunk)
                self._keep(chunk)

    async def last_lines(self) -> list[str]:
        """Read the last lines of the loader or the interpreter, in a jail that did not start its program."""
        with suppress(OutputLimitError), anyio.move_on_after(_LAST_LINES_TIMEOUT_S):
            await self.read()
        lines = COLOUR.sub("", self.content.decode(errors="replace")).strip().splitlines()
        return [line[:_LINE_SIZE] for line in lines[-_LINE_COUNT:]]

    def close_writer(self) -> None:
        """Close the program's end here, so that the stream ends with the program."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def close(self) -> None:
        """Close what is still open."""
        self.close_writer()
        os.close(self._reader)


@contextmanager
def output_streams(limit: int, *, apart: bool) -> Iterator[tuple[OutputStream, ...]]:
    """Open the streams of a run: one for both stdout and stderr, or one for each.

    Args:
        limit: Bytes to keep of all streams together.
        apart: Whether stderr has a stream of its own.
    """
    budget = OutputBudget(limit)
    streams: list[OutputStream] = []
    try:
        for _ in range(2 if apart else 1):
            streams.append(OutputStream(budget))  # noqa: PERF401 - if the second fails, the first must be closed
        yield tuple(streams)
    finally:
        for stream in streams:
            stream.close()
