"""The numbers of system calls on each machine (syscalls(2))."""

import platform
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache

from system_calls import NotSupportedSystemCall, syscalls

from snekhouse.errors import HostError

_TABLES = {"x86_64": "x86_64", "aarch64": "arm64"}
"""The table of system calls of each machine, by uname(2)'s name."""


@lru_cache
def require_machine(machine: str = "") -> str:
    """Return the name of a machine for which there is a seccomp policy.

    Args:
        machine: Its name, as of uname(2); by default this machine.

    Raises:
        HostError: There is no seccomp policy for the machine.
    """
    machine = machine or platform.machine()
    if machine not in _TABLES:
        raise HostError(f"there is no seccomp policy for {machine}; there is one for {' and '.join(_TABLES)}")
    return machine


def numbers(names: tuple[str, ...], machine: str) -> Iterator[tuple[str, int]]:
    """Look up the numbers of system calls, and skip those that the machine lacks; an unknown name is an error.

    Args:
        names: Their names.
        machine: As uname(2) calls it.
    """
    known = syscalls()
    for name in names:
        with suppress(NotSupportedSystemCall):
            yield name, int(known.get(name, _TABLES[machine]))
