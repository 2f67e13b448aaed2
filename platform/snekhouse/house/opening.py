"""How a house opens: the host is surveyed, and every runtime made ready."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager

from snekhouse.errors import HostError
from snekhouse.house.house import House
from snekhouse.house.installing import installer
from snekhouse.house.metrics import Metrics
from snekhouse.jail.cgroups import Cgroups
from snekhouse.jail.cgroups.groups import Layout, server_group
from snekhouse.jail.host import survey_for
from snekhouse.jail.kit import Means
from snekhouse.jail.state import state_folder
from snekhouse.registry.models import Registry

_log = logging.getLogger(__package__)


@asynccontextmanager
async def open_house(registry: Registry) -> AsyncIterator[House]:
    """Make every runtime of a registry ready, and hold what they need until the end.

    Raises:
        HostError: The host lacks a wall, and the registry does not allow it to.
    """
    host = survey_for(registry)
    if not registry.server.allow_degraded:
        host.require_walls()
    for wall in host.missing_walls():
        _log.warning("degraded: %s: %s", wall.name, wall.detail)
    layout = host.cgroups.layout
    with ExitStack() as held:
        state = held.enter_context(state_folder(registry.server.state_path, layout))
        cgroups = held.enter_context(_claimed(layout, state.name)) if layout else None
        means = Means(cgroups, host.ids)
        metrics = Metrics()
        async with installer(host, state, means, metrics) as making:
            runtimes = await making.make_ready(registry)
            yield House(registry, runtimes, means, making, metrics)


@contextmanager
def _claimed(layout: Layout, name: str) -> Iterator[Cgroups]:
    with ExitStack() as held:
        try:
            cgroups = held.enter_context(server_group(layout, name))
        except OSError as error:
            raise HostError(f"the kernel refuses the server's cgroup: {error}") from error
        yield cgroups
