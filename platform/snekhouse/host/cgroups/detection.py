"""The cgroups that this host lets the server use."""

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from snekhouse.host.cgroups import v1, v2
from snekhouse.host.cgroups.groups import Layout
from snekhouse.host.cgroups.units import BOOTED, undelegated_unit


@dataclass(frozen=True, slots=True)
class Detection:
    """The cgroups that were found.

    Attributes:
        layout: How to make groups on this host; None if that is impossible.
        version: ``v1``, ``v2`` or ``none``.
        missing: Which of ``memory``, ``pids`` and ``cpu`` cannot be limited.
        reason: Why something is missing, and the remedy; empty when nothing is.
    """

    layout: Layout | None
    version: str
    missing: frozenset[str]
    reason: str = ""

    @property
    def limited(self) -> frozenset[str]:
        """Which of ``memory``, ``pids`` and ``cpu`` can be limited."""
        return _ALL - self.missing


_ALL = frozenset(v2.CONTROLLERS)


def detect(proc: Path = Path("/proc/self"), booted: Path = BOOTED) -> Detection:
    """Find the version of cgroups whose memory, pids and cpu controllers the server may use.

    On a hybrid host the v1 hierarchies have the controllers, and v2 has none.

    Args:
        proc: The server's folder in procfs.
        booted: A folder that exists where systemd runs.
    """
    mounts = list(_cgroup_mounts(proc))
    own = _own_groups(proc)
    candidates = [*(_detect_v2(mount, own, booted) for mount in mounts if mount.is_v2), _detect_v1(mounts, own)]
    return min(candidates, key=lambda found: len(found.missing))


def groups_above(controller: str, proc: Path = Path("/proc/self")) -> Iterator[Path]:
    """List the folders of the groups that the server is in, from its own up to the topmost that is visible here.

    Args:
        controller: The controller that selects the hierarchy of v1; v2 has one hierarchy for all.
        proc: The server's folder in procfs.
    """
    own = _own_groups(proc)
    for mount in _cgroup_mounts(proc):
        name = "" if mount.is_v2 else controller
        if name in own and (mount.is_v2 or name in mount.controllers):
            group = _folder(mount, own[name])
            yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(mount.point))


def own_undelegated_unit(proc: Path = Path("/proc/self"), booted: Path = BOOTED) -> Path | None:
    """Find the server's systemd unit, if it does not delegate its cgroup (see `units`).

    Args:
        proc: The server's folder in procfs.
        booted: A folder that exists where systemd runs.
    """
    own = _own_groups(proc)
    for mount in _cgroup_mounts(proc):
        if mount.is_v2 and "" in own and "memory" in _controllers(mount.point):  # a hybrid host has it in v1
            return undelegated_unit(_folder(mount, own[""]), booted)
    return None


@dataclass(frozen=True, slots=True)
class _Mount:
    root: str
    point: Path
    is_v2: bool
    controllers: frozenset[str]


def _cgroup_mounts(proc: Path) -> Iterator[_Mount]:
    """Read proc_pid_mountinfo(5): fields up to " - ", then type, source and the superblock's options."""
    for line in _lines(proc / "mountinfo"):
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        root, point = left.split(" ")[3:5]
        if kind in {"cgroup", "cgroup2"}:
            controllers = frozenset(options.split(",")) if kind == "cgroup" else frozenset[str]()
            yield _Mount(root, Path(point), kind == "cgroup2", controllers)


def _own_groups(proc: Path) -> dict[str, str]:
    """Read /proc/PID/cgroup (cgroups(7)): the path for each controller; the path of v2 has an empty name."""
    groups: dict[str, str] = {}
    for line in _lines(proc / "cgroup"):
        _, controllers, path = line.split(":", 2)
        groups |= dict.fromkeys(controllers.split(","), path)
    return groups


def _lines(file: Path) -> list[str]:
    """Read the lines of a file in procfs. A path in it may have all bytes but that of a newline."""
    return os.fsdecode(file.read_bytes()).split("\n")[:-1]


def _folder(mount: _Mount, path: str) -> Path:
    """Find a group's folder below a mount that may show only part of the hierarchy (as in a container)."""
    below = os.path.relpath(path, mount.root) if path.startswith(mount.root) else "."
    folder = mount.point / below
    return folder if folder.is_dir() else mount.point


def _detect_v1(mounts: list[_Mount], own: dict[str, str]) -> Detection:
    bases = {}
    for name in v1.CONTROLLERS:
        folders = (_folder(mount, own[name]) for mount in mounts if name in mount.controllers and name in own)
        if folder := next(filter(_usable, folders), None):  # a container may mount one read-only and another writable
            bases[name] = folder
    remedy = _REMEDY
    if bases and "memory" not in own:  # the kernel refuses to mount a hierarchy without files for v1
        remedy = _NO_MEMORY_IN_V1
    elif "memory" in bases and not (bases["memory"] / v1.MEMORY_LIMIT).exists():
        del bases["memory"]
        remedy = _NO_MEMORY_IN_V1
    missing = _ALL - set(bases)
    if missing == _ALL:
        return Detection(None, "none", _ALL, remedy)
    return Detection(v1.V1(bases), "v1", missing, remedy if missing else "")


def _detect_v2(mount: _Mount, own: dict[str, str], booted: Path) -> Detection:
    if "" not in own:
        return _NONE
    folder = _folder(mount, own[""])
    if folder.name == v2.LEAF:  # an earlier server in the same service or container moved itself there
        folder = folder.parent
    if unit := undelegated_unit(folder, booted):
        return Detection(None, "none", _ALL, _UNDELEGATED.format(unit.name))
    controllers = _ALL & _controllers(folder)
    layout = v2.V2(folder, controllers)
    if not controllers or not _usable(folder) or not layout.may_claim():
        return _NONE
    missing = _ALL - controllers
    return Detection(layout, "v2", missing, _REMEDY if missing else "")


def _controllers(folder: Path) -> set[str]:
    return set((folder / "cgroup.controllers").read_text().split())


_NO_MEMORY_IN_V1 = (
    "this kernel limits memory only with cgroups v2 (CONFIG_MEMCG_V1 is not set): boot without "
    "systemd.unified_cgroup_hierarchy=0"
)

_UNDELEGATED = (
    "{} does not delegate its cgroup, so systemd would stop the server as soon as a program runs out of memory: add "
    "Delegate=yes to the unit, or start the server with systemd-run --scope --property=Delegate=yes"
)

_REMEDY = (
    "the cgroup file system is not mounted writable for this user, or its controllers are not delegated: "
    "run as root, or delegate them (systemd: Delegate=yes; Docker 28 or later: --security-opt writable-cgroups=true; "
    "other engines: deploy/README.md)"
)

_NONE = Detection(None, "none", _ALL, _REMEDY)


def _usable(folder: Path) -> bool:
    """Check by a trial whether cgroups can be made in a folder: mode bits and mount options do not show it reliably."""
    trial = folder / f"snekhouse-trial-{uuid.uuid4().hex[:8]}"
    try:
        trial.mkdir()
        trial.rmdir()
    except OSError:
        return False
    return True
