"""A walk through the home of a run or a session: the server reads it, through its descriptor alone.

After an evaluation, every process of the jail has ended, so nothing changes any more. During a session, processes may
change the home at any time. `beneath` follows links name by name, and the kernel never does, so no link leads out of
the home.

The program chose the shape of the tree, so no shape may cost the server much. The walk reads names in sorted order and
in batches, and stops when the caller does. It holds at most one batch of names for each level of folders.
"""

import errno
import heapq
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from snekhouse.errors import SnekhouseError
from snekhouse.jail.beneath import DEPTH_LIMIT, PATH_FLAGS, resolve
from snekhouse.registry.models import HOME

_T = TypeVar("_T")

_PATH_LIMIT = 4096
"""Bytes of a path below the home: PATH_MAX (limits.h), the limit of a system call."""

_BATCH = 512
"""Names of one folder that are held at once. If all have the maximum length (NAME_MAX), all levels take about 15 MB."""

_DEAD_ENDS = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.EACCES, errno.ENAMETOOLONG, errno.ENXIO}
"""Errors that a program can cause: links to nowhere, out of the home or in a loop, and missing permissions."""

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class FilesError(SnekhouseError):
    """The files cannot be returned. `run` turns it into the status `file_error`; the text is for the client."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A name that may be a file or a link to one.

    Attributes:
        folder: Descriptor of the folder that contains it; open until the walk continues.
        name: Its name there.
        path: Its path below the home.
    """

    folder: int
    name: bytes
    path: bytes

    @property
    def text(self) -> str:
        """Its path as text.

        Raises:
            FilesError: It is not UTF-8.
        """
        try:
            return self.path.decode()
        except UnicodeDecodeError:
            raise FilesError("FileParsingError: invalid bytes in filename while parsing attachments") from None


class HomeWalk:
    """A walk through a home."""

    def __init__(self, home: int, timeout: float) -> None:
        """Prepare a walk.

        Args:
            home: Descriptor of the home.
            timeout: How many seconds the walk may take.
        """
        self._home = home
        self._deadline = time.monotonic() + timeout

    def check_time(self) -> None:
        """Check that there is time left.

        Raises:
            FilesError: It took too long.
        """
        if time.monotonic() > self._deadline:
            raise FilesError("TimeoutError: Exceeded time limit while parsing attachments")

    def entries(self) -> Iterator[Entry]:
        """List files and links whose names do not begin with a dot, sorted by path, without following links.

        Raises:
            FilesError: It took too long, or a path is too deep or too long.
        """
        # A description of its own: another walk at the same time would move its position (readdir(3)).
        own = unless_dead_end(partial(os.open, ".", _FOLDER_FLAGS, dir_fd=self._home))
        if own is None:  # the program has closed its home; no other walk sees anything either
            yield from self._below(self._home)
            return
        with closing(own):
            yield from self._below(own)

    @contextmanager
    def opened(self, entry: Entry) -> Iterator[int | None]:
        """Open the regular file that an entry leads to (O_PATH), and close it on leaving; None if there is none."""
        target = unless_dead_end(lambda: self._target(entry))
        if target is None:
            yield None
            return
        with closing(target):
            yield target if stat.S_ISREG(os.fstat(target).st_mode) else None

    def _target(self, entry: Entry) -> int:
        found = os.open(entry.name, PATH_FLAGS, dir_fd=entry.folder)
        if not stat.S_ISLNK(os.fstat(found).st_mode):
            return found
        os.close(found)
        return resolve(self._home, entry.text, root=HOME)

    def _below(self, folder: int, prefix: bytes = b"", depth: int = 0) -> Iterator[Entry]:
        if depth > DEPTH_LIMIT:
            raise FilesError("FileParsingError: Exceeded directory depth limit while parsing attachments")
        for name in self._names(folder):
            path = prefix + name
            if len(path) > _PATH_LIMIT:
                raise FilesError("FileParsingError: Exceeded path length limit while parsing attachments")
            if not name.endswith(b"/"):
                yield Entry(folder, name, path)
                continue
            # The slash is removed: with a slash the kernel follows a link in spite of O_NOFOLLOW (path_resolution(7)).
            descriptor = unless_dead_end(partial(os.open, name.rstrip(b"/"), _FOLDER_FLAGS, dir_fd=folder))
            if descriptor is not None:
                with closing(descriptor):
                    yield from self._below(descriptor, path, depth + 1)

    def _names(self, folder: int) -> Iterator[bytes]:
        """List the names in a folder in sorted order, folders with a slash at the end.

        Whole paths sort in this order: "a.txt" comes before "a/x".
        """
        last = b""
        while batch := heapq.nsmallest(_BATCH, (name for name in self._scan(folder) if name > last)):
            yield from batch
            if len(batch) < _BATCH:
                return
            last = batch[-1]

    def _scan(self, folder: int) -> Iterator[bytes]:
        with os.scandir(folder) as entries:
            for entry in entries:
                self.check_time()
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield os.fsencode(entry.name) + b"/"
                elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
                    yield os.fsencode(entry.name)


def unless_dead_end(attempt: Callable[[], _T]) -> _T | None:
    """Do something with a file; return None if it fails for a reason that a program can cause."""
    try:
        return attempt()
    except OSError as error:
        if error.errno in _DEAD_ENDS:
            return None
        raise


@contextmanager
def closing(descriptor: int) -> Iterator[None]:
    """Close a descriptor on leaving."""
    try:
        yield
    finally:
        os.close(descriptor)
