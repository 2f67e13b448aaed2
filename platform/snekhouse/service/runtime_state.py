"""The state of a runtime on this host: what it was prepared into, whether it is available, and why not."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import anyio

from snekhouse.jail.prepared import PreparedRuntime
from snekhouse.jail.probe import Probe
from snekhouse.packages import Package, installed, site_on_host
from snekhouse.registry.models import Runtime
from snekhouse.service.starting import Starter
from snekhouse.service.supervisor import ForkServerSupervisor
from snekhouse.shortening import MESSAGE_SIZE, shortened


class Preparation:
    """A runtime's profiles, its probe and its fork server; what renders alike shares one, over any reloads.

    Attributes:
        rendered: All that it was made from, to compare by.
        folder: Its files.
        probe: What the runtime said of itself; None when it is unavailable.
        reason: Why it is unavailable; empty when it is not.
        starter: Starts its evaluations.
        last_error: The last internal error in it; empty when there was none.
    """

    def __init__(
        self,
        rendered: object,
        folder: Path,
        probe: Probe | None,
        starter: Starter,
        *,
        reason: str = "",
    ) -> None:
        self.rendered = rendered
        self.folder = folder
        self.probe = probe
        self.reason = shortened(reason, MESSAGE_SIZE)
        self.starter = starter
        self.last_error = self.reason
        self._users = 0
        self._is_retired = False
        self._over = anyio.Event()

    @contextmanager
    def used(self) -> Iterator[None]:
        """Keep it from going meanwhile."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._look()

    def retire(self) -> None:
        """Let it go once nobody uses it."""
        self._is_retired = True
        self._look()

    async def over(self) -> None:
        """Wait until it is retired and nobody uses it."""
        await self._over.wait()

    def _look(self) -> None:
        if self._is_retired and not self._users:
            self._over.set()


@dataclass(frozen=True)
class RuntimeState:
    """A runtime of the registry, and how it stands.

    Attributes:
        prepared: The runtime with its rendered profile.
        preparation: What it was made into.
    """

    prepared: PreparedRuntime
    preparation: Preparation

    @property
    def runtime(self) -> Runtime:
        """What the registry says of it."""
        return self.prepared.runtime

    @property
    def probe(self) -> Probe | None:
        """What it said of itself; None when it is unavailable."""
        return self.preparation.probe

    @property
    def reason(self) -> str:
        """Why it is unavailable; empty when it is not."""
        return self.preparation.reason

    @property
    def supervisor(self) -> ForkServerSupervisor | None:
        """What keeps a fork server of it; None where evaluations start cold."""
        return self.preparation.starter.supervisor

    @property
    def cold_reason(self) -> str:
        """Why evaluations start cold where the registry says that they fork; else empty."""
        return self.supervisor.reason if self.supervisor else ""

    def packages(self) -> tuple[Package, ...]:
        """List the third-party packages that its programs can import now; looks at the disk."""
        return installed(self._site) if self.probe and self._site else ()

    @cached_property
    def _site(self) -> Path | None:
        """Where they lie, which takes longer to work out than to look at; asked for once it has been probed."""
        return site_on_host(self.runtime, self.probe.user_site) if self.probe else None
