"""Hints about settings of a registry that are valid but probably mistakes."""

import os
from collections.abc import Callable, Iterator

from pydantic import ByteSize

from snekhouse.registry.models import Registry, Runtime


def hints(registry: Registry) -> Iterator[str]:
    """Find settings that this host cannot provide, or that have no effect; each hint names the key and the runtimes.

    Args:
        registry: The registry that this host serves.
    """
    cpus, memory = os.cpu_count() or 1, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    def too_many_cpus(runtime: Runtime) -> str:
        if runtime.limits.cpus <= cpus:
            return ""
        return f"limits.cpus is {runtime.limits.cpus:g}, but this host has {cpus} CPUs; write {cpus} or less"

    def too_much_memory(runtime: Runtime) -> str:
        if runtime.limits.memory <= memory:
            return ""
        return f"limits.memory is {_size(runtime.limits.memory)}, but this host has {_size(memory)}; write less"

    for describe in (too_many_cpus, too_much_memory, _small_address_space, _small_preload_memory):
        yield from _grouped(registry, describe)


def _small_address_space(runtime: Runtime) -> str:
    limits = runtime.limits
    if limits.address_space >= limits.memory:
        return ""
    return (
        f"limits.address_space is {_size(limits.address_space)}, less than limits.memory, {_size(limits.memory)}: "
        "a process cannot use all of the memory; raise limits.address_space, or remove it"
    )


def _small_preload_memory(runtime: Runtime) -> str:
    if runtime.preload_memory >= 1 << 20:
        return ""
    return f'preload_memory is {_size(runtime.preload_memory)}: no module fits into it; write a size such as "128MiB"'


def _size(size: int) -> str:
    return ByteSize(size).human_readable()


def _grouped(registry: Registry, describe: Callable[[Runtime], str]) -> Iterator[str]:
    """Describe each runtime; yield each description once, with the names of its runtimes. Leave out empty ones."""
    found: dict[str, list[str]] = {}
    for name, runtime in registry.runtimes.items():
        if hint := describe(runtime):
            found.setdefault(hint, []).append(name)
    yield from (f"{hint} ({', '.join(names)})" for hint, names in found.items())
