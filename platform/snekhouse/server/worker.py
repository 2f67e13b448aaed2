"""A process that serves, one of several or the only one, and its share of what the registry allows."""

import os
import signal
from dataclasses import dataclass

from pydantic import ByteSize

from snekhouse.host.cgroups.memory import memory_limit
from snekhouse.registry.models import Registry, Server

_MOST_IN_TRANSIT = 1 << 30
_IN_TRANSIT_PART = 4
"""Of the server's memory, if the registry does not say: fork servers and evaluations need the rest."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process, seen from inside.

    Attributes:
        number: From 0.
        lifeline: A descriptor that is readable when its supervisor is gone; None where it has none.
        supervisor: Process id of the supervisor; None where it has none.
    """

    number: int = 0
    lifeline: int | None = None
    supervisor: int | None = None

    def tell_others(self) -> None:
        """Have the other workers reload their registry as well."""
        if self.supervisor:
            os.kill(self.supervisor, signal.SIGHUP)

    def share(self, registry: Registry) -> Registry:
        """Work out what this worker serves: together the workers use what the registry allows."""
        return registry.model_copy(update={"server": self._share(registry.server)})

    def _share(self, server: Server) -> Server:
        in_transit = server.max_in_transit or min(_MOST_IN_TRANSIT, memory_limit() // _IN_TRANSIT_PART)
        if server.workers == 1:
            return server.model_copy(update={"max_in_transit": ByteSize(in_transit)})
        return server.model_copy(
            update={
                "concurrency": self._part(server.places, server.workers),
                "queue": self._part(server.queue, server.workers),
                "connections": max(1, self._part(server.connections, server.workers)),
                "max_in_transit": ByteSize(in_transit // server.workers),
            }
        )

    def _part(self, whole: int, parts: int) -> int:
        return whole // parts + (self.number < whole % parts)
