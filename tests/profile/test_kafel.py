"""The seccomp policy as it is rendered; what it does to programs is for tests/isolation."""

import re

import pytest

from snekhouse.errors import HostError
from snekhouse.profile.kafel import render_policy


def listed(policy: str) -> dict[str, int]:
    """Tell which system calls a policy lists, with their numbers."""
    return {name: int(number) for number, name in re.findall(r"SYSCALL\[(\d+)\]/\*(\w+)\*/", policy)}


def test_system_calls_have_the_numbers_of_their_machine() -> None:
    x86, arm = (
        listed(render_policy("x86_64", memory_limited=True)),
        listed(render_policy("aarch64", memory_limited=True)),
    )
    assert (x86["read"], x86["open"], x86["unshare"]) == (0, 2, 272)  # asm/unistd_64.h
    assert (arm["read"], arm["openat"], arm["unshare"]) == (63, 56, 97)  # asm-generic/unistd.h
    assert "open" not in arm
    assert set(arm) < set(x86)


def test_no_system_call_is_listed_twice() -> None:
    policy = render_policy("x86_64", memory_limited=True)
    assert len(re.findall(r"SYSCALL\[", policy)) == len(listed(policy))


def test_memory_that_only_cgroups_count_is_refused_without_them() -> None:
    assert "memfd_create" in listed(render_policy("x86_64", memory_limited=True))
    assert "memfd_create" not in listed(render_policy("x86_64", memory_limited=False))


def test_a_machine_without_a_policy_is_told() -> None:
    with pytest.raises(HostError, match="no seccomp policy for sparc64; there is one for x86_64 and aarch64"):
        render_policy("sparc64", memory_limited=True)
