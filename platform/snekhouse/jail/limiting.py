"""The limits of a guest, set from outside before its program starts."""

import os
import resource
from contextlib import AsyncExitStack, suppress

from snekhouse.host.cgroups import RunGroup
from snekhouse.host.memory_watch import HAS_PROC_CHILDREN, MemoryWatch
from snekhouse.profile.tmpfs import writable
from snekhouse.registry.models import Limits, Runtime


def limit_guest(
    pid: int, group: RunGroup | None, limits: Limits, runtime: Runtime, held: AsyncExitStack
) -> MemoryWatch | None:
    """Limit a guest, and all processes that it starts later.

    Args:
        pid: Its process id on the host.
        group: Its cgroup; None on a host without cgroups.
        limits: Its limits.
        runtime: Its runtime.
        held: Holds what is acquired until the guest has ended.

    Returns:
        What watches its memory; None if a cgroup limits it, or if this host cannot watch.

    Raises:
        OSError: The guest is gone, or the group refuses it.
    """
    if group:
        group.add(pid)
    _lower_limit(pid, resource.RLIMIT_SIGPENDING, _SIGPENDING_LIMIT)
    _lower_limit(pid, resource.RLIMIT_NOFILE, limits.open_files)
    limited = group.walls if group else frozenset[str]()
    if "pids" not in limited:
        _lower_limit(pid, resource.RLIMIT_NPROC, limits.processes)
    if not HAS_PROC_CHILDREN or "memory" in limited:
        return None
    return MemoryWatch(pid, tuple(_open(pid, place.target, held) for place in writable(runtime)), int(limits.memory))


_SIGPENDING_LIMIT = 256
"""Signals that may be queued for all processes of a run, timers included. NsJail has no option for this limit."""


def _open(pid: int, target: str, held: AsyncExitStack) -> int:
    """Open a folder as the guest sees it."""
    folder = os.open(f"/proc/{pid}/root{target}", os.O_PATH | os.O_CLOEXEC)
    held.callback(os.close, folder)
    return folder


def _lower_limit(pid: int, kind: int, limit: int) -> None:
    """Lower a limit of a process (setrlimit(2)), unless the process has ended."""
    with suppress(ProcessLookupError):
        _, hard = resource.prlimit(pid, kind)
        lower = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.prlimit(pid, kind, (lower, lower))
