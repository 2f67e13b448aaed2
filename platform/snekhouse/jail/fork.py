"""Forked starts: the runtime's fork server forks the guest of each evaluation."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from snekhouse.host.cgroups import RunGroup
from snekhouse.jail.channel import Channel, Hello
from snekhouse.jail.forks import Fork
from snekhouse.jail.generation import Generation
from snekhouse.jail.inputs import Request
from snekhouse.jail.prepared import PreparedRuntime
from snekhouse.jail.protocol import Refusal, Stamp
from snekhouse.jail.start import GuestExit, Stdio
from snekhouse.registry.models import Limits


@dataclass(frozen=True, slots=True)
class ForkedGuest:
    """A guest that a fork server forked.

    Attributes:
        generation: What forked it.
        fork: The forked process.
        stdio: The standard streams of its program.
    """

    generation: Generation
    fork: Fork
    stdio: Stdio

    @property
    def group(self) -> RunGroup | None:
        """See `Guest`."""
        return self.fork.group

    @property
    def channel(self) -> Channel:
        """See `Guest`."""
        return self.fork.channel

    async def hello(self) -> Hello:
        """See `Guest`.

        Raises:
            ForkServerError: The guest did not say hello.
        """
        return await self.generation.hello_of(self.fork)

    async def request(self, request: Request) -> tuple[Stamp, ...] | Refusal:
        """See `Guest`. Meanwhile fork a spare, because no evaluation waits for the fork server now."""
        await self.fork.channel.send_request(request, self.stdio, self.group.task_files if self.group else ())
        self.generation.fork_ahead()
        return await self.fork.channel.receive_report(len(request.files))

    async def ended(self) -> None:
        """See `Guest`; the program may close its streams before it ends."""
        await self.fork.ended.wait()

    async def end(self) -> GuestExit:
        """See `Guest`.

        Raises:
            ForkServerError: The fork server is gone, and so is the guest.
        """
        return await self.generation.end(self.fork)


@dataclass(frozen=True, slots=True)
class ForkStart:
    """Starts each guest as a fork of a fork server.

    Attributes:
        generation: A running fork server, or another of its generations.
    """

    generation: Generation

    @asynccontextmanager
    async def guest(self, prepared: PreparedRuntime, limits: Limits, stdio: Stdio) -> AsyncIterator[ForkedGuest]:
        """See `Start`.

        Raises:
            ForkServerError: The fork server failed; the result of the program is lost.
            OSError: The host is out of descriptors or ids.
        """
        with self.generation.used() as fork:
            guest = ForkedGuest(self.generation, fork, stdio)
            try:
                if fork.group and limits != prepared.runtime.limits:
                    fork.group.limit(limits)
                yield guest
            finally:
                await guest.end()
