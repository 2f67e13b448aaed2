"""Host ids of runs (user_namespaces(7)): no two runs have the same at once, and no two servers on a host."""

import errno
import fcntl
import heapq
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from snekhouse.errors import HostError
from snekhouse.host.state import private_folder

NOBODY = 65534
"""Id of user and group of the program in every jail. Runs of a fork server have the ids from here on; the fork server
has the one before."""

_FILE = "ids"
_MODE = 0o600
_LOCK = struct.Struct("hhqqi4x")
"""struct flock where off_t has 64 bits: type, whence, start, length, process (fcntl(2))."""


@dataclass(frozen=True, slots=True, order=True)
class HostIds:
    """A run's host ids.

    Attributes:
        user: Of the user.
        group: Of the group.
        inside: What a fork server maps them to. The jail of a single run maps them to `NOBODY`.
    """

    user: int
    group: int
    inside: int = NOBODY


class HostIdPool:
    """The host ids that runs get, the lowest that is free first.

    Attributes:
        shared: Why all runs have the same; empty where each has its own.
        count: How many there are, the fork servers' included.
        users: What a fork server maps, as NsJail's ``--user`` takes it, its own id first; `groups` the same.
    """

    def __init__(self, free: Iterable[HostIds], *, fork_server: HostIds, shared: str = "") -> None:
        self._free = sorted(free)
        self.shared = shared
        self.count = len(self._free) + 1
        first, count = self._free[0], len(self._free)
        own = (f"{fork_server.inside}:{fork_server.user}:1", f"{fork_server.inside}:{fork_server.group}:1")
        runs = (f"{NOBODY}:{first.user}:{count}", f"{NOBODY}:{first.group}:{count}")
        self.users, self.groups = (
            (mine,) if shared else (mine, theirs) for mine, theirs in zip(own, runs, strict=True)
        )

    @classmethod
    def of(cls, uids: Sequence[int]) -> Self:
        """Take them from a range, where that can be.

        Args:
            uids: The first id, of user and group alike, and the last, which is the fork servers'.
        """
        first, last = uids
        if os.geteuid() != 0:
            own = HostIds(os.geteuid(), os.getegid())
            reason = "runs have the id of this user, who is not root: start the server as root"
            return cls([own], fork_server=own, shared=reason)
        if not all(_is_mapped(kind, first, last) for kind in ("uid", "gid")):
            reason = (
                f"runs are nobody ({NOBODY}): the ids {first} to {last} do not exist in the server's user namespace; "
                "name a range of /proc/self/uid_map and gid_map as [server] uids"
            )
            nobody = HostIds(NOBODY, NOBODY)
            return cls([nobody], fork_server=nobody, shared=reason)
        runs = (HostIds(each, each, NOBODY + each - first) for each in range(first, last))
        return cls(runs, fork_server=HostIds(last, last, NOBODY - 1))

    @contextmanager
    def lease(self) -> Iterator[HostIds]:
        """Lease ids that no other run has until they are given back, unless they are shared.

        Raises:
            OSError: All are leased.
        """
        if self.shared:
            yield self._free[0]
            return
        if not self._free:
            raise OSError(errno.EAGAIN, "all host ids are in use")
        host_ids = heapq.heappop(self._free)
        try:
            yield host_ids
        finally:
            heapq.heappush(self._free, host_ids)


def _is_mapped(kind: str, first: int, last: int) -> bool:
    """Whether one line of this namespace's map has the whole range."""
    lines = Path(f"/proc/self/{kind}_map").read_text().splitlines()
    starts = ((int(inside), int(count)) for inside, _, count in map(str.split, lines))
    return any(inside <= first and last < inside + count for inside, count in starts)


@contextmanager
def reserved_ids(uids: Sequence[int], *, needed: int, wanted: int) -> Iterator[tuple[int, int]]:
    """Take ids that no other server has, until the end of this server, however it comes.

    A server locks the bytes of one file at the numbers of its ids. The kernel frees these locks with the last
    descriptor of the open file (open file description locks, fcntl(2)). Jails and watchdogs do not inherit it.

    Args:
        uids: First and last of the ids that servers may take.
        needed: How many this one needs.
        wanted: How many it takes if there are as many.

    Yields:
        First and last of those taken, which are next to each other.

    Raises:
        HostError: There are not as many as needed.
    """
    descriptor = os.open(private_folder() / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
    try:
        for count in sorted({needed, max(needed, wanted)}, reverse=True):
            if (first := _take(descriptor, uids, count)) is not None:
                break
        else:
            raise HostError(_refusal(uids, needed))
        yield first, first + count - 1
    finally:
        os.close(descriptor)


def _take(descriptor: int, uids: Sequence[int], count: int) -> int | None:
    """Lock the first free bytes of a range; return where they begin, or None where there are not as many."""
    at, last = uids
    while at + count - 1 <= last:
        wish = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, at, count, 0)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wish)
        except OSError as error:
            if error.errno not in {errno.EAGAIN, errno.EACCES}:
                raise
        else:
            return at
        kind, _, start, length, _ = _LOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, wish))
        if kind != fcntl.F_UNLCK:  # another server's; one that has just ended is tried again
            at = start + length
    return None


def _refusal(uids: Sequence[int], needed: int) -> str:
    first, last = uids
    if last - first + 1 < needed:
        return (
            f"[server] uids {first} to {last} are {last - first + 1} ids, and this server needs {needed}: "
            f"end the range at {first + needed - 1} or later"
        )
    return (
        f"other servers on this host have the host ids {first} to {last}, and fewer than the {needed} that this one "
        "needs are free in a row: name another range in [server] uids, or stop a server"
    )
