"""What is told of limits that no run can reach."""

import os
import re
from collections.abc import Callable

from snekhouse.registry.hints import hints
from snekhouse.registry.models import Registry

Load = Callable[[str], Registry]

_TWO = """
default = "a"
[runtimes.a]
executable = "/a"
[runtimes.b]
executable = "/b"
"""


def test_nothing_is_told_of_the_defaults(load_text: Load) -> None:
    assert not list(hints(load_text(_TWO)))


def test_more_cpus_than_the_host_has_are_told_once_for_all_runtimes(load_text: Load) -> None:
    (hint,) = hints(load_text(f"{_TWO}[defaults.limits]\ncpus = 100_000\n"))
    host = os.cpu_count()
    assert hint == f"limits.cpus is 100000, but this host has {host} CPUs; write {host} or less (a, b)"


def test_more_memory_than_the_host_has_is_told(load_text: Load) -> None:
    (hint,) = hints(load_text(f'{_TWO}[runtimes.b.limits]\nmemory = "100TiB"\n'))
    assert re.fullmatch(r"limits\.memory is 100\.0TiB, but this host has [0-9.]+[GT]iB; write less \(b\)", hint)


def test_a_preload_memory_without_a_unit_is_told(load_text: Load) -> None:
    (hint,) = hints(load_text(f"{_TWO}[defaults]\npreload_memory = 128\n"))
    assert hint == 'preload_memory is 128B: no module fits into it; write a size such as "128MiB" (a, b)'


def test_an_address_space_below_the_memory_is_told(load_text: Load) -> None:
    (hint,) = hints(load_text(f'{_TWO}[runtimes.b.limits]\nmemory = "2GiB"\naddress_space = "700MiB"\n'))
    assert hint == (
        "limits.address_space is 700.0MiB, less than limits.memory, 2.0GiB: "
        "a process cannot use all of the memory; raise limits.address_space, or remove it (b)"
    )
