"""Processes that fork the guests of evaluations: each generation of a fork server is one."""

import errno
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from itertools import count

import anyio

from snekhouse.errors import JailError
from snekhouse.jail import protocol
from snekhouse.jail.channel import Channel, Hello, RefusedError, opened_channel
from snekhouse.jail.forks import Fork, LostForks
from snekhouse.jail.resources import RunResources
from snekhouse.jail.start import GuestExit
from snekhouse.profile.rendering import START_TIMEOUT_S, most_forks
from snekhouse.registry.models import Runtime
from snekhouse.waiting import first

ANSWER_TIMEOUT_S = 5.0
"""Seconds to wait for a hello or a report of a fork, which take milliseconds unless the host is loaded."""

_REASON_SIZE = 200
"""Bytes of a reason why a module is not set aside."""


class ForkServerError(JailError):
    """A fork server failed; the evaluation can start cold."""


class UnfitModuleError(ForkServerError):
    """A generation is of no use, because of one module that it was to set aside."""

    def __init__(self, module: str, reason: str) -> None:
        super().__init__(f"{module} cannot be set aside: {reason}")
        self.module, self.reason = module, reason


class Generation:
    """A process that forks evaluations: the fork server, or another of its generations.

    Attributes:
        modules: The modules of packages that it has set aside.
        missing: Why it could not import others, by module.
        memory: How much memory `modules` take, in bytes.
        in_use: How many of its forks are in use.
    """

    def __init__(self, channel: Channel, runtime: Runtime, resources: RunResources, lost_forks: LostForks) -> None:
        """Take over a process.

        Args:
            channel: The channel to it.
            runtime: The runtime.
            resources: The server's cgroups and host ids.
            lost_forks: Releases the resources of lost forks, once the fork server's process is gone.
        """
        self._channel = channel
        self._runtime = runtime
        self._resources = resources
        self._lost_forks = lost_forks
        self._numbers = count()
        self._forks: dict[int, Fork] = {}
        self._spare: Fork | None = None
        self._idle = anyio.Event()
        self._failure = anyio.Event()
        self._is_retired = False
        self.modules: list[str] = []
        self.missing: dict[str, str] = {}
        self.memory = 0
        self.in_use = 0

    @contextmanager
    def used(self) -> Iterator[Fork]:
        """Take a fork, the spare one if there is one; the caller must `end` it before leaving.

        Raises:
            ForkServerError: The fork server does not accept orders.
            OSError: The host is out of descriptors or ids.
        """
        if self._spare and self._spare.ended.is_set():  # it was refused, or killed
            self._release(self._spare)
            self._spare = None
        fork, self._spare = self._spare or self._fork(), None
        self.in_use += 1
        try:
            yield fork
        finally:
            self._release(fork)
            self.in_use -= 1
            if not self.in_use:
                self._idle.set()
                self._idle = anyio.Event()

    def fork_ahead(self) -> None:
        """Fork a spare for the next evaluation; best called while the fork server has nothing else to do."""
        if self._spare is None and not self._is_retired and not self._failure.is_set():
            with suppress(OSError, ForkServerError):  # the next evaluation tries again
                self._spare = self._fork()

    async def hello_of(self, fork: Fork) -> Hello:
        """Wait for the hello of a fork.

        Raises:
            ForkServerError: The fork did not say hello. If the host refused it, other forks go on.
        """
        try:
            with anyio.fail_after(ANSWER_TIMEOUT_S):
                return await fork.channel.receive_hello()
        except RefusedError as error:
            raise ForkServerError(str(error)) from error
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
        while self.in_use:
            await self._idle.wait()

    async def retire(self) -> None:
        """End the spare fork, and wait until no fork is in use; no other evaluation may use this generation."""
        await self.end_spare()
        await self.idle()

    async def end_spare(self) -> None:
        """End the spare fork, and fork no other one ahead."""
        self._is_retired = True
        if spare := self._spare:
            self._spare = None
            await self.end(spare)
            self._release(spare)

    async def listen(self) -> None:
        """Receive reports of ended forks, until the fork server fails or is gone. The remaining forks are then lost."""
        await first(self._receive_reports, self._failure.wait)
        self._failure.set()
        self.close()

    @asynccontextmanager
    async def next(self, modules: Sequence[str] = ()) -> AsyncIterator["Generation"]:
        """Fork another generation, which sets modules aside; kill it on leaving.

        Args:
            modules: Modules of packages; an empty list means those of the standard library.

        Raises:
            UnfitModuleError: The import of a module makes the generation useless: it changes or ends the process, takes
                too long, or needs too much memory. A module that cannot be imported is only added to `missing`.
            JailError: The generation does not start, or this one is gone; the text says why.
            TimeoutError: It does not answer.
            OSError: The host is out of descriptors or ids.
        """
        process = self._fork_generation()
        generation = Generation(process.channel, self._runtime, self._resources, self._lost_forks)
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # if the fork failed, the next message has the reason
                await process.channel.send(protocol.encode_modules(modules))
            for name in modules:
                await generation._receive_module_report(name)
            with anyio.fail_after(START_TIMEOUT_S):
                await generation.start()
            yield generation
        finally:
            generation.close()
            try:
                with suppress(ForkServerError), anyio.move_on_after(ANSWER_TIMEOUT_S):
                    self._order(protocol.encode_kill(process.number))
                    await process.ended.wait()
            finally:
                self._release(process)

    async def start(self) -> None:
        """Wait for the hello of this generation, and fork a first process, to check that forks can be sealed.

        Raises:
            JailError: The generation sent something else, or the fork cannot be sealed; the text says why.
        """
        if await self._channel.receive_unless_refused(len(protocol.FORK_SERVER_HELLO)) != protocol.FORK_SERVER_HELLO:
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
            self._lost_forks.add(fork.held)

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

    async def _receive_module_report(self, module: str) -> None:
        """Wait until this generation has set a module aside, or cannot import it.

        Raises:
            UnfitModuleError: The module cannot be set aside, and the generation is of no use.
        """
        try:
            with anyio.fail_after(START_TIMEOUT_S):
                head = await self._channel.receive_unless_refused(protocol.MODULE_REPORT_HEAD.size)
                kind, kib, size = protocol.MODULE_REPORT_HEAD.unpack(head)
                reason = (await self._channel.receive(min(size, _REASON_SIZE))).decode(errors="replace")
        except TimeoutError as error:
            raise UnfitModuleError(module, f"its import takes more than {START_TIMEOUT_S:g} s") from error
        except RefusedError:
            raise
        except JailError as error:
            raise UnfitModuleError(module, "its import ends the interpreter") from error
        if kind == protocol.ModuleOutcome.MISSING.value:
            self.missing[module] = reason
            return
        memory, limit = kib << 10, int(self._runtime.preload_memory)
        if kind != protocol.ModuleOutcome.SET_ASIDE.value:
            raise UnfitModuleError(module, reason)
        if memory > limit:
            reason = f"with it, the modules take {memory >> 20} MiB; preload_memory is {limit >> 20} MiB"
            raise UnfitModuleError(module, reason)
        self.modules.append(module)
        self.memory = memory

    def _fork_generation(self) -> Fork:
        with ExitStack() as held:
            channel, other = held.enter_context(opened_channel())
            number = next(self._numbers)
            with other:
                self._order(protocol.encode_generation(number), other.fileno())
            self._forks[number] = Fork(number, channel, None, held.pop_all())
            return self._forks[number]

    def _fork(self) -> Fork:
        runtime = self._runtime
        if len(self._forks) >= most_forks():
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        with ExitStack() as held:
            host_ids = held.enter_context(self._resources.ids.lease())
            group = held.enter_context(self._resources.group(runtime.limits, loopback=runtime.loopback))
            channel, other = held.enter_context(opened_channel())
            number = next(self._numbers)
            with other:
                self._order(protocol.encode_fork(number, host_ids.inside), other.fileno())
            self._forks[number] = Fork(number, channel, group, held.pop_all())
            return self._forks[number]
