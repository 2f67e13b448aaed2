"""The interpreters of this host: where they are looked for, and what one is."""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from snekhouse.errors import InterpreterError
from snekhouse.registry.discovery.asking import ask_interpreter
from snekhouse.registry.discovery.mounts import inside, library_path, mounts_for
from snekhouse.registry.models import Mount
from snekhouse.registry.root import root_mounts

_OLDEST = (3, 6)
"""The bootstrap inside a jail speaks no older Python."""

SYSTEM_FOLDERS = ("/usr/local/bin", "/usr/bin")
_NAME = re.compile(r"(?:python|pypy)(?:3(?:\.\d+)?t?)?")
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:(a|b|rc)(\d+))?")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python interpreter of this host.

    Attributes:
        source: Its path on this host, links resolved.
        executable: Where it lies in a jail; the same, but for what lies below /home here.
        implementation: As in `sys.implementation.name`, e.g. ``cpython``, ``pypy``.
        version: The version of the language, e.g. ``3.12.1``, ``3.15.0a1``.
        free_threaded: Whether it was built without the global interpreter lock.
        prefix: Its `sys.base_prefix` on this host.
        mounts: All that a jail must see of this host to run it.
        library_path: Folders in a jail that its loader must be told of; mostly none.
        root: The root file system that it belongs to, on this host; None for the host's own.
    """

    source: Path
    executable: Path
    implementation: str
    version: str
    free_threaded: bool
    prefix: Path
    mounts: tuple[Mount, ...]
    library_path: tuple[Path, ...] = ()
    root: str | None = None

    @property
    def sources(self) -> tuple[Path, ...]:
        """All paths of this host that a jail mounts to run it."""
        mounts = (*root_mounts(self.root), *self.mounts) if self.root else self.mounts
        return tuple(Path(mount.source) for mount in mounts)

    @property
    def release(self) -> tuple[int, int, int]:
        """Its version as major, minor and micro."""
        major, minor, micro = self._version_parts()[:3]
        return int(major), int(minor), int(micro)

    @property
    def prerelease(self) -> tuple[str, int] | None:
        """What kind of prerelease (``a``, ``b`` or ``rc``) it is, and its number; None for a release."""
        kind, serial = self._version_parts()[3:]
        return (kind, int(serial)) if kind else None

    def _version_parts(self) -> tuple[str, ...]:
        match = _VERSION.fullmatch(self.version)
        if match is None:
            raise ValueError(f"not a version of Python: {self.version!r}")
        return match.groups(default="")


def find_interpreters() -> tuple[Interpreter, ...]:
    """Find the interpreters that this user can run: Python 3.6 and later, each once.

    They are looked for where they are usually installed (docs/how-to/discover.md) and each is run, for it alone knows
    its parts.

    Returns:
        At least one, the interpreter that runs this first.

    Raises:
        InterpreterError: None of them answers, not even the one that runs this.
    """
    executables = list(dict.fromkeys(real for path in _candidates() if (real := _program(path))))
    # They wait for their disks and run on processors of their own: threads are enough to watch them.
    with ThreadPoolExecutor(max_workers=(os.cpu_count() or 1) + 1) as pool:
        found = [each for each in pool.map(_look_at, executables) if each]
    if not found:
        raise InterpreterError("no Python interpreter of this host answers; name one in a registry by hand")
    # Two names of one program (hard links) are two files, yet one interpreter.
    distinct = {(each.prefix, each.implementation, each.version, each.free_threaded): each for each in reversed(found)}
    return tuple(reversed(distinct.values()))


def find_interpreter(executable: Path) -> Interpreter:
    """Find what an executable is.

    Args:
        executable: Its path; links, and a venv's copy, lead to the interpreter itself.

    Raises:
        InterpreterError: It is not an interpreter that can serve; the text says why.
    """
    real = _program(executable)
    if real is None:
        reason = "is not an interpreter: name the program itself, not a script or a venv's copy that starts it"
        raise InterpreterError(f"{executable} {reason if executable.exists() else 'does not exist'}")
    found = _look_at(real)
    if found is None:
        raise InterpreterError(f"{executable} does not answer as Python 3.6 or later does")
    return found


def _candidates() -> Iterator[Path]:
    # Not by findpython 0.9: it misses conda's environments, /opt/python, and in uv's folders all names but python3. It
    # also takes pyenv's shims for interpreters, and runs interpreters one after the other.
    # Nothing public names the interpreter that a venv was made from.
    yield Path(getattr(sys, "_base_executable", sys.executable))
    # An empty or relative entry of PATH means whatever folder we happen to be in.
    folders = [Path(each) for each in (*SYSTEM_FOLDERS, *os.get_exec_path()) if Path(each).is_absolute()]
    folders += [folder for collection in _collections() for folder in _listing(collection, "*/bin")]
    folders += [prefix / "bin" for prefix in _conda_environments()]
    for folder in folders:
        yield from (path for path in _listing(folder, "py*") if names_interpreter(path.name))


def names_interpreter(name: str) -> bool:
    """Tell whether a file has the name of an interpreter."""
    return _NAME.fullmatch(name) is not None


def _collections() -> Iterator[Path]:
    """Name the folders that hold nothing but interpreters, each in a prefix of its own."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path's raises where there is no home
    yield Path(os.environ.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    yield Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv/python")
    yield Path("/snekbin/python")
    yield Path("/opt/python")


def _conda_environments() -> Iterator[Path]:
    """Name the prefixes of this user's conda environments, which conda, mamba and micromamba list in one file.

    Source: https://docs.conda.io/projects/conda/en/23.11.x/dev-guide/api/conda/core/envs_manager/
    """
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path's raises where there is no home
    with suppress(OSError, UnicodeDecodeError):
        lines = (home / ".conda/environments.txt").read_text().splitlines()
        yield from (Path(line) for line in lines if Path(line).is_absolute())


def _listing(folder: Path, pattern: str) -> Iterable[Path]:
    with suppress(OSError):
        return sorted(folder.glob(pattern))
    return ()


def _program(path: Path) -> Path | None:
    """Resolve a candidate to the program itself, unless it is none: a pyenv shim or a python3-config is a script."""
    with suppress(OSError):
        real = path.resolve(strict=True)
        is_copy_in_venv = (real.parent.parent / "pyvenv.cfg").exists()  # its original is elsewhere
        return real if not is_copy_in_venv and is_program(real) else None
    return None


def is_program(path: Path) -> bool:
    """Tell whether a file is a program in ELF format that may be run.

    Raises:
        OSError: It cannot be read.
    """
    if not path.is_file() or not os.access(path, os.X_OK):
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _look_at(executable: Path) -> Interpreter | None:
    facts = ask_interpreter(executable)
    if facts is None:
        return None
    prefix = facts.prefix.resolve()
    in_collection = prefix.parent in {collection.resolve() for collection in _collections()}
    found = Interpreter(
        source=executable,
        executable=inside(executable),
        implementation=facts.implementation,
        version=facts.version,
        free_threaded=facts.free_threaded,
        prefix=facts.prefix,
        mounts=mounts_for(executable, facts, whole_prefix=in_collection or (prefix / "conda-meta").is_dir()),
        library_path=library_path(facts),
    )
    return found if found.release[:2] >= _OLDEST else None
