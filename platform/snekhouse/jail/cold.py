"""Cold starts: each evaluation starts an interpreter in a new jail."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from snekhouse.host.cgroups import RunGroup
from snekhouse.jail.channel import Channel, Hello
from snekhouse.jail.inputs import Request
from snekhouse.jail.nsjail import NsJail, options, started
from snekhouse.jail.prepared import PreparedRuntime
from snekhouse.jail.protocol import Refusal, Stamp
from snekhouse.jail.resources import RunResources
from snekhouse.jail.start import GuestExit, Stdio
from snekhouse.profile.rendering import bootstrap_inside
from snekhouse.registry.models import Limits


@dataclass(frozen=True, slots=True)
class ColdGuest:
    """A guest that NsJail started.

    Attributes:
        process: The NsJail process.
        group: See `Guest`.
    """

    process: NsJail
    group: RunGroup | None

    @property
    def channel(self) -> Channel:
        """See `Guest`."""
        return self.process.channel

    async def hello(self) -> Hello:
        """See `Guest`."""
        return await self.process.channel.receive_hello()

    async def request(self, request: Request) -> tuple[Stamp, ...] | Refusal:
        """See `Guest`."""
        await self.process.channel.send_request(request, (), self.group.task_files if self.group else ())
        return await self.process.channel.receive_report(len(request.files))

    async def ended(self) -> None:
        """See `Guest`."""
        await self.process.ended()

    async def end(self) -> GuestExit:
        """See `Guest`."""
        return await self.process.end()


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Starts a jail for each evaluation.

    Attributes:
        resources: The server's cgroups and host ids.
        backstop_s: Seconds after which NsJail ends the jail, if the server is gone; None for the profile's.
    """

    resources: RunResources
    backstop_s: int | None = None

    def lasting(self, seconds: int) -> "ColdStart":
        """Return a cold start whose jails NsJail ends after `seconds`."""
        return replace(self, backstop_s=seconds)

    @asynccontextmanager
    async def guest(self, prepared: PreparedRuntime, limits: Limits, stdio: Stdio) -> AsyncIterator[ColdGuest]:
        """See `Start`."""
        runtime = prepared.runtime
        command = (runtime.executable, bootstrap_inside(prepared.bootstrap))
        with ExitStack() as held, self.resources.ids.lease() as host_ids:
            given = options(prepared.profile, host_ids, self.backstop_s)
            async with started(prepared.nsjail, given, command, stdio) as process:
                # The cgroup is made while the interpreter starts, and removed after NsJail has ended.
                group = held.enter_context(self.resources.group(limits, loopback=runtime.loopback))
                yield ColdGuest(process, group)
