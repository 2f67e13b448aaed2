"""Advice on whether a registry's concurrency fits the CPUs and the memory that the server may use."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import ByteSize

from snekhouse.registry.models import Registry, Runtime
from snekhouse.registry.user_base import user_base
from snekhouse.registry.values import AUTO

_FORK_SERVER_SIZE = 38 << 20
"""Bytes of a fork server, its second generation, NsJail and two spare forks.

A little more than measured (docs/explanation/performance.md).
"""

_SERVER_SIZE = 90 << 20
"""Bytes of one worker process, from the same measurement."""


def advice(registry: Registry, cpus: float, memory: int) -> Iterator[str]:
    """Compare concurrency with CPUs and memory, and name a remedy for what does not fit.

    Args:
        registry: The registry to serve.
        cpus: CPUs that the server may keep busy.
        memory: Bytes that the server and its runs may use.
    """
    slots = registry.server.slots
    wall_time = max(runtime.limits.wall_time for runtime in registry.runtimes.values())
    yield (
        f"concurrency: {slots} evaluations at once on {cpus:g} CPUs; a program that only waits also takes a slot, "
        f"for at most {wall_time:g} s"
    )
    if slots > max(1, cpus):
        yield (
            f"concurrency: {slots} is more than {cpus:g} CPUs; programs that compute take longer and exceed "
            f"wall_time more often; write concurrency = {max(1, int(cpus))}, unless most programs wait"
        )
    yield _memory(registry, slots, memory)


def _memory(registry: Registry, slots: int, memory: int) -> str:
    each = max(int(runtime.limits.memory) for runtime in registry.runtimes.values())
    standing = standing_memory(registry)
    sessions = registry.server.sessions * each
    needed, most = standing + sessions + slots * each, max(0, memory - standing - sessions) // each
    what = f"{slots} evaluations" + (f" and {registry.server.sessions} sessions" if sessions else "")
    summary = (
        f"memory: {what} of {_size(each)} each, fork servers and server need at most {_size(needed)}; "
        f"the server may use {_size(memory)}"
    )
    if needed <= memory:
        return f"{summary}; memory alone allows a concurrency of {most}"
    lower = "limits.memory or sessions" if sessions else "limits.memory"
    remedy = f"write concurrency = {most}, or a lower {lower}" if most else f"lower {lower}"
    return f"{summary}; {remedy}"


def standing_memory(registry: Registry) -> int:
    """Estimate the bytes that the server and its fork servers use while no program runs."""
    forking = [runtime for runtime in registry.runtimes.values() if runtime.start == "fork"]
    fork_servers = sum(_FORK_SERVER_SIZE + _set_aside(runtime) for runtime in forking)
    return registry.server.workers * (_SERVER_SIZE + fork_servers)


def _set_aside(runtime: Runtime) -> int:
    """Return the bytes that packages may take in a fork server; 0 if there are none, or `preload` is a list."""
    base = user_base(runtime)
    has_packages = base is not None and any(Path(base.source).glob("lib*/*/*/*"))
    return int(runtime.preload_memory) if runtime.preload == AUTO and has_packages else 0


def _size(size: int) -> str:
    return ByteSize(size).human_readable()
