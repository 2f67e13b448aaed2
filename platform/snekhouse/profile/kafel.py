"""The seccomp policy in NsJail's language, Kafel (https://github.com/google/kafel), rendered for this machine."""

import textwrap
from enum import IntEnum
from functools import lru_cache

from snekhouse.assets import templates
from snekhouse.host.system_calls import numbers, require_machine
from snekhouse.profile.seccomp_policy import UNLISTED, policy
from snekhouse.profile.seccomp_rules import ALLOW, Comparison, Condition, Rule


@lru_cache
def render_policy(machine: str = "", *, memory_limited: bool, fork_server: bool = False, loopback: bool = False) -> str:
    """Render the policy.

    Args:
        machine: As uname(2) calls it; by default this one.
        memory_limited: Whether a cgroup limits memory; if not, memory that only a cgroup counts is refused.
        fork_server: Whether the policy is for a fork server, which sets up the runs that it forks.
        loopback: Whether the fork server brings up loopback interfaces.

    Returns:
        A policy in Kafel, with comments.

    Raises:
        HostError: There is no policy for this machine.
    """
    machine = require_machine(machine)
    return (
        templates("nsjail")
        .get_template("kafel.jinja")
        .render(
            groups=policy(memory_limited=memory_limited, fork_server=fork_server, loopback=loopback),
            unlisted=UNLISTED,
            lines=_in_lines,
            action=_action,
            calls=lambda rule: _calls(rule, machine),
        )
    )


def _action(rule: Rule) -> str:
    return "ALLOW" if rule.action is ALLOW else f"ERRNO({rule.action})"


def _calls(rule: Rule, machine: str) -> str:
    """Write the calls of a rule: as numbers, which NsJail parses faster; as names where arguments are compared."""
    found = numbers(rule.calls, machine)
    if rule.condition:
        return ", ".join(f"{name} {{ {_condition(rule.condition)} }}" for name, _ in found)
    return ", ".join(f"SYSCALL[{number}]/*{name}*/" for name, number in found)


def _condition(condition: Condition) -> str:
    return " || ".join(" && ".join(map(_comparison, alternative)) for alternative in condition)


def _comparison(comparison: Comparison) -> str:
    argument = comparison.argument
    left = argument.name if argument.mask is None else f"({argument.name} & {argument.mask:#x})"
    right = (
        f"{int(comparison.value)}/*{comparison.value.name}*/"
        if isinstance(comparison.value, IntEnum)
        else f"{comparison.value:#x}"
    )
    return f"{left} {'==' if comparison.is_equal else '!='} {right}"


def _in_lines(text: str, indent: str = "    ") -> str:
    return textwrap.fill(text, width=116, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
