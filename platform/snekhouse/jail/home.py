"""The home that a run leaves behind, read through its descriptor alone.

When this reads, every process of the jail is dead: nothing changes any more. Links are followed by hand, one name
after the other and never by the kernel, so that none leads out of the home, whatever it points at.
"""

import errno
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from snekhouse.jail.evaluation import File
from snekhouse.jail.protocol import Stamp
from snekhouse.registry.models import Files

HOME = "/home"
"""Where a jail has its home."""

_DEPTH_LIMIT = 100
_LINK_LIMIT = 40
"""Links followed for one name; the kernel's own limit (path_resolution(7))."""


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


class FilesError(Exception):
    """The files cannot be passed on. Never leaves `run`, where it becomes `file_error`; the text is for the client."""


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    size: int


def collect(home: int, *, files: Files, size_limit: int, inputs: frozenset[Stamp]) -> tuple[File, ...]:
    """Read the files that a program left.

    Args:
        home: Descriptor of the home.
        files: How many, which names, and how long it may take.
        size_limit: Bytes of all files together; what does not fit is left out unread.
        inputs: Stamps of the input files: what still bears one is not returned.

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
    def __init__(self, home: int, files: Files, size_limit: int, inputs: frozenset[Stamp]) -> None:
        self._home = home
        self._files = files
        self._room = size_limit
        self._inputs = inputs
        self._deadline = time.monotonic() + files.timeout

    def collect(self) -> tuple[File, ...]:
        names = sorted(_checked(path) for path in self._walk() if _matches(path, self._files.pattern))
        found: list[File] = []
        for name in names:
            if len(found) == self._files.limit:
                break
            content = self._read(name)
            if content is not None:
                found.append(File(name, content))
        return tuple(found)

    def _open(self, path: str, flags: int) -> int | None:
        try:
            return _Path(self._home).open(path, flags)
        except OSError as error:
            if error.errno in _DEAD_ENDS:
                return None
            raise

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise FilesError("TimeoutError: Exceeded time limit while parsing attachments")

    def _walk(self) -> Iterator[str]:
        """Name everything that may be a file or a link to one, without following links."""
        pending: list[str] = [""]
        while pending:
            folder = pending.pop()
            if folder.count("/") > _DEPTH_LIMIT:
                raise FilesError("FileParsingError: Exceeded directory depth limit while parsing attachments")
            descriptor = self._open(folder, os.O_RDONLY | os.O_DIRECTORY)
            if descriptor is None:
                continue
            try:
                with os.scandir(descriptor) as entries:
                    for entry in entries:
                        self._check_time()
                        if entry.name.startswith("."):
                            continue
                        path = f"{folder}{entry.name}"
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(path + "/")
                        elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
                            yield path
            finally:
                os.close(descriptor)

    def _read(self, name: str) -> bytes | None:
        self._check_time()
        descriptor = self._open(name, os.O_RDONLY | os.O_NONBLOCK)
        if descriptor is None:
            return None
        try:
            status = os.fstat(descriptor)
            untouched = Stamp(status.st_ino, status.st_mtime_ns) in self._inputs
            if not stat.S_ISREG(status.st_mode) or untouched or status.st_size > self._room:
                return None
            content = _read_all(descriptor, status.st_size)
        finally:
            os.close(descriptor)
        self._room -= len(content)
        return content


def _read_all(descriptor: int, size: int) -> bytes:
    with os.fdopen(descriptor, "rb", closefd=False) as file:
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


class _Path:
    """Resolution of a path below the home, one name at a time (path_resolution(7), kept below the home)."""

    def __init__(self, home: int) -> None:
        self._home = home
        self._links = _LINK_LIMIT

    def open(self, path: str, flags: int) -> int:
        """Open what a path names, following links inside the home only.

        Raises:
            OSError: It leads nowhere, out of the home, or through too many links.
        """
        stack = [os.dup(self._home)]
        try:
            names = [name for name in reversed(path.split("/")) if name]
            while names:
                self._step(stack, names)
            target = stack.pop()
            try:
                return os.open(f"/proc/self/fd/{target}", flags | os.O_CLOEXEC)
            finally:
                os.close(target)
        finally:
            for descriptor in stack:
                os.close(descriptor)

    def _step(self, stack: list[int], names: list[str]) -> None:
        name = names.pop()
        if name == ".":
            return
        if name == "..":
            if len(stack) == 1:
                raise OSError(errno.EXDEV, "leads out of the home")
            os.close(stack.pop())
            return
        if len(stack) > _DEPTH_LIMIT:  # each level holds a descriptor
            raise OSError(errno.ELOOP, "too deep")
        found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=stack[-1])
        if not stat.S_ISLNK(os.fstat(found).st_mode):
            stack.append(found)
            return
        try:
            self._follow(os.readlink("", dir_fd=found), stack, names)
        finally:
            os.close(found)

    def _follow(self, target: str, stack: list[int], names: list[str]) -> None:
        self._links -= 1
        if self._links < 0:
            raise OSError(errno.ELOOP, "too many links")
        if target.startswith("/"):
            if target != HOME and not target.startswith(HOME + "/"):
                raise OSError(errno.EXDEV, "leads out of the home")
            target = target.removeprefix(HOME)
            for descriptor in stack[1:]:
                os.close(descriptor)
            del stack[1:]
        names.extend(name for name in reversed(target.split("/")) if name)
