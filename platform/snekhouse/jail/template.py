"""Templates: jails whose interpreter has started already, and forks a run for each evaluation."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from itertools import count

import anyio

from snekhouse.errors import JailError
from snekhouse.jail import protocol
from snekhouse.jail.cgroups import RunGroup
from snekhouse.jail.control import Hello, receive, receive_hello, send
from snekhouse.jail.diagnosis import diagnose
from snekhouse.jail.inputs import stdin_file
from snekhouse.jail.kit import Jail, Means
from snekhouse.jail.nsjail import Ending, NsJail, started, template_options
from snekhouse.jail.output import Drain, drains
from snekhouse.jail.profile import START_TIMEOUT, bootstrap_inside, writable
from snekhouse.registry.models import Runtime
from snekhouse.waiting import first

_PATIENCE = 5.0
"""Seconds that a template may take for what takes milliseconds, on a loaded host."""

_WORDS = 1 << 16
"""Bytes that modules which are imported ahead may print."""


class TemplateError(JailError):
    """A template did not do its part; what was to be run can be run another way."""


class Forked:
    """A run that a template forked.

    Attributes:
        control: The host's end of its control socket, non-blocking, with SO_PASSCRED set.
        group: Its group, with the limits of the runtime, which it has not joined yet; None on a host without.
    """

    def __init__(
        self, template: "Template", number: int, control: socket.socket, group: RunGroup | None, held: ExitStack
    ) -> None:
        self._template = template
        self._number = number
        self.group = group
        self._held = held
        self._over = anyio.Event()
        self._ending: Ending | None = None
        self.control = control

    async def meet(self) -> Hello:
        """Wait for the bootstrap's hello.

        Raises:
            TemplateError: It did not come.
        """
        try:
            with anyio.fail_after(_PATIENCE):
                return await receive_hello(self.control)
        except (JailError, TimeoutError) as error:
            raise self._template.failed(str(error) or "the template does not answer") from error

    async def ended(self) -> None:
        """Wait for the end of the program, which may close its streams before."""
        await self._over.wait()

    def started(self) -> None:
        """Take note that the program is about to start, and that nobody waits for the template."""
        self._template.fork_ahead()

    async def end(self) -> Ending:
        """Have all of the run dead, whatever it is doing; nothing interrupts that.

        Raises:
            TemplateError: The template is gone, and so is the run.
        """
        if not self._over.is_set():
            with anyio.CancelScope(shield=True):
                self.kill()
                with anyio.move_on_after(_PATIENCE):
                    await self._over.wait()
        if self._ending is None:
            raise self._template.failed("the template is gone")
        return self._ending

    def kill(self) -> None:
        """Have it ended, if it has not ended yet."""
        self._template.order(protocol.encode_kill(self._number))

    def set_ending(self, ending: Ending | None) -> None:
        """Take note of how it ended; None when that is lost with the template."""
        self._ending = ending
        self._over.set()

    def close(self) -> None:
        """Let go of what the run held: at once when it has ended, else when its template is gone."""
        if self._ending:
            self._held.close()
        else:
            self._template.remains.enter_context(self._held)


class Template:
    """A template that has started.

    Attributes:
        served: How many evaluations it has served.
        remains: What runs held that were lost with it.
    """

    def __init__(self, jail: NsJail, runtime: Runtime, means: Means, remains: ExitStack) -> None:
        self.remains = remains
        self._jail = jail
        self._limits, self._loopback = runtime.limits, runtime.loopback
        self._means = means
        self._numbers = count()
        self._runs: dict[int, Forked] = {}
        self._spare: Forked | None = None
        self._in_use = 0
        self._idle = anyio.Event()
        self._failure = anyio.Event()
        self.served = 0

    @asynccontextmanager
    async def forked(self) -> AsyncIterator[Forked]:
        """Hand out a run, and kill it at the end, however that comes.

        Raises:
            TemplateError: The template does not do its part; what the program did is lost.
            OSError: The host is out of descriptors or ids.
        """
        run, self._spare = self._spare or self._fork(), None
        self._in_use += 1
        self.served += 1
        try:
            yield run
        finally:
            try:
                await run.end()
            finally:
                run.close()
                self._in_use -= 1
                if not self._in_use:
                    self._idle.set()
                    self._idle = anyio.Event()

    def fork_ahead(self) -> None:
        """Have the next run forked, for the next evaluation; best done while there is nothing else to do."""
        if self._spare is None and not self._failure.is_set():
            with suppress(OSError, TemplateError):  # the next evaluation may have more luck
                self._spare = self._fork()

    async def idle(self) -> None:
        """Wait until none of its runs is in use."""
        while self._in_use:
            await self._idle.wait()

    async def listen(self) -> None:
        """Hear which runs have ended, until the template is gone or has failed; they are lost then."""
        await first(self._hear, self._failure.wait)
        self._failure.set()
        self.close()

    def failed(self, reason: str) -> TemplateError:
        """Have it replaced; return what to raise."""
        self._failure.set()
        return TemplateError(reason)

    def order(self, order: bytes, *descriptors: int) -> None:
        """Have the template do something.

        Raises:
            TemplateError: It is gone, or does not listen.
        """
        try:
            socket.send_fds(self._jail.control, [order], descriptors)
        except (BrokenPipeError, ConnectionResetError, BlockingIOError) as error:
            raise self.failed("the template does not take orders") from error

    async def try_out(self) -> None:
        """Fork a first run, to see whether it can be sealed.

        Raises:
            JailError: It cannot; the text says why.
        """
        run = self._fork()
        try:
            os.close((await run.meet()).home)
            run.kill()
            await self._hear_one()
        finally:
            run.close()
        self.fork_ahead()

    def close(self) -> None:
        """Give up all runs; they end with the template."""
        for run in self._runs.values():
            run.set_ending(None)
        if self._spare:
            self._spare.close()
            self._spare = None

    async def _hear(self) -> None:
        with suppress(JailError):
            while True:
                await self._hear_one()

    async def _hear_one(self) -> None:
        number, status, cpu_time = protocol.ENDED.unpack(await receive(self._jail.control, protocol.ENDED.size))
        code = os.waitstatus_to_exitcode(status)
        ending = Ending(
            code=code if code >= 0 else 128 - code, signal=-code if code < 0 else None, cpu_time=cpu_time / 1e6, log=""
        )
        self._runs.pop(number).set_ending(ending)

    def _fork(self) -> Forked:
        with ExitStack() as held:
            outside = held.enter_context(self._means.ids.lease())
            group = held.enter_context(self._means.group(self._limits, loopback=self._loopback))
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            held.enter_context(ours)
            with theirs:
                ours.setblocking(False)
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
                number = next(self._numbers)
                self.order(protocol.encode_fork(number, outside.inside), theirs.fileno())
            self._runs[number] = Forked(self, number, ours, group, held.pop_all())
            return self._runs[number]


@asynccontextmanager
async def opened(jail: Jail, means: Means) -> AsyncIterator[Template]:
    """Start a template of a runtime, see that it can fork, and end it and all its runs at the end.

    Args:
        jail: The runtime.
        means: What the server has for its runs.

    Raises:
        TemplateError: It does not start, or cannot seal runs; the text says why.
        OSError: The host is out of processes, descriptors or memory.
    """
    async with AsyncExitStack() as held:
        (words,) = held.enter_context(drains(_WORDS, apart=False))
        stdin = await held.enter_async_context(stdin_file(b""))
        command = (jail.runtime.executable, bootstrap_inside(jail.bootstrap), "fork")
        stdio = (stdin, words.writer, words.writer)
        options = template_options(jail.template.profile, means.ids)
        remains = held.enter_context(ExitStack())
        async with started(jail.nsjail, options, command, stdio) as process:
            words.close_writer()
            template = Template(process, jail.runtime, means, remains)
            try:
                with anyio.fail_after(START_TIMEOUT):
                    await _greet(process, jail)
                    await template.try_out()
            except (JailError, TimeoutError) as error:
                template.close()
                known = str(error) if isinstance(error, TemplateError) else await _reason(process, jail, words)
                raise TemplateError(f"its template did not start: {known}") from error
            try:
                yield template
            finally:
                template.close()


async def _greet(process: NsJail, jail: Jail) -> None:
    runtime = jail.runtime
    told = protocol.encode_template(jail.template.policy, writable(runtime), runtime.preload, loopback=runtime.loopback)
    await send(process.control, told)
    if await receive(process.control, len(protocol.TEMPLATE_HELLO)) != protocol.TEMPLATE_HELLO:
        raise JailError("it did not say hello")


async def _reason(process: NsJail, jail: Jail, words: Drain) -> str:
    """Tell why a template did not come up: what its interpreter said last, or NsJail."""
    ending = await process.end()
    said = await words.last_words()
    return said[-1] if said else diagnose(jail.runtime, ending, said)
