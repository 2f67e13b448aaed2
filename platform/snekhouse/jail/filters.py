"""The seccomp policy as a program of the kernel's: classic BPF, for runs that no NsJail of their own seals.

NsJail compiles the policy for the jails that it starts, with Kafel (https://github.com/google/kafel). What a template
forks seals itself, with the same text compiled here: of Kafel's language, what the policy uses.
"""

import platform
import re
import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from snekhouse.jail.seccomp import call_number

_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH_* (linux/audit.h), by uname(2)'s name."""

_ARGUMENTS = {
    "clone": ("clone_flags",),
    "fcntl": ("fd", "cmd"),
    "ioctl": ("fd", "cmd"),
    "memfd_create": ("uname", "flags"),
    "mmap": ("addr", "len", "prot", "flags"),
    "personality": ("personality",),
    "prctl": ("option", "arg2"),
    "socket": ("family", "type", "protocol"),
    "socketpair": ("family",),
}
"""Names of arguments, for the calls with conditions. All have their meaning in 32 bits."""

_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000  # SECCOMP_RET_*
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06  # BPF_LD|W|ABS, ALU|AND, RET
_JUMP, _EQUAL, _NOT_BELOW = 0x05, 0x15, 0x35  # BPF_JMP|JA, JMP|JEQ, JMP|JGE
_NUMBER, _MACHINE, _FIRST_ARGUMENT, _ARGUMENT_SIZE = 0, 4, 16, 8  # offsets in struct seccomp_data (linux/seccomp.h)
_FARTHEST = 0xFF
"""Instructions that a conditional jump can skip; an unconditional one has 32 bits for that."""

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, value: struct sock_filter (linux/filter.h)."""


@dataclass(frozen=True, slots=True)
class Test:
    """A comparison of an argument, under a mask, with a value."""

    argument: int
    mask: int | None
    equal: bool
    value: int


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of a call that passes all tests of one of the alternatives."""

    alternatives: tuple[tuple[Test, ...], ...]
    action: int


@lru_cache
def compile_filter(policy: str, machine: str = "") -> bytes:
    """Compile a policy.

    Args:
        policy: In Kafel, as `render_policy` writes it.
        machine: As uname(2) calls it; by default this one.

    Returns:
        An array of ``struct sock_filter``.

    Raises:
        ValueError: It is not written in the part of Kafel that is known here.
    """
    machine = machine or platform.machine()
    rules, default = _Parser(policy, machine).parse()
    return b"".join(struct.pack("<HBBI", *each) for each in _program(rules, default, _MACHINES[machine]))


class _Parser:
    def __init__(self, policy: str, machine: str) -> None:
        self._machine = machine
        self._values = {name: int(value, 0) for name, value in _DEFINE.findall(policy)}
        self._tokens = [*(found["token"] for found in _TOKEN.finditer(_DEFINE.sub("", policy)) if found["token"]), ""]
        self._place = 0

    def parse(self) -> tuple[Mapping[int, Sequence[Rule]], int]:
        policies: dict[str, list[tuple[int, Rule]]] = {}
        while self._found("POLICY"):
            name = self._next()
            policies[name] = list(self._policy())
        rules: defaultdict[int, list[Rule]] = defaultdict(list)
        while self._found("USE"):
            for number, rule in policies[self._next()]:
                rules[number].append(rule)
            self._found(",")
        self._expect("DEFAULT")
        default = self._action()
        self._expect("")
        return rules, default

    def _policy(self) -> Iterator[tuple[int, Rule]]:
        for _ in self._listed():
            action = self._action()
            for _ in self._listed():
                number, arguments = self._call()
                alternatives = self._condition(arguments) if self._found("{") else ((),)
                yield number, Rule(alternatives, action)

    def _listed(self) -> Iterator[None]:
        """Go through what stands in braces, with commas between."""
        self._expect("{")
        while not self._found("}"):
            yield
            self._found(",")

    def _action(self) -> int:
        if self._found("ALLOW"):
            return _ALLOW
        for token in ("ERRNO", "("):
            self._expect(token)
        error = self._value()
        self._expect(")")
        return _ERRNO | error

    def _call(self) -> tuple[int, Sequence[str]]:
        name = self._next()
        if name != "SYSCALL":
            return call_number(name, self._machine), _ARGUMENTS.get(name, ())
        self._expect("[")
        number = self._value()
        self._expect("]")
        return number, ()

    def _condition(self, arguments: Sequence[str]) -> tuple[tuple[Test, ...], ...]:
        alternatives = [[self._test(arguments)]]
        while not self._found("}"):
            if self._found("||"):
                alternatives.append([])
            else:
                self._expect("&&")
            alternatives[-1].append(self._test(arguments))
        return tuple(map(tuple, alternatives))

    def _test(self, arguments: Sequence[str]) -> Test:
        mask = None
        masked = self._found("(")
        argument = arguments.index(self._next())
        if masked:
            self._expect("&")
            mask = self._value()
            self._expect(")")
        equal = self._found("==")
        if not equal:
            self._expect("!=")
        return Test(argument, mask, equal, self._value())

    def _value(self) -> int:
        token = self._next()
        return self._values[token] if token in self._values else int(token, 0)

    def _next(self) -> str:
        self._place += 1
        return self._tokens[self._place - 1]

    def _found(self, token: str) -> bool:
        found = self._tokens[self._place] == token
        self._place += found
        return found

    def _expect(self, token: str) -> None:
        if (found := self._next()) != token:
            raise ValueError(f"the policy has {found!r} where {token!r} should be, at token {self._place}")


_DEFINE = re.compile(r"^#define (\w+) (\w+)$", re.MULTILINE)
_TOKEN = re.compile(r"//[^\n]*|/\*.*?\*/|\s+|(?P<token>\w+|&&|\|\||[!=]=|.)", re.DOTALL)


def _program(rules: Mapping[int, Sequence[Rule]], default: int, machine: int) -> list[Instruction]:
    search = _search(_ranges(rules, default))
    own = [(_LOAD, 0, 0, _NUMBER), *search]
    return [(_LOAD, 0, 0, _MACHINE), (_EQUAL, 1, 0, machine), (_RETURN, 0, 0, _KILL), *own]


def _ranges(rules: Mapping[int, Sequence[Rule]], default: int) -> list[tuple[int, list[Instruction]]]:
    """List what is done from which number on, up to the next."""
    numbers = sorted({at for number in rules for at in (number, number + 1)} | {0})
    found: list[tuple[int, list[Instruction]]] = []
    for number in numbers:
        code = _decision(rules.get(number, ()), default)
        if not found or found[-1][1] != code:
            found.append((number, code))
    return found


def _search(ranges: Sequence[tuple[int, list[Instruction]]]) -> list[Instruction]:
    """Find a number's range by halves."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    if len(below) > _FARTHEST:
        return [(_NOT_BELOW, 0, 1, ranges[middle][0]), (_JUMP, 0, 0, len(below)), *below, *above]
    return [(_NOT_BELOW, len(below), 0, ranges[middle][0]), *below, *above]


def _decision(rules: Sequence[Rule], default: int) -> list[Instruction]:
    code: list[Instruction] = []
    for rule in rules:
        for tests in rule.alternatives:
            code += _alternative(tests, rule.action)
            if not tests:
                return code
    return [*code, (_RETURN, 0, 0, default)]


def _alternative(tests: Sequence[Test], action: int) -> list[Instruction]:
    """Return the action when all tests pass; go on behind it when one does not."""
    code: list[Instruction] = [(_RETURN, 0, 0, action)]
    for test in reversed(tests):
        away = len(code)
        jump = (_EQUAL, 0, away, test.value) if test.equal else (_EQUAL, away, 0, test.value)
        mask = [] if test.mask is None else [(_AND, 0, 0, test.mask)]
        code = [(_LOAD, 0, 0, _FIRST_ARGUMENT + _ARGUMENT_SIZE * test.argument), *mask, jump, *code]
    return code
