"""Who a run is outside its jail: host ids that its user namespace maps (user_namespaces(7))."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Identity:
    """What jails of a runtime map besides the run's own id.

    Attributes:
        closed: Folders that only root may enter, with sources of mounts below. Where there are some, root's id is
            mapped as well, for NsJail to mount those: the program has neither that id nor the capability to take it.
    """

    closed: tuple[Path, ...] = ()


def identity_for(sources: Iterable[Path]) -> Identity:
    """Work out what jails have to map that mount `sources`.

    NsJail mounts as the mapped user, so a source below a folder that only root may enter (such as a 0700 home) takes
    mapping root as well. An ordinary user can map nobody but themselves, and has no need to.

    Args:
        sources: Host paths that the jail mounts.
    """
    if os.geteuid() != 0:
        return Identity()
    return Identity(tuple(dict.fromkeys(folder for source in sources for folder in _closed_above(source))))


def _closed_above(source: Path) -> list[Path]:
    """List the folders on the way that not everybody may enter; a source may come to be there later."""
    real = Path(os.path.realpath(source))  # loops of links are left as they are
    parents = (parent for parent in real.parents if parent.exists())
    return [parent for parent in parents if not parent.stat().st_mode & stat.S_IXOTH]
