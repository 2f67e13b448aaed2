"""The policy compiled here decides what Kafel's does: on a machine of its own, and in tests/isolation for real."""

import ctypes
import os
import re
import struct
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from system_calls import syscalls

from crowds import until
from snekhouse.host.survey import find_nsjail
from snekhouse.host.system_calls import numbers
from snekhouse.profile.bpf import compile_filter
from snekhouse.profile.kafel import render_policy
from snekhouse.profile.seccomp_policy import policy
from snekhouse.profile.seccomp_rules import ALLOW as LET_THROUGH
from snekhouse.profile.seccomp_rules import Group, always

ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
EPERM, ENOMEM, EINVAL, ENOTTY, ENOSYS, EPROTONOSUPPORT, EAFNOSUPPORT = 1, 12, 22, 25, 38, 93, 97
MACHINES = {"x86_64": ("x86_64", 0xC000003E), "aarch64": ("arm64", 0xC00000B7)}


def decide(program: bytes, number: int, machine: int, *arguments: int) -> int:
    """Run classic BPF (linux/filter.h) on a system call."""
    data = struct.pack("<IIQ6Q", number, machine, 0, *arguments, *[0] * (6 - len(arguments)))
    at = accumulator = 0
    while True:
        code, true, false, value = struct.unpack_from("<HBBI", program, 8 * at)
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, value)
            case 0x54:
                accumulator &= value
            case 0x05:
                at += value
            case 0x15:
                at += true if accumulator == value else false
            case 0x25:
                at += true if accumulator > value else false
            case 0x35:
                at += true if accumulator >= value else false
            case 0x45:
                at += true if accumulator & value else false
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(hex(code))


CALLS = {
    "what is listed": ("read", (), ALLOW),
    "what is refused by name": ("unshare", (), ERRNO | EPERM),
    "what is not listed": ("io_uring_setup", (), ERRNO | ENOSYS),
    "what flags cannot be seen of": ("clone3", (), ERRNO | ENOSYS),
    "what does nothing": ("sync", (), ERRNO),
    "a process": ("clone", (0x01200011,), ALLOW),
    "a namespace": ("clone", (0x10000011,), ERRNO | EPERM),
    "a name": ("prctl", (15, 0), ALLOW),
    "a filter": ("prctl", (22, 2), ERRNO | EPERM),
    "no death with the parent": ("prctl", (1, 0), ERRNO | EPERM),
    "death with the parent": ("prctl", (1, 9), ALLOW),
    "a question for the personality": ("personality", (0xFFFFFFFF,), ALLOW),
    "another personality": ("personality", (8,), ERRNO | EPERM),
    "a socket": ("socket", (2, 1, 6), ALLOW),
    "a socket of a family": ("socket", (16, 3, 0), ERRNO | EAFNOSUPPORT),
    "a socket of a protocol": ("socket", (2, 1, 132), ERRNO | EPROTONOSUPPORT),
    "a socket of a family that is wider": ("socket", (1 << 32 | 16, 3, 0), ERRNO | EAFNOSUPPORT),
    "a control": ("ioctl", (0, 0x5401), ALLOW),
    "the last control": ("ioctl", (0, 0x8933), ALLOW),
    "a control that is wider": ("ioctl", (0, 1 << 32 | 0x5401), ALLOW),
    "typing": ("ioctl", (0, 0x5412), ERRNO | ENOTTY),
    "typing, wider": ("ioctl", (0, 1 << 32 | 0x5412), ERRNO | ENOTTY),
    "a lock": ("fcntl", (0, 6), ALLOW),
    "a lease": ("fcntl", (0, 1024), ERRNO | EINVAL),
    "a mapping": ("mmap", (0, 4096, 3, 0x22), ALLOW),
    "a mapping of huge pages": ("mmap", (0, 4096, 3, 0x40022), ERRNO | ENOMEM),
    "a file in memory": ("memfd_create", (0, 1), ALLOW),
    "a file of huge pages": ("memfd_create", (0, 5), ERRNO | EINVAL),
    "what would write a disk": ("fsync", (), ERRNO),
}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("name", "arguments", "decision"), CALLS.values(), ids=CALLS.keys())
def test_a_call_is_decided_as_the_policy_says(
    machine: str, name: str, arguments: tuple[int, ...], decision: int
) -> None:
    table, audit = MACHINES[machine]
    program = compile_filter(policy(memory_limited=True), machine)
    assert decide(program, syscalls().get(name, table), audit, *arguments) == decision


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_beyond_all_do_not_exist(machine: str) -> None:
    program = compile_filter(policy(memory_limited=True), machine)
    for number in (5000, 0x40000000, 0x40000000 | 59, 0xFFFFFFFF):  # those of x32 among them
        assert decide(program, number, MACHINES[machine][1]) == ERRNO | ENOSYS


@pytest.mark.parametrize(("machine", "other"), [("x86_64", 0x40000003), ("aarch64", 0x40000028)])  # i386, 32-bit ARM
def test_another_entry_ends_the_program(machine: str, other: int) -> None:
    program = compile_filter(policy(memory_limited=True), machine)
    assert decide(program, 3, other) == KILL


@pytest.mark.parametrize("machine", MACHINES)
def test_a_fork_server_may_do_what_seals_its_runs(machine: str) -> None:
    table, audit = MACHINES[machine]
    program = compile_filter(policy(memory_limited=True, fork_server=True), machine)
    for name in ("unshare", "setns", "mount", "capset", "prctl"):
        assert decide(program, syscalls().get(name, table), audit, 22) == ALLOW
    assert decide(program, syscalls().get("ptrace", table), audit) == ERRNO | EPERM


VALUES = sorted(
    {
        int(test.value)
        for group in policy(memory_limited=True)
        for rule in group.rules
        for each in rule.condition
        for test in each
    }
    | {1, 4, 8, 1024, 0x5412, 0x40000, 0x40022, 0x10000000, 0x01200011, 0x7E020000, 0xFFFFFFFF, 1 << 32 | 16}
)
"""Of arguments: all that the rules name, and some besides."""


def decisions(program: bytes, machine: int) -> Iterator[tuple[int, tuple[int, ...], int]]:
    """Decide every system call, with arguments of each value."""
    for number in (*range(600), 0x40000000, 0x40000001, 0xFFFFFFFF):
        for arguments in (
            (),
            *(tuple(value * (n == place) for n in range(4)) for place in range(4) for value in VALUES),
        ):
            yield number, arguments, decide(program, number, machine, *arguments)


PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_SECCOMP_GET_FILTER = 0x4206, 0x4207, 0x420C
WALL = 0x40000000


def filter_in_force(pid: int) -> bytes:
    """Have the kernel tell the filter of a process (ptrace(2))."""
    libc = ctypes.CDLL(None, use_errno=True)

    def ptrace(request: int, data: object = None) -> int:
        result = libc.ptrace(ctypes.c_long(request), ctypes.c_long(pid), None, data)
        assert result >= 0, os.strerror(ctypes.get_errno())
        return int(result)

    ptrace(PTRACE_SEIZE)
    ptrace(PTRACE_INTERRUPT)
    os.waitpid(pid, WALL)
    program = ctypes.create_string_buffer(8 * ptrace(PTRACE_SECCOMP_GET_FILTER))
    ptrace(PTRACE_SECCOMP_GET_FILTER, program)
    return program.raw


@pytest.mark.skipif(os.geteuid() != 0, reason="the kernel tells filters only to root")
@pytest.mark.parametrize("memory_limited", [True, False])
def test_nsjail_decides_every_call_as_the_filter_compiled_here(memory_limited: bool) -> None:
    nobody = ("--user", "65534:65534:1", "--group", "65534:65534:1")
    policy_text = render_policy(memory_limited=memory_limited)
    command = [str(find_nsjail()), "-Mo", "--quiet", "--disable_proc", "--chroot", "/", *nobody]
    with subprocess.Popen([*command, "--seccomp_string", policy_text, "--", "/bin/sleep", "60"]) as nsjail:
        try:
            children = Path(f"/proc/{nsjail.pid}/task/{nsjail.pid}/children")
            until(
                lambda: (
                    bool(children.read_text())
                    and "sleep" in Path(f"/proc/{children.read_text().strip()}/comm").read_text()
                )
            )
            theirs = filter_in_force(int(children.read_text()))
        finally:
            nsjail.kill()
    audit = MACHINES[os.uname().machine][1]
    ours = decisions(compile_filter(policy(memory_limited=memory_limited)), audit)
    for call, other in zip(ours, decisions(theirs, audit), strict=True):
        assert call == other


@pytest.mark.parametrize("machine", MACHINES)
def test_the_text_for_nsjail_lists_what_the_filter_allows_and_refuses(machine: str) -> None:
    audit = MACHINES[machine][1]
    program = compile_filter(policy(memory_limited=True), machine)
    text = render_policy(machine, memory_limited=True)
    conditional = {
        name for group in policy(memory_limited=True) for rule in group.rules if rule.condition for name in rule.calls
    }
    listed = [
        (int(number), ERRNO | int(error) if error else ALLOW)
        for error, calls in re.findall(r"(?:ALLOW|ERRNO\((\d+)\)) \{ (SYSCALL[^{}]*) \}", text)
        for number, name in re.findall(r"SYSCALL\[(\d+)\]/\*(\w+)\*/", calls)
        if name not in conditional
    ]
    assert len(listed) > 250
    assert [(number, decide(program, number, audit)) for number, _ in listed] == listed
    named = dict(listed)
    rest = [number for number in range(600) if number not in named and number not in numbers_of(conditional, machine)]
    assert {decide(program, number, audit) for number in rest} == {ERRNO | ENOSYS}


def numbers_of(names: Iterable[str], machine: str) -> set[int]:
    """Look up the numbers of some calls."""
    return {number for _, number in numbers(tuple(names), machine)}


def test_a_policy_can_allow_all_but_some_calls() -> None:
    alone = (Group("one", "", (always(EPERM, "unshare"),)),)
    program = compile_filter(alone, "x86_64", LET_THROUGH)
    assert decide(program, 272, 0xC000003E) == ERRNO | EPERM
    assert decide(program, 0, 0xC000003E) == ALLOW
