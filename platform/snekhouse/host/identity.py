"""The host ids that a jail's user namespace maps (user_namespaces(7))."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Identity:
    """The ids that jails of a runtime map besides the run's own.

    Attributes:
        closed: Folders that only root may enter and that contain sources of mounts. If there are any, jails map root's
            id as well, so that NsJail can mount the sources. The program does not have root's id, and has no capability
            to get it.
    """

    closed: tuple[Path, ...] = ()


def identity_for(sources: Iterable[Path]) -> Identity:
    """Return the ids that a jail must map to mount `sources`.

    NsJail mounts as the mapped user, so it needs root's id for a source below a folder that only root may enter (such
    as a 0700 home). An ordinary user can map only their own id.

    Args:
        sources: Host paths that the jail mounts.
    """
    if os.geteuid() != 0:
        return Identity()
    return Identity(tuple(dict.fromkeys(folder for source in sources for folder in _closed_above(source))))


def _closed_above(source: Path) -> list[Path]:
    """List the folders above a source that not everybody may enter. The source need not exist yet."""
    real = Path(os.path.realpath(source))  # a loop of links stays as it is
    parents = (parent for parent in real.parents if parent.exists())
    return [parent for parent in parents if not parent.stat().st_mode & stat.S_IXOTH]
