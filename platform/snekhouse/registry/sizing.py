"""Whether what a registry lets run at once fits the CPUs and the memory that the server may use."""

from collections.abc import Iterator

from pydantic import ByteSize

from snekhouse.registry.models import Registry

_FORK_SERVER = 14 << 20
"""Bytes of a fork server with NsJail and a run in waiting, as docs/explanation/performance.md has measured it."""

_SERVER = 47 << 20
"""Bytes of one process that serves, from the same measurement."""


def advice(registry: Registry, cpus: float, memory: int) -> Iterator[str]:
    """Tell how concurrency, CPUs and memory go together; what does not fit comes with the remedy.

    Args:
        registry: What is served.
        cpus: How many CPUs the server may keep busy.
        memory: Bytes that the server may use, its runs included.
    """
    places = registry.server.places
    wall_time = max(runtime.limits.wall_time for runtime in registry.runtimes.values())
    yield (
        f"concurrency: {places} evaluations at once on {cpus:g} CPUs; a program that only waits holds its place too, "
        f"for {wall_time:g} s at most"
    )
    if places > max(1, cpus):
        yield (
            f"concurrency: {places} are more than {cpus:g} CPUs; programs that compute then take longer, and reach "
            f"wall_time more often; write concurrency = {max(1, int(cpus))}, unless programs mostly wait"
        )
    yield _memory(registry, places, memory)


def _memory(registry: Registry, places: int, memory: int) -> str:
    each = max(int(runtime.limits.memory) for runtime in registry.runtimes.values())
    standing = standing_memory(registry)
    needed, most = standing + places * each, max(0, memory - standing) // each
    told = (
        f"memory: {places} runs with {_size(each)} each, the fork servers and the server need {_size(needed)} at most; "
        f"the server may use {_size(memory)}"
    )
    if needed <= memory:
        return f"{told}; memory alone allows a concurrency of {most}"
    remedy = f"write concurrency = {most}, or a lower limits.memory" if most else "lower limits.memory"
    return f"{told}; {remedy}"


def standing_memory(registry: Registry) -> int:
    """Estimate the bytes that the server and its fork servers use while nothing runs."""
    fork_servers = sum(runtime.start == "fork" for runtime in registry.runtimes.values())
    return registry.server.workers * (_SERVER + fork_servers * _FORK_SERVER)


def _size(size: int) -> str:
    return ByteSize(size).human_readable()
