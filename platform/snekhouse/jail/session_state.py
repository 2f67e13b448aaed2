"""A state of a session: a process in its jail that waits for orders."""

import select
import signal
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import anyio

from snekhouse.errors import JailError
from snekhouse.jail.channel import Channel

_TOGETHER_S = 0.1
"""Seconds within which the processes of a jail end, if all of them are killed at once."""


class SessionLostError(JailError):
    """The session has no state any more; the text says why."""


@dataclass
class SessionState:
    """A state of a session: a process that waits for orders.

    Attributes:
        channel: The channel to it.
        pid: Its process id on the host. Once it has been reaped, another process may get this number.
        process: Its descriptor (pidfd_open(2)); -1 once it is closed.
        started: When it started (`start_time`).
        held: Closes channel and descriptor.
        cells: How many cells it contains.
        threads: How many threads it has besides the main thread; with any, it cannot fork.
    """

    channel: Channel
    pid: int
    process: int
    started: int
    held: ExitStack
    cells: int = 0
    threads: int = 0

    def close(self) -> None:
        """Kill the process and close its descriptors. No task may be waiting for its end."""
        self.send_signal(signal.SIGKILL)
        self.process = -1
        self.held.close()

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self.process >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.process, number)

    @property
    def has_ended(self) -> bool:
        """Whether it has ended by now."""
        poll = select.poll()
        poll.register(self.process, select.POLLIN)
        return bool(poll.poll(0))

    async def ended(self) -> None:
        """Wait until it has ended."""
        await anyio.wait_readable(self.process)

    async def ends_with_others(self) -> bool:
        """Return whether it ends now as well, after another state of its jail has ended."""
        with anyio.move_on_after(_TOGETHER_S):
            await self.ended()
            return True
        return False
