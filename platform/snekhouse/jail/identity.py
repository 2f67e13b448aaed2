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
        hidden: Sources of mounts that only root can reach. Where there are some, root's id is mapped as well,
            for NsJail to mount them: the program has neither that id nor the capability to take it.
    """

    users: tuple[str, ...]
    groups: tuple[str, ...]
    hidden: tuple[Path, ...] = ()


def identity_for(sources: Iterable[Path]) -> Identity:
    """Work out the identity of a jail that mounts `sources`.

    An ordinary user can map no id but their own; root maps nobody. NsJail mounts as the mapped user, so a source
    below a folder that only root may enter (such as a 0700 home) takes mapping root as well.

    Args:
        sources: Host paths that the jail mounts.
    """
    if os.geteuid() != 0:
        return Identity((str(os.geteuid()),), (str(os.getegid()),))
    hidden = tuple(source for source in sources if not _reachable(source))
    ids = (str(NOBODY), "0") if hidden else (str(NOBODY),)
    return Identity(ids, ids, hidden)


def _reachable(source: Path) -> bool:
    """Whether anybody may enter all folders on the way; a path that does not exist hides nothing."""
    try:
        real = source.resolve(strict=True)
    except OSError:
        return True
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in real.parents)
