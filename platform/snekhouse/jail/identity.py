"""Who a run is outside its jail: host ids that its user namespace maps (user_namespaces(7))."""

import errno
import heapq
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

NOBODY = 65534
"""Id inside every jail, of user and group. Runs of a template have those from here on, the template the one before."""


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


@dataclass(frozen=True, slots=True, order=True)
class Outside:
    """A run's host ids.

    Attributes:
        user: Of the user.
        group: Of the group.
        inside: What a template maps them to. The jail of a single run maps them to `NOBODY`.
    """

    user: int
    group: int
    inside: int = NOBODY


class OutsideIds:
    """The host ids that runs get, the lowest that is free first.

    Attributes:
        shared: Why all runs have the same; empty where each has its own.
        count: How many there are, the templates' included.
        users: What a template maps, as NsJail's ``--user`` takes it, its own id first; `groups` the same.
    """

    def __init__(self, free: Iterable[Outside], *, template: Outside, shared: str = "") -> None:
        self._free = sorted(free)
        self.shared = shared
        self.count = len(self._free) + 1
        first, count = self._free[0], len(self._free)
        own = (f"{template.inside}:{template.user}:1", f"{template.inside}:{template.group}:1")
        runs = (f"{NOBODY}:{first.user}:{count}", f"{NOBODY}:{first.group}:{count}")
        self.users, self.groups = (
            (mine,) if shared else (mine, theirs) for mine, theirs in zip(own, runs, strict=True)
        )

    @classmethod
    def of(cls, uids: Sequence[int]) -> Self:
        """Take them from a range, where that can be.

        Args:
            uids: The first id, of user and group alike, and the last, which is the templates'.
        """
        first, last = uids
        if os.geteuid() != 0:
            own = Outside(os.geteuid(), os.getegid())
            reason = "runs have the id of this user, who is not root: start the server as root"
            return cls([own], template=own, shared=reason)
        if not all(_is_mapped(kind, first, last) for kind in ("uid", "gid")):
            reason = (
                f"runs are nobody ({NOBODY}): the ids {first} to {last} do not exist in the server's user namespace; "
                "name a range of /proc/self/uid_map and gid_map as [server] uids"
            )
            nobody = Outside(NOBODY, NOBODY)
            return cls([nobody], template=nobody, shared=reason)
        runs = (Outside(each, each, NOBODY + each - first) for each in range(first, last))
        return cls(runs, template=Outside(last, last, NOBODY - 1))

    @contextmanager
    def lease(self) -> Iterator[Outside]:
        """Lease ids that no other run has until they are given back, unless they are shared.

        Raises:
            OSError: All are leased.
        """
        if self.shared:
            yield self._free[0]
            return
        if not self._free:
            raise OSError(errno.EAGAIN, "all host ids are in use")
        outside = heapq.heappop(self._free)
        try:
            yield outside
        finally:
            heapq.heappush(self._free, outside)


def _is_mapped(kind: str, first: int, last: int) -> bool:
    """Whether one line of this namespace's map has the whole range."""
    lines = Path(f"/proc/self/{kind}_map").read_text().splitlines()
    starts = ((int(inside), int(count)) for inside, _, count in map(str.split, lines))
    return any(inside <= first and last < inside + count for inside, count in starts)
