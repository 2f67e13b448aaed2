"""What a seccomp policy is made of: rules for system calls, by their arguments.

Where several rules name a call, the first whose condition holds decides.
"""

from dataclasses import dataclass
from enum import IntEnum

ALLOW = None
"""The action that lets a call through; others are the errors that it ends with instead (errno(3)), 0 for none."""


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a system call, by which rules decide. Those here have their meaning in the low 32 bits.

    Attributes:
        name: As Kafel has it.
        index: Its place, from 0 on.
        mask: Which of its bits count.
    """

    name: str
    index: int
    mask: int | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of an argument with a value."""

    argument: Argument
    value: int
    is_equal: bool = True


Condition = tuple[tuple[Comparison, ...], ...]
"""Alternatives, one of which must hold, each of comparisons that must hold together. None at all holds always."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of calls.

    Attributes:
        action: `ALLOW`, or an error.
        calls: Their names.
        condition: When; always where it has no alternatives.
    """

    action: int | None
    calls: tuple[str, ...]
    condition: Condition = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that belong together.

    Attributes:
        name: What they are about.
        reason: Why they are as they are.
        rules: In their order.
    """

    name: str
    reason: str
    rules: tuple[Rule, ...]


def always(action: int | None, names: str) -> Rule:
    """Decide the same for all calls of some names."""
    return Rule(action, tuple(names.split()))


def among(argument: Argument, values: type[IntEnum]) -> Condition:
    """Hold where an argument has one of several values."""
    return tuple((Comparison(argument, value),) for value in values)
