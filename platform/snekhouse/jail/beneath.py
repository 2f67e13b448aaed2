"""Resolution of a path below a folder, and never out of it.

The kernel has this as openat2(2) with RESOLVE_IN_ROOT, but there an absolute link begins at the folder itself, while
a program in a jail writes its links with the name that the folder has there. So names are walked by hand, one
descriptor a level (path_resolution(7)): nobody can swap a folder under it for a link.
"""

import errno
import os
import stat

_NAME = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

_LINK_LIMIT = 40
"""Links followed for one path; the kernel's own limit (path_resolution(7))."""

_DEPTH_LIMIT = 100
"""Levels below the folder; each holds a descriptor."""


def resolve(folder: int, path: str, *, root: str) -> int:
    """Find what a path names below a folder, following links as long as they stay there.

    Args:
        folder: Descriptor of the folder.
        path: Relative to it.
        root: The folder's own path for whoever made the links: absolute ones must begin with it.

    Returns:
        An O_PATH descriptor, for the caller to close.

    Raises:
        OSError: It leads nowhere, out of the folder, too deep, or through too many links.
    """
    walk = _Walk(folder, _names(root))
    try:
        walk.go(path)
        return walk.stack.pop()
    finally:
        for descriptor in walk.stack:
            os.close(descriptor)


class _Walk:
    def __init__(self, folder: int, root: list[str]) -> None:
        self.stack = [os.dup(folder)]
        self._root = root
        self._links = 0

    def go(self, path: str) -> None:
        left = _names(path)[::-1]
        while left:
            left += self._step(left.pop())

    def _step(self, name: str) -> list[str]:
        """Go to one name; return those that a link puts in its place, last first."""
        if name == "..":
            self._up()
            return []
        if len(self.stack) > _DEPTH_LIMIT:
            raise OSError(errno.ELOOP, "too deep")
        found = os.open(name, _NAME, dir_fd=self.stack[-1])
        if not stat.S_ISLNK(os.fstat(found).st_mode):
            self.stack.append(found)
            return []
        try:
            return self._target(os.readlink("", dir_fd=found))[::-1]
        finally:
            os.close(found)

    def _up(self) -> None:
        if len(self.stack) == 1:
            raise OSError(errno.EXDEV, "leads out of the folder")
        os.close(self.stack.pop())

    def _target(self, link: str) -> list[str]:
        self._links += 1
        if self._links > _LINK_LIMIT:
            raise OSError(errno.ELOOP, "too many links")
        names = _names(link)
        if not link.startswith("/"):
            return names
        if names[: len(self._root)] != self._root:
            raise OSError(errno.EXDEV, "leads out of the folder")
        while len(self.stack) > 1:
            self._up()
        return names[len(self._root) :]


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in {"", "."}]
