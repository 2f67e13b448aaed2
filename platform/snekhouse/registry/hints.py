"""Hints about settings of a registry that are valid but probably mistakes."""

import os
from collections.abc import Callable, Iterator

from snekhouse.registry.models import Limits, Registry


def hints(registry: Registry) -> Iterator[str]:
    """Find limits that a run on this host can never reach; each hint names the key and the runtimes.

    Args:
        registry: The registry that this host serves.
    """
    host = os.cpu_count() or 1
    cpus = _grouped(registry, lambda limits: f"{limits.cpus:g}" if limits.cpus > host else "")
    for value, names in cpus.items():
        yield f"limits.cpus is {value}, but this host has {host} CPUs; write {host} or less ({names})"
    memory = _grouped(registry, lambda limits: _sizes(limits) if limits.address_space < limits.memory else "")
    for value, names in memory.items():
        yield f"{value}: a process cannot use all of the memory; raise limits.address_space, or remove it ({names})"


def _sizes(limits: Limits) -> str:
    space, memory = limits.address_space.human_readable(), limits.memory.human_readable()
    return f"limits.address_space is {space}, less than limits.memory, {memory}"


def _grouped(registry: Registry, describe: Callable[[Limits], str]) -> dict[str, str]:
    """Group the names of runtimes by the description of their limits; leave out empty descriptions."""
    found: dict[str, str] = {}
    for name, runtime in registry.runtimes.items():
        if value := describe(runtime.limits):
            found[value] = f"{found[value]}, {name}" if value in found else name
    return found
