"""Units of systemd, and whether one leaves its cgroup to the server.

systemd stops a whole unit when the kernel kills one of its processes for memory (`OOMPolicy=stop`, the default), unless
the unit delegates its cgroup: then what happens below is left to who runs there. A server whose runs have cgroups of
their own needs the second kind.

Sources: systemd.service(5), OOMPolicy=; https://systemd.io/CGROUP_DELEGATION.
"""

import os
from pathlib import Path

BOOTED = Path("/run/systemd/system")
"""A folder on hosts that systemd started (sd_booted(3)), and in containers that it started."""

_MARKS = ("trusted.delegate", "user.delegate")
"""Attributes of a delegated cgroup: for root, and for everybody from systemd 251 on."""

OWN_SCOPE = "snekhouse-"
"""How the names of scopes begin that servers made for themselves: these are delegated."""


def unit_of(group: Path) -> Path | None:
    """Find the unit that a group belongs to: the group itself, or the nearest above it that is a service or scope.

    Args:
        group: Folder of a group in the hierarchy of v2.
    """
    return next((folder for folder in (group, *group.parents) if folder.suffix in {".service", ".scope"}), None)


def undelegated_unit(group: Path, booted: Path = BOOTED) -> Path | None:
    """Find the unit of a group, if it is one whose cgroup systemd keeps for itself.

    Args:
        group: Folder of a group in the hierarchy of v2.
        booted: What exists where systemd runs.
    """
    unit = unit_of(group) if booted.is_dir() else None
    return None if unit is None or _is_delegated(unit) else unit


def _is_delegated(unit: Path) -> bool:
    if unit.name.startswith(OWN_SCOPE) and unit.suffix == ".scope":
        return True
    return any(_attribute(unit, mark) == b"1" for mark in _MARKS)


def _attribute(folder: Path, name: str) -> bytes:
    try:
        return os.getxattr(folder, name)
    except OSError:  # it has none, or only root may see it
        return b""
