"""The files of a session, one by one: list, open, write and remove them.

Processes of the session may change the files at any time. The server reads and removes them itself. A state writes
them, so that they count as the session's memory.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio

from snekhouse.errors import JailError, RequestError, SnekhouseError
from snekhouse.evaluation import File, Job
from snekhouse.jail.beneath import resolve
from snekhouse.jail.home_walk import HomeWalk, closing, unless_dead_end
from snekhouse.jail.inputs import Request
from snekhouse.jail.protocol import Refusal
from snekhouse.jail.session import SessionJail
from snekhouse.jail.session_state import SessionLostError, SessionState
from snekhouse.profile.rendering import START_TIMEOUT_S
from snekhouse.registry.models import HOME, Limits

_MAX_LISTED = 10_000
"""Files that a list has at most."""

_MAX_COST = 2 << 20
"""Bytes of a list: a path may have 4 KiB."""

_ENTRY_SIZE = 64
"""Bytes of a list for each file, besides its path."""


class FileUnknownError(SnekhouseError):
    """There is no such file in the home of a session."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of a session.

    Attributes:
        path: Its path below the home.
        size: Bytes.
        modified: When it was last modified, in seconds since 1970.
    """

    path: str
    size: int
    modified: float

    @property
    def cost(self) -> int:
        """Bytes that it takes in a list, about."""
        return _ENTRY_SIZE + len(self.path.encode())


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A regular file of a session, open for reading.

    Attributes:
        descriptor: Its descriptor.
        size: Its size in bytes when it was opened.
        version: Differs if the file was replaced, resized or modified.
    """

    descriptor: int
    size: int
    version: str


def list_files(home: int, timeout: float) -> tuple[tuple[FileEntry, ...], bool]:
    """List the files of a home by the rules of `home_walk`, sorted by path.

    Args:
        home: Descriptor of the home.
        timeout: How many seconds it may take.

    Returns:
        The files, and whether there are more than a list can have.

    Raises:
        FilesError: It took too long; or a name is not UTF-8, or a path is too deep or too long.
    """
    found: list[FileEntry] = []
    left = _MAX_COST
    for entry in _entries(HomeWalk(home, timeout)):
        left -= entry.cost
        if len(found) == _MAX_LISTED or left < 0:
            return tuple(found), True
        found.append(entry)
    return tuple(found), False


def _entries(walk: HomeWalk) -> Iterator[FileEntry]:
    for entry in walk.entries():
        path = entry.text
        walk.check_time()
        with walk.opened(entry) as target:
            if target is not None:
                status = os.fstat(target)
                yield FileEntry(path, status.st_size, status.st_mtime)


@contextmanager
def opened_file(home: int, path: str) -> Iterator[OpenFile]:
    """Open a file of a home, and close it on leaving.

    Args:
        home: Descriptor of the home.
        path: Path below it; links are followed as long as they stay below it.

    Raises:
        FileUnknownError: There is no regular file by this path.
    """
    target = unless_dead_end(lambda: resolve(home, path, root=HOME))
    if target is None:
        raise FileUnknownError(_UNKNOWN)
    with closing(target):
        status = os.fstat(target)
        is_file = os.path.isfile(f"/proc/self/fd/{target}")  # noqa: PTH113 - no path, but a descriptor
        # An O_PATH descriptor cannot be read. The file is regular, so opening it again does not block.
        descriptor = unless_dead_end(lambda: os.open(f"/proc/self/fd/{target}", os.O_RDONLY)) if is_file else None
    if descriptor is None:
        raise FileUnknownError(_UNKNOWN)
    with closing(descriptor):
        yield OpenFile(descriptor, status.st_size, f"{status.st_ino}-{status.st_mtime_ns}-{status.st_size}")


_UNKNOWN = "there is no such file; GET /sessions/{session}/files lists the files"


def remove_file(home: int, path: str) -> None:
    """Remove a file, a link or an empty folder of a home.

    Args:
        home: Descriptor of the home.
        path: Path below it, in its shortest form.

    Raises:
        FileUnknownError: There is nothing by this path.
        RequestError: It cannot be removed; the text says why.
    """
    folder, _, name = path.rpartition("/")
    parent = unless_dead_end(lambda: resolve(home, folder, root=HOME))
    if parent is None:
        raise FileUnknownError(_UNKNOWN)
    with closing(parent):
        try:
            _remove(parent, name)
        except FileNotFoundError:
            raise FileUnknownError(_UNKNOWN) from None
        except OSError as error:
            raise RequestError(f"{path!r} cannot be removed: {error.strerror}") from error


def _remove(folder: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except OSError as error:
        if error.errno not in {errno.EISDIR, errno.EPERM}:  # POSIX has EPERM for folders, Linux EISDIR
            raise
        os.rmdir(name, dir_fd=folder)


async def write_file(jail: SessionJail, state: SessionState, file: File, limits: Limits) -> None:
    """Write a file below the home, and make the folders above it; the caller holds the jail's lock.

    A copy of the state writes it, and then ends. A state with threads cannot be copied, and writes it itself.

    Args:
        jail: The jail of the session.
        state: Its current state.
        file: The file; one that exists is replaced.
        limits: The limits of the session.

    Raises:
        RequestError: The file could not be written; the text says why.
        RefusedError: The state cannot be copied.
        SessionLostError: The state does not follow orders, or has no memory left for the file.
    """
    request = Request.of(Job(args=(), files=(file,), limits=limits))
    nowhere = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    with closing(nowhere):
        return await _write(jail, state, request, nowhere)


async def _write(jail: SessionJail, state: SessionState, request: Request, nowhere: int) -> None:
    copy = state if state.threads else await jail.fork(state)
    path = request.files[0][0].decode()
    try:
        # A state that writes itself must not be left in the middle of it.
        with anyio.CancelScope(shield=copy is state), anyio.fail_after(START_TIMEOUT_S):
            refusal = await jail.begin_cell(copy, request, (nowhere,) * 3)
    except (JailError, TimeoutError, OSError) as error:
        if copy is state:
            raise SessionLostError("the session's interpreter ended while it wrote a file") from error
        raise RequestError(f"{path!r} cannot be written: {_REASON}", title=_TITLE) from error
    finally:
        if copy is not state:
            await jail.kill(copy)
    if isinstance(refusal, Refusal):
        raise RequestError(refusal.explained(path)[1], title=_TITLE)


_TITLE = "Request file is invalid"
_REASON = (
    "the interpreter ended, probably because the file does not fit into limits.memory; "
    "send a smaller file, or open a session with more memory"
)
