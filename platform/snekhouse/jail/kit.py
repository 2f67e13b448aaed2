"""What a run is made with."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from snekhouse.jail.cgroups import Cgroups, RunGroup
from snekhouse.jail.evaluation import Enforcement, Enforcer
from snekhouse.jail.identity import OutsideIds
from snekhouse.jail.watching import CAN_WATCH
from snekhouse.registry.models import Limits, Runtime


@dataclass(frozen=True, slots=True)
class TemplateProfile:
    """What templates of a runtime are started with.

    Attributes:
        profile: Their rendered NsJail configuration.
        policy: The filter with which runs that they fork seal themselves (``struct sock_filter[]``).
    """

    profile: Path
    policy: bytes


@dataclass(frozen=True, slots=True)
class Jail:
    """A runtime made ready to run.

    Attributes:
        runtime: What the registry says of it.
        profile: Its rendered NsJail configuration.
        bootstrap: The bootstrap that it mounts: source or bytecode.
        nsjail: The NsJail binary.
        template: The same for its templates.
    """

    runtime: Runtime
    profile: Path
    bootstrap: Path
    nsjail: Path
    template: TemplateProfile


@dataclass(frozen=True, slots=True)
class Means:
    """What a server has for its runs.

    Attributes:
        cgroups: Where each gets a group; None on a host without.
        ids: Who each is on the host.
    """

    cgroups: Cgroups | None
    ids: OutsideIds

    @property
    def enforcement(self) -> Enforcement:
        """Who keeps runs to their limits."""
        walls = self.cgroups.walls if self.cgroups else frozenset[str]()
        watched = Enforcer.SERVER if CAN_WATCH else None
        return Enforcement(
            memory=Enforcer.KERNEL if "memory" in walls else watched, cpus=Enforcer.KERNEL if "cpu" in walls else None
        )

    @contextmanager
    def group(self, limits: Limits, *, loopback: bool) -> Iterator[RunGroup | None]:
        """Make a group for one run, where the host has cgroups.

        Args:
            limits: Of the run.
            loopback: Whether it has an interface over which it can fill the buffers of sockets.
        """
        with self.cgroups.run(limits) if self.cgroups else nullcontext() as group:
            if group and loopback:
                group.limit_sockets(limits.memory // _SOCKET_SHARE)
            yield group


_SOCKET_SHARE = 4
"""Part of the memory that buffers of sockets may have besides, where they do not count as memory: one in so many."""
