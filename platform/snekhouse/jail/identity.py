"""Who a jail is outside: the host ids that its user namespace maps (user_namespaces(7))."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

NOBODY = 65534
"""Id inside every jail, and outside too where the server may choose."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The host ids that a jail maps; the first of each is the program's own.

    Attributes:
        users: Host user ids, as text.
        groups: Host group ids, as text.
        closed: Folders that only root may enter, with sources of mounts below. Where there are some, root's id is
            mapped as well, for NsJail to mount those: the program has neither that id nor the capability to take it.
    """

    users: tuple[str, ...]
    groups: tuple[str, ...]
    closed: tuple[Path, ...] = ()


def identity_for(sources: Iterable[Path]) -> Identity:
    """Work out the identity of a jail that mounts `sources`.

    An ordinary user can map no id but their own; root maps nobody. NsJail mounts as the mapped user, so a source
    below a folder that only root may enter (such as a 0700 home) takes mapping root as well.

    Args:
        sources: Host paths that the jail mounts.
    """
    if os.geteuid() != 0:
        return Identity((str(os.geteuid()),), (str(os.getegid()),))
    closed = tuple(dict.fromkeys(folder for source in sources for folder in _closed_above(source)))
    ids = (str(NOBODY), "0") if closed else (str(NOBODY),)
    return Identity(ids, ids, closed)


def _closed_above(source: Path) -> list[Path]:
    """List the folders on the way that not everybody may enter; a source may come to be there later."""
    real = Path(os.path.realpath(source))  # loops of links are left as they are
    parents = (parent for parent in real.parents if parent.exists())
    return [parent for parent in parents if not parent.stat().st_mode & stat.S_IXOTH]
