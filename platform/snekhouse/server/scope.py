"""Get a delegated cgroup for runs if systemd started the command in a unit that does not delegate its cgroup.

A shell's session and a service without `Delegate=yes` are such units. The command then restarts in its own scope, which
delegates, with the same process id, descriptors and environment (systemd-run(1)).
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
"""Environment variable with the unit that the command was in before its restart."""

_TRIAL_TIMEOUT_S = 10.0
"""Seconds for systemd to make a scope."""

_LIMITS = {
    "memory.max": "MemoryMax",
    "memory.high": "MemoryHigh",
    "memory.swap.max": "MemorySwapMax",
    "pids.max": "TasksMax",
}
"""Files with the limits of a unit, and the properties that set them (systemd.resource-control(5))."""


def left_unit() -> str:
    """Return the unit that this command was in before its restart; empty if it did not restart."""
    return os.environ.get(_LEFT, "")


def enter_own_scope() -> None:
    """Restart this command in its own scope, if its unit does not delegate and systemd can make a scope.

    Otherwise the command continues, and the survey of the host reports what is missing.
    """
    if left_unit():
        return
    unit, run = own_undelegated_unit(), shutil.which("systemd-run")
    if unit is None or run is None:
        return
    options = list(_options(unit))
    if _works([run, *options, f"--unit={OWN_SCOPE}trial-{os.getpid()}", "true"]):
        command = [run, *options, f"--unit={OWN_SCOPE}{os.getpid()}", *sys.orig_argv]
        os.execve(run, command, {**os.environ, _LEFT: unit.name})  # noqa: S606 - the same command and arguments


def _options(unit: Path) -> Iterator[str]:
    """Yield the options for a scope beside a unit, with the unit's limits."""
    yield from ("--scope", "--quiet", "--collect", "--property=Delegate=yes")
    yield "--slice-inherit" if os.geteuid() == 0 else "--user"
    for file, name in _LIMITS.items():
        if (limit := _read(unit / file)) not in {"", "max"}:
            yield f"--property={name}={limit}"
    quota, _, period = _read(unit / "cpu.max").partition(" ")
    if quota not in {"", "max"}:
        yield f"--property=CPUQuota={100 * int(quota) / int(period):g}%"


def _read(file: Path) -> str:
    with suppress(OSError):  # the controller is not enabled
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
        _log.debug("systemd could not make a scope: %s", done.stderr.decode(errors="replace").strip())
    return done.returncode == 0
