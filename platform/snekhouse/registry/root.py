"""A root file system other than the host's. A jail sees its /usr and its loader, and nothing else of it."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from snekhouse.registry.models import Mount

PLACES = ("/usr", "/lib", "/lib32", "/lib64")
"""Folders with a system's interpreters, their libraries and the loader: hier(7), ld.so(8)."""

_LOADER_CACHE = "/etc/ld.so.cache"
"""The loader's list of this system's libraries, wrong for any other system: ld.so(8)."""

MAX_LINKS = 40
"""Symbolic links that the kernel follows in one path: path_resolution(7)."""


def root_mounts(root: str, places: Iterable[str] = PLACES) -> Iterator[Mount]:
    """List the read-only mounts that show a jail the folders of a root; skip folders that the root lacks.

    Args:
        root: The folder on the host.
        places: Paths inside it.
    """
    for place in places:
        with suppress(OSError):
            if (source := beneath(root, place)).is_dir():
                yield Mount(source=str(source), target=place)


def beneath(root: str, path: str) -> Path:
    """Resolve a path as a process with the root folder `root` does, so that no link leads out of it (chroot(2)).

    Args:
        root: The folder on the host.
        path: An absolute path inside it, which need not exist.

    Returns:
        The path on the host, without links below the root.

    Raises:
        OSError: There are too many links.
    """
    top = found = Path(root)
    left, links = names_in(path)[::-1], 0
    while left:
        part = left.pop()
        if part == "..":
            found = top if found == top else found.parent
        elif (found / part).is_symlink():
            links += 1
            if links > MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = (found / part).readlink()
            found = top if target.is_absolute() else found
            left += names_in(str(target))[::-1]
        else:
            found /= part
    return found


def resolved_inside(root: str | None, path: str) -> str:
    """Resolve the links of a path in a root, or on the host if `root` is None.

    Returns:
        An absolute path inside the root.
    """
    if root is None:
        return os.path.realpath(path)
    with suppress(OSError):
        return str("/" / beneath(root, path).relative_to(root))
    return path


def is_of_system(target: str) -> bool:
    """Return whether a mount at `target` shows a part of the host's system that a root replaces."""
    return target == _LOADER_CACHE or any(f"{target}/".startswith(f"{place}/") for place in PLACES)


def wrong_with_root(root: str) -> str:
    """Return why a folder cannot be the root of a runtime, with the remedy; empty if it can."""
    remedy = "make a root file system there, for example with debootstrap, or name another folder"
    if not Path(root).is_dir():
        return f"the root {root} is not a folder on this host; {remedy}"
    if not any(root_mounts(root, ["/usr"])):
        return f"the root {root} has no usr folder; {remedy}"
    return ""


def names_in(path: str) -> list[str]:
    """Return the names in a path, without those that change nothing."""
    return [name for name in path.split("/") if name not in {"", "."}]
