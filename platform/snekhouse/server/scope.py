"""A cgroup for runs where systemd started the command in a unit that has none to give.

A shell's session and a service without `Delegate=yes` are such units. The command then starts anew in a scope of its
own, which delegates: with the same process id, descriptors and environment (systemd-run(1)).
"""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from snekhouse.host.cgroups.detection import own_undelegated_unit
from snekhouse.host.cgroups.units import OWN_SCOPE

_log = logging.getLogger(__name__)

_LEFT = "SNEKHOUSE_LEFT_UNIT"
"""The environment variable that tells the new start which unit was left."""

_TRIAL_TIMEOUT_S = 10.0
"""Seconds that systemd may take to make a scope."""

_LIMITS = {
    "memory.max": "MemoryMax",
    "memory.high": "MemoryHigh",
    "memory.swap.max": "MemorySwapMax",
    "pids.max": "TasksMax",
}
"""Limits of a unit by their files, and the properties that set them (systemd.resource-control(5))."""


def left_unit() -> str:
    """Name the unit that this command was in before it started anew; empty where it did not."""
    return os.environ.get(_LEFT, "")


def enter_own_scope() -> None:
    """Start this command anew in a scope of its own, if its unit does not delegate and systemd makes one.

    Where it does not, the command goes on as it is: the survey of the host then tells what is missing.
    """
    if left_unit():
        return
    unit, run = own_undelegated_unit(), shutil.which("systemd-run")
    if unit is None or run is None:
        return
    options = list(_options(unit))
    if _works([run, *options, f"--unit={OWN_SCOPE}trial-{os.getpid()}", "true"]):
        command = [run, *options, f"--unit={OWN_SCOPE}{os.getpid()}", *sys.orig_argv]
        os.execve(run, command, {**os.environ, _LEFT: unit.name})  # noqa: S606 - this very command, word for word


def _options(unit: Path) -> Iterator[str]:
    """Write the options for a scope beside a unit, with the unit's limits."""
    yield from ("--scope", "--quiet", "--collect", "--property=Delegate=yes")
    yield "--slice-inherit" if os.geteuid() == 0 else "--user"
    for file, name in _LIMITS.items():
        if (limit := _read(unit / file)) not in {"", "max"}:
            yield f"--property={name}={limit}"
    quota, _, period = _read(unit / "cpu.max").partition(" ")
    if quota not in {"", "max"}:
        yield f"--property=CPUQuota={100 * int(quota) / int(period):g}%"


def _read(file: Path) -> str:
    with suppress(OSError):  # the controller is not there
        return file.read_text().strip()
    return ""


def _works(command: list[str]) -> bool:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TRIAL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    if done.returncode:
        _log.debug("systemd did not make a scope: %s", done.stderr.decode(errors="replace").strip())
    return done.returncode == 0
