"""What folders of a jail contain, to find out whether a program has left something.

Times and sizes do not tell everything: a program that has mapped a page of a file and read it may then write to this
page, and no time of the file changes. So the content counts too.
"""

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field

_MAX_ENTRIES = 1000
"""Entries that are compared."""

MAX_CONTENT = 8 << 20
"""Bytes of files that are read; each MiB takes about 1 ms."""

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass
class FolderContents:
    """Everything below some folders.

    Attributes:
        entries: A description of each entry; equal if nothing has changed.
        size: Bytes of all files.
    """

    entries: set[tuple[object, ...]] = field(default_factory=set)
    size: int = 0


class _TooMuchError(Exception):
    pass


def contents_of(folders: Iterable[int], most: int = MAX_CONTENT) -> FolderContents | None:
    """Describe everything below folders of which no process changes anything now.

    Args:
        folders: Their descriptors.
        most: Maximum size of all files, in bytes.

    Returns:
        The description; None if there is too much, or if it cannot be read.
    """
    contents = FolderContents()
    try:
        for index, folder in enumerate(folders):
            _add(contents, folder, (index,), most)
    except (_TooMuchError, OSError):
        return None
    return contents


def _add(contents: FolderContents, folder: int, path: tuple[object, ...], most: int) -> None:
    contents.entries.add((path, os.fstat(folder).st_ctime_ns))
    with os.scandir(folder) as entries:
        for entry in entries:
            if len(contents.entries) > _MAX_ENTRIES:
                raise _TooMuchError
            status = entry.stat(follow_symlinks=False)
            own = (*path, entry.name, status.st_ino, status.st_ctime_ns, status.st_size, status.st_mode)
            if entry.is_dir(follow_symlinks=False):
                below = os.open(entry.name, _FOLDER_FLAGS, dir_fd=folder)
                try:
                    _add(contents, below, (*path, entry.name), most)
                finally:
                    os.close(below)
            elif stat.S_ISREG(status.st_mode):
                contents.size += status.st_size
                if contents.size > most:
                    raise _TooMuchError
                own = (*own, _digest(folder, entry.name))
            contents.entries.add(own)


def _digest(folder: int, name: str) -> bytes:
    with open(os.open(name, _FILE_FLAGS, dir_fd=folder), "rb", buffering=0) as file:  # noqa: PTH123 - it has no path
        return hashlib.file_digest(file, "blake2b").digest()
