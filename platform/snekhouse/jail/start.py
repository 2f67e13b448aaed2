"""The interfaces of a guest and of a way to start one: `cold` and `fork` implement them, `run` uses them."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from snekhouse.host.cgroups import RunGroup
from snekhouse.jail.channel import Channel, Hello
from snekhouse.jail.inputs import Request
from snekhouse.jail.prepared import PreparedRuntime
from snekhouse.jail.protocol import Refusal, Stamp
from snekhouse.registry.models import Limits

Stdio = tuple[int, int, int]
"""Descriptors of a program's standard input, output and error."""


@dataclass(frozen=True, slots=True)
class GuestExit:
    """How a guest ended.

    Attributes:
        code: The exit code: the program's, 128 + N after signal N, or 255 if NsJail failed.
        signal: The signal that ended the program; None when it exited.
        cpu_time: CPU time in seconds, user and system, of all its processes that were reaped.
        complaint: The error that NsJail logged, if the jail did not start; else empty.
    """

    code: int
    signal: int | None
    cpu_time: float
    complaint: str = ""


class Guest(Protocol):
    """One interpreter in a jail, which runs one program or a session."""

    @property
    def group(self) -> RunGroup | None:
        """Its cgroup, which it may join later; None on a host without cgroups."""

    @property
    def channel(self) -> Channel:
        """The channel to it, which a session uses after the request."""

    async def hello(self) -> Hello:
        """Wait until the guest is ready for a request.

        Raises:
            JailError: The guest did not start.
        """

    async def request(self, request: Request) -> tuple[Stamp, ...] | Refusal:
        """Send the request, and wait until the guest has written the input files and starts the program.

        Raises:
            JailError: The guest ended first, or broke the protocol.
        """

    async def ended(self) -> None:
        """Wait until its program has ended."""

    async def end(self) -> GuestExit:
        """Kill every process that has not ended, and reap all, even if the task is cancelled."""


class Start(Protocol):
    """A way to start guests."""

    def guest(self, prepared: PreparedRuntime, limits: Limits, stdio: Stdio) -> AbstractAsyncContextManager[Guest]:
        """Start a guest, and end it on leaving.

        Args:
            prepared: The runtime.
            limits: The limits of the evaluation.
            stdio: The standard streams of the program.

        Raises:
            OSError: The host is out of processes, descriptors or memory.
        """
