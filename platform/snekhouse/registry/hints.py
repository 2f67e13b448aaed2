"""What a registry may well say, and probably does not mean."""

import os
from collections.abc import Callable, Iterator

from snekhouse.registry.models import Limits, Registry


def hints(registry: Registry) -> Iterator[str]:
    """Find limits that go beyond what a run can have; each hint names the key and the runtimes.

    Args:
        registry: What is served, on this host.
    """
    host = os.cpu_count() or 1
    cpus = _told(registry, lambda limits: f"{limits.cpus:g}" if limits.cpus > host else "")
    for value, names in cpus.items():
        yield f"limits.cpus is {value}, and this host has {host}: runs get no more ({names})"
    memory = _told(registry, lambda limits: _sizes(limits) if limits.address_space < limits.memory else "")
    for value, names in memory.items():
        yield f"{value}: no process can use so much memory; raise it, or leave it out ({names})"


def _sizes(limits: Limits) -> str:
    space, memory = limits.address_space.human_readable(), limits.memory.human_readable()
    return f"limits.address_space is {space}, less than limits.memory, {memory}"


def _told(registry: Registry, tell: Callable[[Limits], str]) -> dict[str, str]:
    """Group runtimes by what there is to tell of their limits."""
    found: dict[str, str] = {}
    for name, runtime in registry.runtimes.items():
        if value := tell(runtime.limits):
            found[value] = f"{found[value]}, {name}" if value in found else name
    return found
