"""Processes that fork the guests of evaluations: each generation of a fork server is one."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count

import anyio

from snekhouse.errors import JailError
from snekhouse.host.cgroups import RunGroup
from snekhouse.jail import protocol
from snekhouse.jail.channel import Channel, Hello, opened_channel
from snekhouse.jail.resources import RunResources
from snekhouse.jail.start import GuestExit
from snekhouse.registry.models import Runtime
from snekhouse.waiting import first

ANSWER_TIMEOUT_S = 5.0
"""Seconds to wait for a hello or a report of a fork, which take milliseconds unless the host is loaded."""


class ForkServerError(JailError):
    """A fork server failed; the evaluation can start cold."""


@dataclass(slots=True)
class Fork:
    """A process that a fork server forked.

    Attributes:
        number: Its number in orders and reports.
        channel: The channel to it.
        group: Its cgroup with the runtime's limits, which it joins after its hello; None on a host without cgroups.
        held: Releases its resources.
        ended: Set once it has ended, or is lost with the fork server.
        exit: How it ended; None while it runs, and if it is lost.
    """

    number: int
    channel: Channel
    group: RunGroup | None
    held: ExitStack
    ended: anyio.Event = field(default_factory=anyio.Event)
    exit: GuestExit | None = None


class Generation:
    """A process that forks evaluations: the fork server, or its second generation.

    Attributes:
        served: How many evaluations it has served.
    """

    def __init__(self, channel: Channel, runtime: Runtime, resources: RunResources, lost_forks: ExitStack) -> None:
        """Take over a process.

        Args:
            channel: The channel to it.
            runtime: The runtime.
            resources: The server's cgroups and host ids.
            lost_forks: Releases the resources of lost forks, once the fork server's process is gone.
        """
        self._channel = channel
        self._limits, self._loopback = runtime.limits, runtime.loopback
        self._resources = resources
        self._lost_forks = lost_forks
        self._numbers = count()
        self._forks: dict[int, Fork] = {}
        self._spare: Fork | None = None
        self._in_use = 0
        self._idle = anyio.Event()
        self._failure = anyio.Event()
        self.served = 0

    @contextmanager
    def used(self) -> Iterator[Fork]:
        """Take a fork, the spare one if there is one; the caller must `end` it before leaving.

        Raises:
            ForkServerError: The fork server does not accept orders.
            OSError: The host is out of descriptors or ids.
        """
        fork, self._spare = self._spare or self._fork(), None
        self._in_use += 1
        self.served += 1
        try:
            yield fork
        finally:
            self._release(fork)
            self._in_use -= 1
            if not self._in_use:
                self._idle.set()
                self._idle = anyio.Event()

    def fork_ahead(self) -> None:
        """Fork a spare for the next evaluation; best called while the fork server has nothing else to do."""
        if self._spare is None and not self._failure.is_set():
            with suppress(OSError, ForkServerError):  # the next evaluation tries again
                self._spare = self._fork()

    async def hello_of(self, fork: Fork) -> Hello:
        """Wait for the hello of a fork.

        Raises:
            ForkServerError: The fork did not say hello.
        """
        try:
            with anyio.fail_after(ANSWER_TIMEOUT_S):
                return await fork.channel.receive_hello()
        except (JailError, TimeoutError) as error:
            raise self._failed(str(error) or "the fork server does not answer") from error

    async def end(self, fork: Fork) -> GuestExit:
        """Kill a fork unless it has ended, and wait until it is reaped, even if the task is cancelled.

        Raises:
            ForkServerError: The fork server is gone, and so is the fork.
        """
        if not fork.ended.is_set():
            with anyio.CancelScope(shield=True):
                self._order(protocol.encode_kill(fork.number))
                with anyio.move_on_after(ANSWER_TIMEOUT_S):
                    await fork.ended.wait()
        if fork.exit is None:
            raise self._failed("the fork server is gone")
        return fork.exit

    async def idle(self) -> None:
        """Wait until no fork is in use."""
        while self._in_use:
            await self._idle.wait()

    async def listen(self) -> None:
        """Receive reports of ended forks, until the fork server fails or is gone. The remaining forks are then lost."""
        await first(self._receive_reports, self._failure.wait)
        self._failure.set()
        self.close()

    def begin_second(self, control: int) -> None:
        """Order this process, the fork server, to begin the second generation.

        Args:
            control: The second generation's end of its control socket.

        Raises:
            ForkServerError: The fork server is gone, or does not read.
        """
        self._order(protocol.SECOND, control)

    async def start(self) -> None:
        """Wait for the hello of this generation, and fork a first process, to check that forks can be sealed.

        Raises:
            JailError: The generation sent something else, or the fork cannot be sealed; the text says why.
        """
        if await self._channel.receive(len(protocol.FORK_SERVER_HELLO)) != protocol.FORK_SERVER_HELLO:
            raise JailError("the process that forks evaluations did not say hello")
        fork = self._fork()
        try:
            os.close((await self.hello_of(fork)).home)
            self._order(protocol.encode_kill(fork.number))
            await self._receive_report()
        finally:
            self._release(fork)
        self.fork_ahead()

    def close(self) -> None:
        """Mark all forks as ended, and release the spare one; their processes end with the fork server."""
        for fork in self._forks.values():
            fork.ended.set()
        if self._spare:
            self._release(self._spare)
            self._spare = None

    def _failed(self, reason: str) -> ForkServerError:
        """Mark the fork server as failed; return the error to raise."""
        self._failure.set()
        return ForkServerError(reason)

    def _order(self, order: bytes, *descriptors: int) -> None:
        """Send an order.

        Raises:
            ForkServerError: The fork server is gone, or does not read.
        """
        try:
            self._channel.order(order, *descriptors)
        except (BrokenPipeError, ConnectionResetError, BlockingIOError) as error:
            raise self._failed("the fork server does not accept orders") from error

    def _release(self, fork: Fork) -> None:
        """Release the resources of a fork: now if it has ended, else when the fork server is gone."""
        if fork.exit:
            fork.held.close()
        else:
            self._lost_forks.enter_context(fork.held)

    async def _receive_reports(self) -> None:
        with suppress(JailError):
            while True:
                await self._receive_report()

    async def _receive_report(self) -> None:
        number, status, cpu_time = protocol.ENDED.unpack(await self._channel.receive(protocol.ENDED.size))
        code = os.waitstatus_to_exitcode(status)
        fork = self._forks.pop(number)
        fork.exit = GuestExit(
            code=code if code >= 0 else 128 - code, signal=-code if code < 0 else None, cpu_time=cpu_time / 1e6
        )
        fork.ended.set()

    def _fork(self) -> Fork:
        with ExitStack() as held:
            host_ids = held.enter_context(self._resources.ids.lease())
            group = held.enter_context(self._resources.group(self._limits, loopback=self._loopback))
            channel, other = held.enter_context(opened_channel())
            number = next(self._numbers)
            with other:
                self._order(protocol.encode_fork(number, host_ids.inside), other.fileno())
            self._forks[number] = Fork(number, channel, group, held.pop_all())
            return self._forks[number]
