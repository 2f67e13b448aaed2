"""The start of a service: survey the host, and prepare every runtime."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager

from snekhouse.errors import InterpreterError
from snekhouse.host.cgroups.groups import server_group
from snekhouse.host.ids import HostIdPool, reserved_ids
from snekhouse.host.per_worker_number import PerWorkerNumber
from snekhouse.host.state import state_folder
from snekhouse.host.survey import survey_for
from snekhouse.jail.resources import RunResources
from snekhouse.registry.cross_check import ids_needed
from snekhouse.registry.hints import hints
from snekhouse.registry.models import Registry
from snekhouse.service.admission import Admission
from snekhouse.service.metrics import Metrics
from snekhouse.service.preparing import started_preparer
from snekhouse.service.replacing import report_unavailable
from snekhouse.service.service import Service

_log = logging.getLogger(__package__)


@asynccontextmanager
async def open_service(
    registry: Registry, *, require_runtime: bool = True, waiting: PerWorkerNumber | None = None
) -> AsyncIterator[Service]:
    """Prepare every runtime of a registry, and release everything on leaving.

    Args:
        registry: What to serve.
        require_runtime: Whether at least one runtime must be available.
        waiting: Evaluations of each worker that wait for a slot; None if this is the only worker.

    Raises:
        HostError: The host lacks a wall, and the registry does not allow that.
        InterpreterError: No runtime is available.
    """
    host = survey_for(registry)
    if not registry.server.allow_degraded:
        host.require_walls()
    if missing := host.missing_walls():
        names = ", ".join(wall.name for wall in missing)
        _log.warning("degraded: missing walls: %s; `snekhouse doctor` says why, and how to get them", names)
    for wall in missing:
        _log.info("missing wall: %s: %s", wall.name, wall.detail)
    for hint in hints(registry):
        _log.warning("registry: %s", hint)
    layout = host.cgroups.layout
    with ExitStack() as held:
        state = held.enter_context(state_folder(registry.server.state_path, layout))
        cgroups = held.enter_context(server_group(layout, state.name)) if layout else None
        resources = RunResources(cgroups, host.ids if host.ids.shared else held.enter_context(_own_ids(registry)))
        metrics = Metrics()
        async with started_preparer(host, state, resources, metrics) as preparer:
            runtimes = await preparer.prepare(registry)
            report_unavailable(runtimes, {})
            if require_runtime and not any(runtime.probe for runtime in runtimes.values()):
                raise InterpreterError(_no_runtime(registry.source))
            admission = Admission(registry.server.slots, registry.server.queue, waiting)
            yield Service(registry, runtimes, resources, preparer, metrics=metrics, admission=admission)


def _no_runtime(source: str) -> str:
    return (
        f"no runtime of {source} is available; the messages above say why. Correct the file, or write a registry of "
        "this machine's interpreters with `snekhouse runtimes discover` and name it with --registry"
    )


_SPARE_IDS = 32
"""Additional ids that a server reserves, for runtimes and slots that a reload may add."""


@contextmanager
def _own_ids(registry: Registry) -> Iterator[HostIdPool]:
    """Reserve host ids that no other server has; each worker reserves at most its part of the range."""
    first, last = registry.server.uids
    needed = ids_needed(registry.server.slots, 1, len(registry.runtimes), registry.server.sessions)
    wanted = min(needed + _SPARE_IDS, (last - first + 1) // registry.server.workers)
    with reserved_ids((first, last), needed=needed, wanted=wanted) as own:
        yield HostIdPool.of(own)
