"""The seccomp policy compiled to classic BPF, for runs that a fork server forks.

NsJail compiles the policy for the jails that it starts, from the text that `kafel` renders. A fork installs the same
rules itself, compiled here.
"""

import struct
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache

from snekhouse.host.system_calls import numbers, require_machine
from snekhouse.profile.seccomp_policy import UNLISTED
from snekhouse.profile.seccomp_rules import ALLOW, Comparison, Group, Rule

_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH_* (linux/audit.h), by uname(2)'s name."""

_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000  # SECCOMP_RET_*
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06  # BPF_LD|W|ABS, ALU|AND, RET
_JUMP, _EQUAL, _NOT_BELOW = 0x05, 0x15, 0x35  # BPF_JMP|JA, JMP|JEQ, JMP|JGE
_NUMBER, _MACHINE, _FIRST_ARGUMENT, _ARGUMENT_SIZE = 0, 4, 16, 8  # offsets in struct seccomp_data (linux/seccomp.h)
_LONGEST_JUMP = 0xFF
"""Instructions that a conditional jump can skip; an unconditional jump has 32 bits."""

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, value: struct sock_filter (linux/filter.h)."""


@lru_cache
def compile_filter(groups: tuple[Group, ...], machine: str = "", default: int | None = UNLISTED) -> bytes:
    """Compile a policy.

    Args:
        groups: Its rules.
        machine: As uname(2) calls it; by default this one.
        default: The action for calls that no rule decides: `ALLOW`, or an error.

    Returns:
        An array of ``struct sock_filter``.

    Raises:
        HostError: There is no policy for this machine.
    """
    machine = require_machine(machine)
    rules: defaultdict[int, list[Rule]] = defaultdict(list)
    for group in groups:
        for rule in group.rules:
            for _, number in numbers(rule.calls, machine):
                rules[number].append(rule)
    return b"".join(struct.pack("<HBBI", *each) for each in _program(rules, default, _MACHINES[machine]))


def _program(rules: Mapping[int, Sequence[Rule]], default: int | None, machine: int) -> list[Instruction]:
    search = _search(_ranges(rules, default))
    own = [(_LOAD, 0, 0, _NUMBER), *search]
    return [(_LOAD, 0, 0, _MACHINE), (_EQUAL, 1, 0, machine), (_RETURN, 0, 0, _KILL), *own]


def _ranges(rules: Mapping[int, Sequence[Rule]], default: int | None) -> list[tuple[int, list[Instruction]]]:
    """List the ranges of numbers of calls: the first number of each, and its instructions."""
    numbers = sorted({at for number in rules for at in (number, number + 1)} | {0})
    found: list[tuple[int, list[Instruction]]] = []
    for number in numbers:
        code = _decision(rules.get(number, ()), default)
        if not found or found[-1][1] != code:
            found.append((number, code))
    return found


def _search(ranges: Sequence[tuple[int, list[Instruction]]]) -> list[Instruction]:
    """Emit a binary search for the range of a number."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    if len(below) > _LONGEST_JUMP:
        return [(_NOT_BELOW, 0, 1, ranges[middle][0]), (_JUMP, 0, 0, len(below)), *below, *above]
    return [(_NOT_BELOW, len(below), 0, ranges[middle][0]), *below, *above]


def _decision(rules: Sequence[Rule], default: int | None) -> list[Instruction]:
    code: list[Instruction] = []
    for rule in rules:
        if not rule.condition:
            return [*code, _end(rule.action)]
        for comparisons in rule.condition:
            code += _alternative(comparisons, rule.action)
    return [*code, _end(default)]


def _end(action: int | None) -> Instruction:
    return _RETURN, 0, 0, _ALLOW if action is ALLOW else _ERRNO | action


def _alternative(comparisons: Sequence[Comparison], action: int | None) -> list[Instruction]:
    """Emit instructions that return the action if all comparisons hold, and otherwise continue after all of them."""
    code: list[Instruction] = [_end(action)]
    for comparison in reversed(comparisons):
        skip = len(code)
        jump = (_EQUAL, 0, skip, comparison.value) if comparison.is_equal else (_EQUAL, skip, 0, comparison.value)
        argument = comparison.argument
        mask = [] if argument.mask is None else [(_AND, 0, 0, argument.mask)]
        code = [(_LOAD, 0, 0, _FIRST_ARGUMENT + _ARGUMENT_SIZE * argument.index), *mask, jump, *code]
    return code
