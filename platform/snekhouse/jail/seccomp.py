"""The seccomp policy of every jail, rendered from its template for this machine."""

import platform
import textwrap
from functools import lru_cache

import jinja2
from system_calls import NotSupportedSystemCall, syscalls

from snekhouse.assets import asset
from snekhouse.errors import HostError

_TABLES = {"x86_64": "x86_64", "aarch64": "arm64"}
"""Machines as uname(2) calls them, and the tables of their system calls."""


@lru_cache
def render_policy(machine: str = "", *, cgroups: bool, template: bool = False) -> str:
    """Render the policy.

    Args:
        machine: As uname(2) calls it; by default this one.
        cgroups: Whether cgroups limit the run; otherwise memory that only they count is refused.
        template: Whether it is for a template, which makes what the runs that it forks are to have.

    Returns:
        A policy in Kafel (https://github.com/google/kafel), with comments.

    Raises:
        HostError: No policy is written for such a machine.
    """
    machine = machine or platform.machine()
    if machine not in _TABLES:
        raise HostError(f"there is no seccomp policy for {machine}; there is one for {' and '.join(_TABLES)}")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(asset("templates/nsjail")),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - HTML has no part in this, nor has any value from outside
        keep_trailing_newline=True,
    )
    environment.globals["calls"] = lambda names: _numbers(names.split(), _TABLES[machine])
    environment.globals["one_of"] = _one_of
    return environment.get_template("seccomp.policy.jinja").render(cgroups=cgroups, template=template)


def call_number(name: str, machine: str) -> int:
    """Look up the number of a system call.

    Args:
        name: Its name.
        machine: As uname(2) calls it.
    """
    return int(syscalls().get(name, _TABLES[machine]))


def _numbers(names: list[str], table: str) -> str:
    """Write system calls as numbers, each with its name, in lines."""
    known, found = syscalls(), []
    for name in names:
        try:
            found.append(f"SYSCALL[{known.get(name, table)}]/*{name}*/")
        except NotSupportedSystemCall:  # this machine has another for it; a name that none has is a mistake of ours
            continue
    return _in_lines(", ".join(found))


def _one_of(argument: str, values: str) -> str:
    """Write the condition that an argument has one of several values."""
    return _in_lines(" || ".join(f"{argument} == {value}" for value in values.split()))


def _in_lines(text: str) -> str:
    return textwrap.fill(text, width=116, subsequent_indent="    ")
