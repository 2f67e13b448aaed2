"""The policy compiled here says what Kafel makes of it: tried on a machine of its own, and in tests/isolation for real."""

import struct

import pytest
from system_calls import syscalls

from snekhouse.jail.filters import compile_filter
from snekhouse.jail.seccomp import render_policy

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
            case 0x35:
                at += true if accumulator >= value else false
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
    program = compile_filter(render_policy(machine, cgroups=True), machine)
    assert decide(program, syscalls().get(name, table), audit, *arguments) == decision


def test_numbers_beyond_all_and_those_of_x32_do_not_exist() -> None:
    program = compile_filter(render_policy("x86_64", cgroups=True), "x86_64")
    for number in (5000, 0x40000000, 0x40000000 | 59, 0xFFFFFFFF):
        assert decide(program, number, 0xC000003E) == ERRNO | ENOSYS


def test_another_entry_ends_the_program() -> None:
    program = compile_filter(render_policy("x86_64", cgroups=True), "x86_64")
    assert decide(program, 3, 0x40000003) == KILL


def test_a_template_may_do_what_seals_its_runs() -> None:
    policy = render_policy("x86_64", cgroups=True, template=True)
    program = compile_filter(policy, "x86_64")
    for name in ("unshare", "setns", "mount", "capset", "prctl"):
        assert decide(program, syscalls().get(name, "x86_64"), 0xC000003E, 22) == ALLOW
    assert decide(program, syscalls().get("ptrace", "x86_64"), 0xC000003E) == ERRNO | EPERM


def test_what_the_language_has_besides_is_refused() -> None:
    with pytest.raises(ValueError, match="'KILL' where 'ERRNO' should be"):
        compile_filter("POLICY p { KILL { SYSCALL[1] } } USE p DEFAULT ALLOW", "x86_64")
