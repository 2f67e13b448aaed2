"""The mounts that an interpreter needs, and no others."""

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from snekhouse.registry.discovery.asking import Facts
from snekhouse.registry.models import HOME, SHM, Mount

# These folders of Debian hold only shared libraries, and are mounted as a whole. Other library folders (/usr/lib64,
# /usr/local/lib) also hold, for example, the standard libraries of other Pythons: they are mounted file by file.
_LIBRARIES_ONLY = re.compile(r"/(?:usr/)?lib/[^/]+-linux-[^/]+")

_MERGEABLE = ("/lib", "/lib64", "/lib32", "/usr/lib64")
"""Folders that are links on hosts with a merged /usr; the loader still looks in them (hier(7))."""

_MOVED = Path("/snekbin")
"""Folder in a jail for files that one of the jail's own mounts would hide at their original path."""

_OPTIONAL = ("/etc/ld.so.cache", "/usr/share/zoneinfo")
"""Paths that the loader and `zoneinfo` use but do not require."""


def mounts_for(executable: Path, facts: Facts, *, whole_prefix: bool) -> tuple[Mount, ...]:
    """List the mounts that an interpreter needs, all read-only.

    Args:
        executable: The program, with links resolved.
        facts: What it reports about itself.
        whole_prefix: Whether to mount its whole prefix, or only what it imports from.
    """
    kept: list[Mount] = []
    for source, place in _needed(executable, facts, whole_prefix=whole_prefix):
        target = inside(place)
        if not any(target.is_relative_to(mount.target) for mount in kept):
            kept.append(Mount(source=str(source), target=str(target)))
    kept += [Mount(source=path, target=path, mandatory=False) for path in _OPTIONAL if Path(path).exists()]
    return tuple(kept)


def inside(path: Path) -> Path:
    """Return the path in a jail for a path of the host.

    The path is the same, unless one of the jail's own mounts would hide it: many interpreters are below /home.
    An interpreter
    works out its prefix from its own path, so it can be moved.
    """
    is_hidden = any(path.is_relative_to(folder) for folder in (HOME, SHM))
    return _MOVED / path.relative_to("/") if is_hidden else path


def library_path(facts: Facts) -> tuple[Path, ...]:
    """List the folders for LD_LIBRARY_PATH in a jail (ld.so(8)); usually none.

    A program has the folder of its own libraries, such as libpython, in its RUNPATH. This path is wrong if the jail has
    the libraries elsewhere. Extension modules do not need this: Python loads them by their path.
    """
    linked = [path for path in facts.libraries if not any(path.is_relative_to(folder) for folder in facts.folders)]
    return tuple(sorted({inside(path.parent) for path in linked if inside(path) != path}))


def _needed(executable: Path, facts: Facts, *, whole_prefix: bool) -> Iterator[tuple[Path, Path]]:
    """Yield sources and targets; the caller skips a target below an earlier one."""
    own = (*((facts.prefix,) if whole_prefix else ()), executable, *facts.folders)
    yield from zip(own, own, strict=True)
    for library in facts.libraries:
        if any(library.is_relative_to(path) for path in own):
            continue
        whole = _LIBRARIES_ONLY.fullmatch(str(library.parent))
        for name in (library.parent,) if whole else _names(library):
            yield from ((name, target) for target in _spellings(name))
    loader = loader_of(executable)
    if loader is not None:
        yield loader.resolve(), loader


def _names(library: Path) -> Iterator[Path]:
    """Yield the paths by which a library is loaded: often a link in its folder, as libssl.so.3 to libssl.so.3.0.11."""
    yield library
    yield from (link for link, real in _links(library.parent) if real == library)


@cache
def _links(folder: Path) -> tuple[tuple[Path, Path], ...]:
    # Links without a number (libssl.so) are for compilers.
    return tuple((path, path.resolve()) for path in sorted(folder.glob("*.so.*")) if path.is_symlink())


def _spellings(path: Path) -> Iterator[Path]:
    """Yield every path by which the loader may open a file."""
    yield path
    for link in map(Path, _MERGEABLE):
        if link.is_symlink() and path.is_relative_to(link.resolve()):
            yield link / path.relative_to(link.resolve())


def loader_of(executable: Path) -> Path | None:
    """Read the dynamic loader that a program names.

    Args:
        executable: A program.

    Returns:
        The loader's path as the kernel opens it, e.g. ``/lib64/ld-linux-x86-64.so.2``; None for a static program, and
        for a file that is not in ELF format.
    """
    from elftools.common.exceptions import ELFError  # noqa: PLC0415 - 4 MB that a server need not hold
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415
    from elftools.elf.segments import InterpSegment  # noqa: PLC0415

    with executable.open("rb") as file, suppress(ELFError, OSError, ValueError):  # it may hold anything
        segments = ELFFile(file).iter_segments()
        return next((Path(each.get_interp_name()) for each in segments if isinstance(each, InterpSegment)), None)
    return None
