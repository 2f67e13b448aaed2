"""The host ids of one server, out of the range that the registry names: no two servers on a host have the same."""

import errno
import fcntl
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from snekhouse.errors import HostError
from snekhouse.jail.state import private_folder

_FILE = "ids"
_MODE = 0o600
_LOCK = struct.Struct("hhqqi4x")
"""struct flock where off_t has 64 bits: type, whence, start, length, process (fcntl(2))."""


@contextmanager
def taken_ids(uids: Sequence[int], *, needed: int, wanted: int) -> Iterator[tuple[int, int]]:
    """Take ids that no other server has, until the end of this server, however it comes.

    A server locks the bytes of one file at the numbers of its ids. The kernel frees these locks with the last
    descriptor of the open file (open file description locks, fcntl(2)). Jails and guardians do not inherit it.

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
