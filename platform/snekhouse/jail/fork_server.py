"""Fork servers: an interpreter that runs in a jail and forks the guest of each evaluation."""

import logging
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from functools import partial

import anyio

from snekhouse.errors import JailError
from snekhouse.jail import protocol
from snekhouse.jail.diagnosis import diagnose
from snekhouse.jail.forks import LostForks
from snekhouse.jail.generation import ForkServerError, Generation
from snekhouse.jail.import_counts import ImportCounts
from snekhouse.jail.inputs import stdin_file
from snekhouse.jail.nsjail import NsJail, fork_server_options, started
from snekhouse.jail.package_generations import PackageGenerations
from snekhouse.jail.prepared import PreparedRuntime
from snekhouse.jail.resources import RunResources
from snekhouse.jail.streams import OutputStream, output_streams
from snekhouse.profile.rendering import START_TIMEOUT_S, bootstrap_inside
from snekhouse.profile.tmpfs import writable
from snekhouse.waiting import first

_log = logging.getLogger(__package__)

_OUTPUT_LIMIT = 1 << 16
"""Bytes that preloaded modules may print."""


class ForkServer:
    """A running fork server, and the other generations once they have set modules aside.

    The second generation sets modules of the standard library aside. It begins when the first evaluation comes that
    probably imports modules; until then, it takes no memory. Each process that it forks takes longer to fork, but a
    program that imports modules saves much more time. The second generation forks a third one, which also sets aside
    modules of packages that programs import. When there are more such modules, a new third generation replaces it.

    Attributes:
        served: How many evaluations it has served.
    """

    def __init__(self, name: str, plain: Generation, import_counts: ImportCounts | None) -> None:
        """Take over a fork server.

        Args:
            name: The runtime's, for the log.
            plain: The fork server itself. It forks evaluations that probably import nothing, and all evaluations until
                another generation is up.
            import_counts: The modules that programs import from packages; None to set none of them aside.
        """
        self._name, self._plain, self._import_counts = name, plain, import_counts
        self._library: Generation | None = None
        self._packages: PackageGenerations | None = None
        self._imports_seen = anyio.Event()
        self.served = 0

    @property
    def packages(self) -> Generation | None:
        """The generation that has set modules of packages aside, if there is one."""
        return self._packages.current if self._packages else None

    def generation_for(self, imports: Collection[str] | None) -> Generation:
        """Choose the generation that forks an evaluation.

        Args:
            imports: The modules that its program probably imports; None if it probably imports nothing.
        """
        self.served += 1
        if imports is None:
            return self._plain
        self._imports_seen.set()
        with_packages = self._packages.generation_for(imports) if self._packages else None
        return with_packages or self._library or self._plain

    async def retire(self) -> None:
        """End the spare forks, and wait until no fork is in use. A session may use a fork until `session_age`."""
        with suppress(ForkServerError):  # the fork server is gone, and `listen` returns
            for generation in self._generations():
                await generation.end_spare()
        while busy := next((each for each in self._generations() if each.in_use), None):
            await busy.idle()

    async def listen(self) -> None:
        """Receive reports of ended forks, and run the other generations.

        Return when one of the processes fails or is gone. The remaining forks are then lost.
        """
        await first(self._plain.listen, self._run_library)
        self.close()

    def close(self) -> None:
        """Mark all forks as ended; their processes end with the fork server."""
        for generation in self._generations():
            generation.close()
        self._library = self._packages = None

    def _generations(self) -> list[Generation]:
        library = [self._library] if self._library else []
        return [self._plain, *library, *(self._packages.alive if self._packages else ())]

    async def _run_library(self) -> None:
        """Run the second generation once it is wanted; if it does not start, `plain` forks all evaluations."""
        await self._imports_seen.wait()
        async with AsyncExitStack() as held:
            try:
                self._library = await held.enter_async_context(self._plain.next())
            except (JailError, TimeoutError, OSError) as error:
                reason = str(error) or "the second generation does not answer"
                _log.warning("runtime %s: no modules are set aside: %s", self._name, reason)
                await anyio.sleep_forever()
                raise
            await first(self._library.listen, partial(self._run_packages, self._library))

    async def _run_packages(self, library: Generation) -> None:
        """Run the third generation; return if it is lost."""
        if not self._import_counts:
            await anyio.sleep_forever()
            return
        self._packages = PackageGenerations(self._name, library, self._import_counts)
        await self._packages.run()


@asynccontextmanager
async def started_fork_server(
    prepared: PreparedRuntime, resources: RunResources, import_counts: ImportCounts | None
) -> AsyncIterator[ForkServer]:
    """Start a fork server of a runtime, and check that it can fork; kill it and all its forks on leaving.

    Args:
        prepared: The runtime.
        resources: The server's cgroups and host ids.
        import_counts: The modules that programs import from packages; None to set none of them aside.

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
        lost_forks = held.enter_context(closing(LostForks()))
        async with started(prepared.nsjail, options, command, stdio) as process:
            output.close_writer()
            plain = Generation(process.channel, prepared.runtime, resources, lost_forks)
            fork_server = ForkServer(prepared.runtime.name, plain, import_counts)
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
        prepared.policy, writable(runtime), runtime.preloaded, loopback=runtime.loopback
    )
    await process.channel.send(settings)


async def _reason(process: NsJail, prepared: PreparedRuntime, output: OutputStream) -> str:
    """Return why a fork server did not start: the last line that its interpreter printed, or what NsJail logged."""
    guest_exit = await process.end()
    lines = await output.last_lines()
    return lines[-1] if lines else diagnose(prepared.runtime, guest_exit, lines)
