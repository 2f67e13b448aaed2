"""The state of a runtime on this host: its preparation, and why it is unavailable."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import anyio

from snekhouse.jail.prepared import PreparedRuntime
from snekhouse.jail.probe import Probe
from snekhouse.packages.site import Package, installed, site_on_host
from snekhouse.registry.models import Runtime
from snekhouse.service.starting import Starter
from snekhouse.service.supervisor import ForkServerSupervisor
from snekhouse.shortening import MESSAGE_SIZE, shortened


class Preparation:
    """The profiles, the probe and the fork server of a runtime. A reload keeps them if the runtime renders as before.

    Attributes:
        rendered: Everything that the preparation was made from. A reload compares it.
        folder: The folder of its files.
        probe: The probe's answer; None if the runtime is unavailable.
        reason: Why the runtime is unavailable; empty if it is available.
        starter: Starts its evaluations.
        last_error: The last internal error of the runtime; empty if there was none.
        retired: Set once another preparation has replaced it.
    """

    def __init__(
        self, rendered: object, folder: Path, probe: Probe | None, starter: Starter, *, reason: str = ""
    ) -> None:
        self.rendered = rendered
        self.folder = folder
        self.probe = probe
        self.reason = shortened(reason, MESSAGE_SIZE)
        self.starter = starter
        self.last_error = self.reason
        self._users = 0
        self.retired = anyio.Event()
        self._unused = anyio.Event()

    @contextmanager
    def used(self) -> Iterator[None]:
        """Keep its files and its fork server while the body runs."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._check_unused()

    def retire(self) -> None:
        """Mark the preparation as replaced; it is removed once no evaluation uses it."""
        self.retired.set()
        self._check_unused()

    async def unused(self) -> None:
        """Wait until the preparation is retired and no evaluation uses it."""
        await self._unused.wait()

    def _check_unused(self) -> None:
        if self.retired.is_set() and not self._users:
            self._unused.set()


@dataclass(frozen=True)
class RuntimeState:
    """A runtime of the registry, and its state.

    Attributes:
        prepared: The runtime with its rendered profile.
        preparation: Its preparation, which other states may share.
    """

    prepared: PreparedRuntime
    preparation: Preparation

    @property
    def runtime(self) -> Runtime:
        """The runtime, as the registry has it."""
        return self.prepared.runtime

    @property
    def probe(self) -> Probe | None:
        """The probe's answer; None if the runtime is unavailable."""
        return self.preparation.probe

    @property
    def reason(self) -> str:
        """Why the runtime is unavailable; empty if it is available."""
        return self.preparation.reason

    @property
    def supervisor(self) -> ForkServerSupervisor | None:
        """The supervisor of its fork server; None if evaluations start cold."""
        return self.preparation.starter.supervisor

    @property
    def cold_reason(self) -> str:
        """Why evaluations start cold although the registry has `start = "fork"`; else empty."""
        return self.supervisor.reason if self.supervisor else ""

    def packages(self) -> tuple[Package, ...]:
        """List the third-party packages that its programs can import now; this reads the disk."""
        return installed(self._site) if self.probe and self._site else ()

    @cached_property
    def _site(self) -> Path | None:
        """The folder of these packages (slow to find); None if the runtime is unavailable or has no such folder."""
        return site_on_host(self.runtime, self.probe.user_site) if self.probe else None
