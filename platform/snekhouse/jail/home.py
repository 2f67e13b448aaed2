"""The home that a run leaves behind, read through its descriptor alone.

When this reads, every process of the jail is dead: nothing changes any more. Links are followed by hand, one name
after the other and never by the kernel (`beneath`), so that none leads out of the home, whatever it points at.
"""

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeVar

from snekhouse.jail.beneath import resolve
from snekhouse.jail.evaluation import File
from snekhouse.jail.protocol import Stamp
from snekhouse.registry.models import HOME, Files

_T = TypeVar("_T")

_DEPTH_LIMIT = 100
_DEAD_ENDS = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.EXDEV,
    errno.EACCES,
    errno.ENAMETOOLONG,
    errno.ENXIO,
}
"""Errors that are of the program's making: links to nowhere, out of the home or in circles, and closed doors."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class FilesError(Exception):
    """The files cannot be passed on. Never leaves `run`, where it becomes `file_error`; the text is for the client."""


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    size: int


def collect(home: int, *, files: Files, size_limit: int, inputs: Mapping[str, Stamp]) -> tuple[File, ...]:
    """Read the files that a program left.

    Args:
        home: Descriptor of the home.
        files: How many, which names, and how long it may take.
        size_limit: Bytes of all files together; what does not fit is left out unread.
        inputs: Stamp of each input file, by path: one that still bears it there is not returned.

    Returns:
        The files, sorted by path.

    Raises:
        FilesError: It took too long, a name is not UTF-8, or folders are nested too deeply.
    """
    return _Collector(home, files, size_limit, inputs).collect()


def is_empty(home: int) -> bool:
    """Tell cheaply whether a home has no entries at all."""
    with os.scandir(home) as entries:
        return next(entries, None) is None


class _Collector:
    def __init__(self, home: int, files: Files, size_limit: int, inputs: Mapping[str, Stamp]) -> None:
        self._home = home
        self._files = files
        self._room = size_limit
        self._inputs = inputs
        self._deadline = time.monotonic() + files.timeout

    def collect(self) -> tuple[File, ...]:
        names = sorted(_checked(path) for path in self._walk(self._home) if _matches(path, self._files.pattern))
        found: list[File] = []
        for name in names:
            if len(found) == self._files.limit:
                break
            self._check_time()
            content = self._read(name)
            if content is not None:
                found.append(File(name, content))
        return tuple(found)

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise FilesError("TimeoutError: Exceeded time limit while parsing attachments")

    def _walk(self, folder: int, prefix: str = "", depth: int = 0) -> Iterator[str]:
        """Name everything that may be a file or a link to one, without following links."""
        if depth > _DEPTH_LIMIT:
            raise FilesError("FileParsingError: Exceeded directory depth limit while parsing attachments")
        subfolders: list[str] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                self._check_time()
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    subfolders.append(entry.name)
                elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
                    yield prefix + entry.name
        for name in subfolders:
            descriptor = _unless_dead_end(partial(os.open, name, _FOLDER, dir_fd=folder))
            if descriptor is not None:
                with _closing(descriptor):
                    yield from self._walk(descriptor, f"{prefix}{name}/", depth + 1)

    def _read(self, name: str) -> bytes | None:
        """Read what a name leads to, if it is a regular file of the program's making that fits."""
        target = _unless_dead_end(lambda: resolve(self._home, name, root=HOME))
        if target is None:
            return None
        with _closing(target):
            status = os.fstat(target)
            untouched = Stamp(status.st_ino, status.st_mtime_ns) == self._inputs.get(name)
            if not stat.S_ISREG(status.st_mode) or untouched or status.st_size > self._room:
                return None
            content = _unless_dead_end(lambda: _read_all(target, status.st_size))
        self._room -= len(content or b"")
        return content


def _read_all(target: int, size: int) -> bytes:
    """Read a regular file that an O_PATH descriptor names."""
    with Path(f"/proc/self/fd/{target}").open("rb") as file:
        return file.read(size)


def _checked(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise FilesError("FileParsingError: invalid bytes in filename while parsing attachments") from None
    return path


def _matches(path: str, pattern: str) -> bool:
    """Match a path from its start, ``**/`` standing for any folders or none."""
    pure = PurePosixPath(path)
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
