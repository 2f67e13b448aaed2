"""A worker process, and its share of the registry's limits."""

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ByteSize

from snekhouse.host.cgroups.capacity import memory_limit
from snekhouse.host.per_worker_number import PerWorkerNumber
from snekhouse.registry.models import Registry

_MAX_IN_TRANSIT = 1 << 30
_IN_TRANSIT_DIVISOR = 4
"""The default of `max_in_transit` is the server's memory divided by this; fork servers and runs need the rest."""


@dataclass(frozen=True, slots=True)
class Worker:
    """This worker process.

    Attributes:
        number: Its number, from 0.
        lifeline: A descriptor that becomes readable when the supervisor dies; None if there is no supervisor.
        supervisor: Process id of the supervisor; None if there is no supervisor.
        load: For each worker, its open connections divided by its slots.
        waiting: Evaluations of each worker that wait for a slot.
        room: How many more sessions each worker may have.
        folder: The folder that the workers share; None if there is only one worker.
        is_replacement: Whether it replaces a worker; the registry may have changed since the server started.
    """

    number: int = 0
    lifeline: int | None = None
    supervisor: int | None = None
    load: PerWorkerNumber = field(default_factory=PerWorkerNumber)
    waiting: PerWorkerNumber = field(default_factory=PerWorkerNumber)
    room: PerWorkerNumber = field(default_factory=PerWorkerNumber)
    folder: Path | None = None
    is_replacement: bool = False

    def share(self, registry: Registry) -> Registry:
        """Return the registry with this worker's share of each limit that is divided; `queue` is not."""
        server = registry.server
        in_transit = server.max_in_transit or min(_MAX_IN_TRANSIT, memory_limit() // _IN_TRANSIT_DIVISOR)
        shares = {
            "concurrency": max(1, self._part(server.slots, server.workers)),  # a reload may lower it; 0 means all CPUs
            "connections": max(1, self._part(server.connections, server.workers)),
            "max_in_transit": ByteSize(in_transit // server.workers),
            "sessions": self._part(server.sessions, server.workers),
        }
        if server.session_memory is not None:
            shares["session_memory"] = ByteSize(server.session_memory // server.workers)
        return registry.model_copy(update={"server": server.model_copy(update=shares)})

    def _part(self, whole: int, parts: int) -> int:
        return whole // parts + (self.number < whole % parts)
