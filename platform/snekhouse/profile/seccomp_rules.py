"""The rules of a seccomp policy, which decide about system calls by their arguments.

If several rules name a call, the first rule whose condition holds decides.
"""

from dataclasses import dataclass
from enum import IntEnum

ALLOW = None
"""The action that allows a call. Other actions are errors (errno(3)); 0 is success without an effect."""


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a system call that rules compare. Only its low 32 bits count.

    Attributes:
        name: Its name in Kafel.
        index: Its position, from 0.
        mask: The bits to compare; None for all.
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
"""Alternatives, one of which must hold. An alternative holds if all its comparisons hold. `()` always holds."""


@dataclass(frozen=True, slots=True)
class Rule:
    """An action for some system calls.

    Attributes:
        action: `ALLOW`, or an error.
        calls: Their names.
        condition: When the rule applies.
    """

    action: int | None
    calls: tuple[str, ...]
    condition: Condition = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that belong together.

    Attributes:
        name: Its name in the policy.
        reason: A comment on it in the policy.
        rules: Its rules, in order.
    """

    name: str
    reason: str
    rules: tuple[Rule, ...]


def always(action: int | None, names: str) -> Rule:
    """Make a rule that does not depend on arguments."""
    return Rule(action, tuple(names.split()))


def among(argument: Argument, values: type[IntEnum]) -> Condition:
    """Make a condition that holds if an argument has one of several values."""
    return tuple((Comparison(argument, value),) for value in values)


def outside(argument: Argument, *values: int) -> Condition:
    """Make a condition that holds if an argument has none of some values."""
    return (tuple(Comparison(argument, value, is_equal=False) for value in values),)
