"""The change from the runtimes of one registry to those of the next: what it waits for, and why it is refused."""

import logging
from collections.abc import Mapping

from snekhouse.errors import Problem, RegistryError
from snekhouse.host.ids import HostIdPool
from snekhouse.registry.cross_check import ids_needed
from snekhouse.registry.models import Registry
from snekhouse.service.runtime_state import RuntimeState

_log = logging.getLogger(__package__)


async def wait_for_fork_servers(runtimes: Mapping[str, RuntimeState]) -> None:
    """Wait until the first fork server of each runtime has started, or has failed to start."""
    for state in runtimes.values():
        if state.supervisor:
            await state.supervisor.attempted.wait()


def report_unavailable(runtimes: Mapping[str, RuntimeState], before: Mapping[str, RuntimeState]) -> None:
    """Log why runtimes cannot evaluate, unless the same was logged before."""
    for name, state in runtimes.items():
        if not state.probe and (name not in before or state.reason != before[name].reason):
            _log.error("runtime %s is unavailable: %s", name, state.reason)


def retire(old: Mapping[str, RuntimeState], new: Mapping[str, RuntimeState]) -> None:
    """Retire preparations that are no longer in use."""
    in_use = {state.preparation for state in new.values()}
    for state in old.values():
        if state.preparation not in in_use:
            state.preparation.retire()


def require_ids(registry: Registry, ids: HostIdPool) -> None:
    """Check that the server reserved enough host ids at its start.

    Raises:
        RegistryError: There are too few.
    """
    needed = ids_needed(registry.server.slots, 1, len(registry.runtimes), registry.server.sessions)
    if ids.count < needed and not ids.shared:
        message = f"the server reserved {ids.count} of these ids at its start; this registry needs {needed}"
        raise RegistryError([Problem(registry.source, "server.uids", message, "restart the server")])


def require_available(
    registry: Registry, before: Mapping[str, RuntimeState], runtimes: Mapping[str, RuntimeState]
) -> None:
    """Check that every runtime that was available still is, and that those with a fork server still get one.

    Raises:
        RegistryError: A runtime became unavailable, or its new fork server did not start.
    """
    problems = []
    for name, state in runtimes.items():
        key = f'runtimes."{name}"'
        if name not in before or state.preparation is before[name].preparation:
            continue
        if before[name].probe and not state.probe:
            reason, remedy = f"cannot evaluate: {state.reason}", "correct that, or remove the runtime"
            problems.append(Problem(registry.source, key, reason, remedy))
        elif _is_up(before[name]) and state.supervisor and not _is_up(state):
            reason, remedy = f"would start cold: {state.cold_reason}", 'correct it, or write start = "cold"'
            problems.append(Problem(registry.source, key, reason, remedy))
    if problems:
        raise RegistryError(problems)


def _is_up(state: RuntimeState) -> bool:
    return state.supervisor is not None and state.supervisor.is_up
