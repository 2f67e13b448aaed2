"""The home that a run leaves: the server reads it, through its descriptor alone.

After an evaluation, every process of the jail has ended, so nothing changes any more. After a cell, processes may still
change the home. `beneath` follows links name by name, and the kernel never does, so no link leads out of the home.

The program chose the shape of the tree, so no shape may cost the server much. The walk reads names in sorted order and
in batches, and stops at the last file that is returned. It holds at most one batch of names for each level of folders.
"""

import errno
import hashlib
import heapq
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TypeVar

from snekhouse.errors import SnekhouseError
from snekhouse.evaluation import File
from snekhouse.jail.beneath import DEPTH_LIMIT, PATH_FLAGS, resolve
from snekhouse.jail.protocol import Stamp
from snekhouse.registry.models import HOME, Files

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
class _Entry:
    """A name that may be a file or a link to one.

    Attributes:
        folder: Descriptor of the folder that contains it; open until the walk continues.
        name: Its name there.
        path: Its path below the home.
    """

    folder: int
    name: bytes
    path: bytes


class KnownFiles:
    """The stamps of files that need not be returned; at most `_MAX_KNOWN`.

    Paths are kept as digests, because a program may use paths of 4 KiB.
    """

    def __init__(self, files: Iterable[tuple[bytes, bytes]] = (), stamps: Iterable[Stamp] = ()) -> None:
        """Remember input files.

        Args:
            files: Path and content of each.
            stamps: The stamp of each, in the same order.
        """
        self._stamps: dict[bytes, Stamp] = {}
        self.add(files, stamps)

    def add(self, files: Iterable[tuple[bytes, bytes]], stamps: Iterable[Stamp]) -> None:
        """Remember more input files."""
        for (path, _), stamp in zip(files, stamps, strict=True):
            self.note(path.decode(), stamp)

    def note(self, path: str, stamp: Stamp) -> None:
        """Remember the stamp of a file; forget the oldest one if there are too many."""
        self._stamps[_digest(path)] = stamp
        if len(self._stamps) > _MAX_KNOWN:
            self._stamps.pop(next(iter(self._stamps)))

    def includes(self, path: str, stamp: Stamp) -> bool:
        """Return whether a file is known, and has not changed since."""
        return self._stamps.get(_digest(path)) == stamp


_MAX_KNOWN = 20_000
"""Files that are known at once; a request has at most as many."""


def _digest(path: str) -> bytes:
    return hashlib.blake2b(path.encode(), digest_size=16).digest()


def collect(home: int, *, files: Files, size_limit: int, known: KnownFiles) -> tuple[File, ...]:
    """Read the files that a program left.

    Args:
        home: Descriptor of the home.
        files: How many files to return, which names, and how long collecting may take.
        size_limit: Bytes of all files together; a file that does not fit is skipped.
        known: Files that are not returned unless they have changed. `collect` adds the files that it returns.

    Returns:
        The first files, sorted by path.

    Raises:
        FilesError: It took too long; or, before the last file that is returned, a name is not UTF-8, or a path is too
            deep or too long.
    """
    return _Collector(home, files, size_limit, known).collect()


def is_empty(home: int) -> bool:
    """Check whether a home has no entries."""
    with os.scandir(home) as entries:
        return next(entries, None) is None


class _Collector:
    def __init__(self, home: int, files: Files, size_limit: int, known: KnownFiles) -> None:
        self._home = home
        self._files = files
        self._size_left = size_limit
        self._known = known
        self._returned: list[tuple[str, Stamp]] = []
        self._deadline = time.monotonic() + files.timeout

    def collect(self) -> tuple[File, ...]:
        found = tuple(islice(self._found(), self._files.limit))
        for path, stamp in self._returned:
            self._known.note(path, stamp)
        return found

    def _found(self) -> Iterator[File]:
        for entry in self._walk(self._home):
            if not _matches(entry.path, self._files.pattern):
                continue
            self._check_time()
            path = _decoded(entry.path)
            content = self._read(entry, path)
            if content is not None:
                yield File(path, content)

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise FilesError("TimeoutError: Exceeded time limit while parsing attachments")

    def _walk(self, folder: int, prefix: bytes = b"", depth: int = 0) -> Iterator[_Entry]:
        """List files and links, sorted by path, without following links."""
        if depth > DEPTH_LIMIT:
            raise FilesError("FileParsingError: Exceeded directory depth limit while parsing attachments")
        for name in self._names(folder):
            path = prefix + name
            if len(path) > _PATH_LIMIT:
                raise FilesError("FileParsingError: Exceeded path length limit while parsing attachments")
            if not name.endswith(b"/"):
                yield _Entry(folder, name, path)
                continue
            # The slash is removed: with a slash the kernel follows a link in spite of O_NOFOLLOW (path_resolution(7)).
            descriptor = _unless_dead_end(partial(os.open, name.rstrip(b"/"), _FOLDER_FLAGS, dir_fd=folder))
            if descriptor is not None:
                with _closing(descriptor):
                    yield from self._walk(descriptor, path, depth + 1)

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
                self._check_time()
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield os.fsencode(entry.name) + b"/"
                elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
                    yield os.fsencode(entry.name)

    def _read(self, entry: _Entry, path: str) -> bytes | None:
        """Read the file that a name leads to, if it is regular, fits, and is not known already."""
        target = _unless_dead_end(lambda: self._target(entry, path))
        if target is None:
            return None
        with _closing(target):
            status = os.fstat(target)
            stamp = Stamp(status.st_ino, status.st_mtime_ns)
            is_known = self._known.includes(path, stamp)
            if not stat.S_ISREG(status.st_mode) or is_known or status.st_size > self._size_left:
                return None
            content = _unless_dead_end(lambda: _read_all(target, status.st_size))
        self._returned.append((path, stamp))
        self._size_left -= len(content or b"")
        return content

    def _target(self, entry: _Entry, path: str) -> int:
        """Open the file that a name leads to (O_PATH); the caller closes it."""
        found = os.open(entry.name, PATH_FLAGS, dir_fd=entry.folder)
        if not stat.S_ISLNK(os.fstat(found).st_mode):
            return found
        os.close(found)
        return resolve(self._home, path, root=HOME)


def _read_all(target: int, size: int) -> bytes:
    """Read a regular file that an O_PATH descriptor names."""
    with Path(f"/proc/self/fd/{target}").open("rb") as file:
        return file.read(size)


def _decoded(path: bytes) -> str:
    try:
        return path.decode()
    except UnicodeDecodeError:
        raise FilesError("FileParsingError: invalid bytes in filename while parsing attachments") from None


def _matches(path: bytes, pattern: str) -> bool:
    """Match a whole path; ``**/`` at the start of a pattern matches any folders or none."""
    pure = PurePosixPath(os.fsdecode(path))
    return pure.match(pattern.removeprefix("**/")) if pattern.startswith("**/") else pure.match("/" + pattern)


def _unless_dead_end(attempt: Callable[[], _T]) -> _T | None:
    try:
        return attempt()
    except OSError as error:
        if error.errno in _DEAD_ENDS:
            return None
        raise


@contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)
