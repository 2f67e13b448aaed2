"""systemd units, and whether a unit delegates its cgroup to the server.

When memory runs out and the kernel kills a process, systemd stops the unit of this process (`OOMPolicy=stop`, the
default), unless the unit delegates its cgroup. A server whose runs have cgroups needs a unit that delegates.

Sources: systemd.service(5), OOMPolicy=; https://systemd.io/CGROUP_DELEGATION.
"""

import os
from pathlib import Path

BOOTED = Path("/run/systemd/system")
"""A folder that exists where systemd is the init process, in containers too (sd_booted(3))."""

_DELEGATION_ATTRIBUTES = ("trusted.delegate", "user.delegate")
"""Extended attributes of a delegated cgroup: only root sees the first; systemd sets the second from version 251 on."""

OWN_SCOPE = "snekhouse-"
"""Prefix of the names of scopes that servers make for themselves; these delegate."""


def unit_of(group: Path) -> Path | None:
    """Find the unit of a group: the nearest service or scope, from the group itself upwards.

    Args:
        group: Folder of a group in the hierarchy of v2.
    """
    return next((folder for folder in (group, *group.parents) if folder.suffix in {".service", ".scope"}), None)


def undelegated_unit(group: Path, booted: Path = BOOTED) -> Path | None:
    """Find the unit of a group, if it does not delegate its cgroup.

    Args:
        group: Folder of a group in the hierarchy of v2.
        booted: A folder that exists where systemd runs.
    """
    unit = unit_of(group) if booted.is_dir() else None
    return None if unit is None or _is_delegated(unit) else unit


def _is_delegated(unit: Path) -> bool:
    if unit.name.startswith(OWN_SCOPE) and unit.suffix == ".scope":
        return True
    return any(_attribute(unit, name) == b"1" for name in _DELEGATION_ATTRIBUTES)


def _attribute(folder: Path, name: str) -> bytes:
    try:
        return os.getxattr(folder, name)
    except OSError:  # it has none, or only root may see it
        return b""
