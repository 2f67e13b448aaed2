"""Fork servers: an interpreter that runs in a jail and forks the guest of each evaluation."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from socket import socket

import anyio

from snekhouse.errors import JailError
from snekhouse.jail import protocol
from snekhouse.jail.channel import opened_channel
from snekhouse.jail.diagnosis import diagnose
from snekhouse.jail.generation import ForkServerError, Generation
from snekhouse.jail.inputs import stdin_file
from snekhouse.jail.nsjail import NsJail, fork_server_options, started
from snekhouse.jail.prepared import PreparedRuntime
from snekhouse.jail.resources import RunResources
from snekhouse.jail.streams import Drain, output_streams
from snekhouse.profile.rendering import START_TIMEOUT_S, bootstrap_inside
from snekhouse.profile.tmpfs import writable
from snekhouse.waiting import first

_log = logging.getLogger(__package__)

_OUTPUT_LIMIT = 1 << 16
"""Bytes that preloaded modules may print."""


class ForkServer:
    """A running fork server, and its second generation as soon as this generation has set modules aside.

    The second generation begins when the first evaluation comes that probably imports modules; until then, it takes no
    memory. Each process that it forks takes longer to fork, but a program that imports modules saves much more time.

    Attributes:
        plain: Forks evaluations that probably import nothing, and all of them while the second generation is not up.
    """

    def __init__(self, name: str, plain: Generation, second: Generation, second_end: socket) -> None:
        """Take over both generations.

        Args:
            name: The runtime's, for the log.
            plain: The fork server.
            second: Its second generation, which has not begun.
            second_end: The second generation's end of its control socket.
        """
        self._name, self.plain = name, plain
        self._second, self._second_end = second, second_end
        self._is_second_wanted = anyio.Event()
        self._is_second_up = False

    @property
    def served(self) -> int:
        """How many evaluations it has served."""
        return self.plain.served + self._second.served

    def generation(self, *, imports: bool) -> Generation:
        """Return the generation that forks an evaluation; `imports` is whether its program probably imports modules."""
        if imports:
            self._is_second_wanted.set()
        return self._second if imports and self._is_second_up else self.plain

    async def idle(self) -> None:
        """Wait until no fork is in use."""
        await self.plain.idle()
        await self._second.idle()

    async def listen(self) -> None:
        """Receive reports of ended forks, and run the second generation once it is wanted.

        Return when one of the two processes fails or is gone. The remaining forks are then lost.
        """
        await first(self.plain.listen, self._run_second)
        self.close()

    def close(self) -> None:
        """Mark all forks as ended; their processes end with the fork server."""
        self._is_second_up = False
        self.plain.close()
        self._second.close()

    async def _run_second(self) -> None:
        """Run the second generation once it is wanted; if it does not start, `plain` forks all evaluations."""
        await self._is_second_wanted.wait()
        try:
            with self._second_end as control:
                self.plain.begin_second(control.fileno())
            with anyio.fail_after(START_TIMEOUT_S):
                await self._second.start()
        except (JailError, TimeoutError, OSError) as error:
            reason = str(error) or "the second generation does not answer"
            _log.warning("runtime %s: no modules are set aside: %s", self._name, reason)
            await anyio.sleep_forever()
        self._is_second_up = True
        await self._second.listen()


@asynccontextmanager
async def started_fork_server(prepared: PreparedRuntime, resources: RunResources) -> AsyncIterator[ForkServer]:
    """Start a fork server of a runtime, and check that it can fork; kill it and all its forks on leaving.

    Args:
        prepared: The runtime.
        resources: The server's cgroups and host ids.

    Raises:
        ForkServerError: It does not start, or cannot seal runs; the text says why.
        OSError: The host is out of processes, descriptors or memory.
    """
    async with AsyncExitStack() as held:
        (output,) = held.enter_context(output_streams(_OUTPUT_LIMIT, apart=False))
        stdin = await held.enter_async_context(stdin_file(b""))
        command = (prepared.runtime.executable, bootstrap_inside(prepared.bootstrap), "fork")
        stdio = (stdin, output.writer, output.writer)
        options = fork_server_options(prepared.fork_server_profile, resources.ids)
        lost_forks = held.enter_context(ExitStack())
        async with started(prepared.nsjail, options, command, stdio) as process:
            output.close_writer()
            channel, other = held.enter_context(opened_channel())
            plain, second = (
                Generation(each, prepared.runtime, resources, lost_forks) for each in (process.channel, channel)
            )
            fork_server = ForkServer(prepared.runtime.name, plain, second, other)
            try:
                with anyio.fail_after(START_TIMEOUT_S):
                    await _configure(process, prepared)
                    await plain.start()
            except (JailError, TimeoutError) as error:
                fork_server.close()
                reason = str(error) if isinstance(error, ForkServerError) else await _reason(process, prepared, output)
                raise ForkServerError(f"the fork server did not start: {reason}") from error
            try:
                yield fork_server
            finally:
                fork_server.close()


async def _configure(process: NsJail, prepared: PreparedRuntime) -> None:
    """Send the settings."""
    runtime = prepared.runtime
    settings = protocol.encode_fork_server(
        prepared.policy, writable(runtime), runtime.preload, loopback=runtime.loopback
    )
    await process.channel.send(settings)


async def _reason(process: NsJail, prepared: PreparedRuntime, output: Drain) -> str:
    """Return why a fork server did not start: the last line that its interpreter printed, or what NsJail logged."""
    guest_exit = await process.end()
    lines = await output.last_lines()
    return lines[-1] if lines else diagnose(prepared.runtime, guest_exit, lines)
