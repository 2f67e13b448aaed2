"""A process that serves, one of several or the only one, and its share of what the registry allows."""

from dataclasses import dataclass

from snekhouse.registry.models import Registry, Server


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

    def part(self, registry: Registry) -> Registry:
        """Work out what it serves: together workers use what the registry allows, and no id twice."""
        server = registry.server
        return registry if server.workers == 1 else registry.model_copy(update={"server": self.share(server)})

    def share(self, server: Server) -> Server:
        """Work out its share of what all may use."""
        first, last = server.uids
        each = (last - first + 1) // server.workers
        return server.model_copy(
            update={
                "concurrency": self._part(server.places, server.workers),
                "queue": self._part(server.queue, server.workers),
                "max_in_transit": server.max_in_transit // server.workers,
                "uids": (first + self.number * each, first + (self.number + 1) * each - 1),
            }
        )

    def _part(self, whole: int, parts: int) -> int:
        return whole // parts + (self.number < whole % parts)
