"""Resolution of a path that never leaves a folder.

openat2(2) with RESOLVE_IN_ROOT starts absolute links at the folder itself. But a program writes absolute links with the
folder's path in its jail. So this module resolves name by name, with a descriptor for each level (path_resolution(7)):
nobody can replace a folder by a link meanwhile.
"""

import errno
import os
import stat

from snekhouse.registry.root import MAX_LINKS, names_in

PATH_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

DEPTH_LIMIT = 100
"""Levels of folders below the home; each holds a descriptor."""


def resolve(folder: int, path: str, *, root: str) -> int:
    """Open what a path names below a folder, and follow links that stay below it.

    Args:
        folder: Descriptor of the folder.
        path: Relative to it.
        root: The folder's path in the jail, where absolute links start at ``/``.

    Returns:
        An O_PATH descriptor, for the caller to close.

    Raises:
        OSError: The path does not exist, leads out of the folder, is too deep, or has too many links.
    """
    walk = _Walk(folder, names_in(root))
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
        self._above: list[str] | None = None
        """Names from ``/`` while the path is above the folder; None below it."""
        self._links = 0

    def go(self, path: str) -> None:
        left = names_in(path)[::-1]
        while left:
            left += self._step(left.pop())
        if self._above is not None:
            raise OSError(errno.EXDEV, "leads out of the folder")

    def _step(self, name: str) -> list[str]:
        """Go to one name; if it is a link, return the names of its target, last first."""
        if self._above is not None:
            self._descend(self._above, name)
            return []
        if name == "..":
            self._ascend()
            return []
        if len(self.stack) > DEPTH_LIMIT:
            raise OSError(errno.ELOOP, "too deep")
        found = os.open(name, PATH_FLAGS, dir_fd=self.stack[-1])
        if not stat.S_ISLNK(os.fstat(found).st_mode):
            self.stack.append(found)
            return []
        try:
            return self._target(os.readlink("", dir_fd=found))[::-1]
        finally:
            os.close(found)

    def _ascend(self) -> None:
        if len(self.stack) > 1:
            os.close(self.stack.pop())
        else:
            self._above = self._root[:-1]

    def _descend(self, above: list[str], name: str) -> None:
        """Follow a name above the folder, where only the path to the folder is allowed."""
        above = above[:-1] if name == ".." else [*above, name]
        if above != self._root[: len(above)]:
            raise OSError(errno.EXDEV, "leads out of the folder")
        self._above = None if above == self._root else above

    def _target(self, link: str) -> list[str]:
        self._links += 1
        if self._links > MAX_LINKS:
            raise OSError(errno.ELOOP, "too many links")
        if link.startswith("/"):
            while len(self.stack) > 1:
                self._ascend()
            self._above = []
        return names_in(link)
