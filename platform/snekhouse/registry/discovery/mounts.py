"""What a jail must see of the host to run an interpreter: that, and nothing of its neighbours."""

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from snekhouse.registry.discovery.asking import Facts
from snekhouse.registry.models import HOME, SHM, Mount

# Debian's folders hold nothing but the shared libraries of one architecture. Other library folders (/usr/lib64,
# /usr/local/lib) hold the standard libraries of other Pythons too, and much besides: they are mounted file by file.
_LIBRARIES_ONLY = re.compile(r"/(?:usr/)?lib/[^/]+-linux-[^/]+")

_MERGEABLE = ("/lib", "/lib64", "/lib32", "/usr/lib64")
"""Folders that are links on hosts with a merged /usr, under which the loader still looks (hier(7))."""

_SHELTER = Path("/snekbin")
"""Where in a jail lies what the jail's own folders would hide at its place."""

_WELCOME = ("/etc/ld.so.cache", "/usr/share/zoneinfo")
"""What the loader and `zoneinfo` use, and can do without."""


def mounts_for(executable: Path, facts: Facts, *, whole_prefix: bool) -> tuple[Mount, ...]:
    """Work out the mounts of an interpreter; all are read-only.

    Args:
        executable: The program, links resolved.
        facts: What it says of itself.
        whole_prefix: Whether all below its prefix is its own; otherwise only what it imports from is taken.
    """
    kept: list[Mount] = []
    for source, place in _needed(executable, facts, whole_prefix=whole_prefix):
        target = inside(place)
        if not any(target.is_relative_to(mount.target) for mount in kept):
            kept.append(Mount(source=str(source), target=str(target)))
    kept += [Mount(source=path, target=path, mandatory=False) for path in _WELCOME if Path(path).exists()]
    return tuple(kept)


def inside(path: Path) -> Path:
    """Tell where in a jail a path of the host lies.

    At the same place, unless the jail has a folder of its own there: many people's interpreters lie below /home. An
    interpreter works out its prefix from where it lies, so it can be moved.
    """
    is_hidden = any(path.is_relative_to(folder) for folder in (HOME, SHM))
    return _SHELTER / path.relative_to("/") if is_hidden else path


def library_path(facts: Facts) -> tuple[Path, ...]:
    """Name the folders in a jail that its loader must be told of (LD_LIBRARY_PATH, ld.so(8)); mostly none.

    A program names the folder of its own libraries, such as libpython, in its RUNPATH: in vain when they are moved.
    Extension modules need no help, they are loaded by their path.
    """
    linked = [path for path in facts.libraries if not any(path.is_relative_to(folder) for folder in facts.folders)]
    return tuple(sorted({inside(path.parent) for path in linked if inside(path) != path}))


def _needed(executable: Path, facts: Facts, *, whole_prefix: bool) -> Iterator[tuple[Path, Path]]:
    """Name sources and targets; a target that lies below an earlier one is there already."""
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
    """Name a library as it is loaded: often by a link beside it, such as libssl.so.3 to libssl.so.3.0.11."""
    yield library
    yield from (link for link, real in _links(library.parent) if real == library)


@cache
def _links(folder: Path) -> tuple[tuple[Path, Path], ...]:
    # Links without a number (libssl.so) are for compilers.
    return tuple((path, path.resolve()) for path in sorted(folder.glob("*.so.*")) if path.is_symlink())


def _spellings(path: Path) -> Iterator[Path]:
    """Name a path in all ways in which the loader may ask for it."""
    yield path
    for link in map(Path, _MERGEABLE):
        if link.is_symlink() and path.is_relative_to(link.resolve()):
            yield link / path.relative_to(link.resolve())


def loader_of(executable: Path) -> Path | None:
    """Read which dynamic loader a program names.

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
