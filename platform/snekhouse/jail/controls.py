"""The controls of a program that runs: its standard input as a pipe, and signals."""

import os
import signal
from contextlib import suppress

import anyio


class ProgramControls:
    """See `evaluation.Controls`.

    Attributes:
        reader: The end of the pipe for the program.
    """

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._writer, False)
        self._process = -1
        self._turn = anyio.Lock()

    def begin(self, pid: int) -> None:
        """Note the process of the program.

        Args:
            pid: Its id on the host; it must not have been reaped.

        Raises:
            OSError: It has ended.
        """
        self._process = os.pidfd_open(pid)

    def close_reader(self) -> None:
        """Close the program's end here, once the program has its own."""
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1

    async def write(self, content: bytes) -> None:
        """See `evaluation.Controls`."""
        rest = memoryview(content)
        async with self._turn:
            while rest and self._writer >= 0:
                try:
                    rest = rest[os.write(self._writer, rest) :]
                except BlockingIOError:
                    await anyio.wait_writable(self._writer)
                except (BrokenPipeError, anyio.ClosedResourceError):
                    return

    def close_stdin(self) -> None:
        """See `evaluation.Controls`."""
        if self._writer >= 0:
            anyio.notify_closing(self._writer)
            os.close(self._writer)
            self._writer = -1

    def send_signal(self, number: signal.Signals) -> None:
        """See `evaluation.Controls`."""
        if self._process >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, number)

    def close(self) -> None:
        """Close what is open."""
        self.close_stdin()
        self.close_reader()
        if self._process >= 0:
            os.close(self._process)
            self._process = -1
