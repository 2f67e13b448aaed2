"""Write a registry's file: one command at a time, and whole or not at all where the folder allows it."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snekhouse.errors import Problem, RegistryError

_ONLY_IN_PLACE = {errno.EBUSY, errno.EPERM, errno.EACCES, errno.EROFS}
"""Errors of a file that can be written but not replaced: it is a mount of its own, as in a container, or its folder is
not writable, or this user cannot make a file of the same owner."""


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Wait until no other command edits the file, and let no other begin.

    Args:
        path: The file, in a folder that exists.
    """
    folder = os.open(path.resolve().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def replace_file(path: Path, content: bytes, remedy: str) -> None:
    """Replace a file; its owner, its group and its mode stay, and a link to it stays a link.

    Args:
        path: The file, in a folder that exists.
        content: Its new content.
        remedy: What to do if it cannot be written.

    Raises:
        RegistryError: The file cannot be written.
    """
    target = path.resolve()
    try:
        try:
            _replace(target, content)
        except OSError as error:
            if error.errno not in _ONLY_IN_PLACE or not target.exists():
                raise
            _overwrite(target, content)
    except OSError as error:
        raise RegistryError([Problem(str(path), "", f"cannot be written: {error.strerror}", remedy)]) from error


def _replace(target: Path, content: bytes) -> None:
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            status, own = target.stat(), draft.stat()
            if (status.st_uid, status.st_gid) != (own.st_uid, own.st_gid):
                os.chown(draft, status.st_uid, status.st_gid)
            shutil.copymode(target, draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _overwrite(target: Path, content: bytes) -> None:
    with target.open("r+b") as file:
        file.write(content)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
