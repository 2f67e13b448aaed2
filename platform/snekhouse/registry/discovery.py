"""Find the Python interpreters of this host, and what each needs to see of it."""

import glob
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snekhouse.registry.models import Mount

_PLACES = (
    "/usr/bin/python3*",
    "/usr/local/bin/python3*",
    "{pyenv}/versions/*/bin/python",
    "{uv}/*/bin/python3",
    "/snekbin/python/*/bin/python",
    "/opt/python/*/bin/python",
)

_OLDEST = (3, 6)
_TIMEOUT = 20.0
"""Seconds that an interpreter may take to answer."""

_SYSTEM_PREFIXES = {"/usr", "/usr/local", "/"}
"""Prefixes that hold much besides an interpreter."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """An interpreter that was found.

    Attributes:
        executable: Its real path.
        implementation: ``cpython`` or ``pypy``.
        version: In full, e.g. ``3.12.1``.
        version_info: Its first three numbers.
        final: Whether it is a release, not a preview.
        free_threaded: Whether it was built without the global interpreter lock.
        mounts: All that it needs to see of this host.
    """

    executable: str
    implementation: str
    version: str
    version_info: tuple[int, int, int]
    final: bool
    free_threaded: bool
    mounts: tuple[Mount, ...]


def find_interpreters() -> tuple[Interpreter, ...]:
    """Find every interpreter of Python 3.6 or later; there is at least the one that runs this.

    Each is run once, to ask it. One that does not answer is left out.

    Returns:
        The interpreters, the newest version first.
    """
    executables = list(dict.fromkeys(_candidates()))
    with ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1)) as pool:
        found = [interpreter for interpreter in pool.map(_ask, executables) if interpreter]
    return tuple(sorted(found, key=lambda found: (found.version_info, found.final), reverse=True))


def _candidates() -> Iterator[str]:
    """Name real paths of what may be interpreters; that of a virtual environment's is its base's."""
    yield os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    home = Path.home()
    pyenv = os.environ.get("PYENV_ROOT", str(home / ".pyenv"))
    uv = os.environ.get("UV_PYTHON_INSTALL_DIR", str(home / ".local/share/uv/python"))
    on_path = (f"{folder}/{name}" for folder in os.get_exec_path() for name in ("python3*", "pypy3*"))
    for place in (*_PLACES, *on_path):
        for path in sorted(glob.glob(place.format(pyenv=pyenv, uv=uv))):
            real = os.path.realpath(path)
            if os.access(real, os.X_OK) and _is_elf(real):
                yield real


def _is_elf(path: str) -> bool:
    """Tell binaries from scripts, such as python3-config and the shims of version managers."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def _ask(executable: str) -> Interpreter | None:
    question = Path(__file__).with_name("question.py")
    environment = {"PATH": os.defpath, "LANG": "C.UTF-8"}
    try:
        asked = subprocess.run(
            [executable, "-s", "-B", str(question)],
            env=environment, capture_output=True, timeout=_TIMEOUT, stdin=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        said = json.loads(asked.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    major, minor, micro = said["version_info"]
    if (major, minor) < _OLDEST:
        return None
    return Interpreter(
        executable=executable,
        implementation=said["implementation"],
        version=said["version"],
        version_info=(major, minor, micro),
        final=said["final"],
        free_threaded=said["free_threaded"],
        mounts=tuple(_mounts(executable, said)),
    )


def _mounts(executable: str, said: dict[str, Any]) -> Iterator[Mount]:
    """Work out what an interpreter needs: its prefix or parts of it, and the folders of its shared objects."""
    own = [prefix for prefix in said["prefixes"] if prefix not in _SYSTEM_PREFIXES]
    for prefix in own:
        yield Mount(source=prefix)
    if not _below(executable, own):
        yield Mount(source=executable)
    for library in _outermost(path for path in said["libraries"] if os.path.isdir(path) and not _below(path, own)):
        yield Mount(source=os.path.realpath(library), target=library)
    objects = [path for path in said["shared_objects"] if not _below(path, [*own, *said["libraries"]])]
    folders = {os.path.dirname(path) for path in objects}
    for folder in sorted(folders):
        yield from _library_folder(folder)
    if loader := _loader(executable):
        yield from _library_folder(os.path.dirname(loader))
    yield Mount(source="/etc/ld.so.cache", mandatory=False)
    yield Mount(source="/usr/share/zoneinfo", mandatory=False)


def _library_folder(folder: str) -> Iterator[Mount]:
    """Mount a folder of libraries by each of its names: on a merged /usr, /lib is a link to /usr/lib."""
    real = os.path.realpath(folder)
    names = {folder, real}
    short = real.removeprefix("/usr")
    if os.path.isdir(short) and os.path.realpath(short) == real:
        names.add(short)
    for name in sorted(names):
        yield Mount(source=real, target=name)


def _loader(executable: str) -> str | None:
    """Read the path of the program loader out of an ELF file (elf(5), PT_INTERP)."""
    with open(executable, "rb") as file:
        header = file.read(64)
        if header[4:6] != b"\x02\x01":  # 64 bits, little-endian: all that NsJail is built for here
            return None
        table = struct.unpack_from("<Q", header, 32)[0]
        size, count = struct.unpack_from("<HH", header, 54)
        for index in range(count):
            file.seek(table + index * size)
            entry = file.read(size)
            if struct.unpack_from("<I", entry)[0] == _PT_INTERP:
                offset, length = struct.unpack_from("<Q", entry, 8)[0], struct.unpack_from("<Q", entry, 32)[0]
                file.seek(offset)
                return file.read(length).rstrip(b"\0").decode()
    return None


_PT_INTERP = 3


def _below(path: str, folders: list[str]) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def _outermost(paths: Iterator[str]) -> list[str]:
    """Drop paths that lie below others."""
    kept: list[str] = []
    for path in sorted(paths):
        if not _below(path, kept):
            kept.append(path)
    return kept
