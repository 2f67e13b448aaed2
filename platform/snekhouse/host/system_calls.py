"""The numbers of system calls, by the machine (syscalls(2))."""

import platform
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache

from system_calls import NotSupportedSystemCall, syscalls

from snekhouse.errors import HostError

_TABLES = {"x86_64": "x86_64", "aarch64": "arm64"}
"""Machines as uname(2) calls them, and the tables of their system calls."""


@lru_cache
def require_machine(machine: str = "") -> str:
    """Name the table of a machine's system calls.

    Args:
        machine: As uname(2) calls it; by default this one.

    Raises:
        HostError: The policy is not written for such a machine.
    """
    machine = machine or platform.machine()
    if machine not in _TABLES:
        raise HostError(f"there is no seccomp policy for {machine}; there is one for {' and '.join(_TABLES)}")
    return _TABLES[machine]


def numbers(names: tuple[str, ...], machine: str) -> Iterator[tuple[str, int]]:
    """Look up system calls, without those that the machine has no need of; a name that no machine has is an error.

    Args:
        names: Their names.
        machine: As uname(2) calls it.
    """
    known = syscalls()
    for name in names:
        with suppress(NotSupportedSystemCall):
            yield name, int(known.get(name, _TABLES[machine]))
