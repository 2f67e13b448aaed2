"""The interpreters of this host: where to look for them, and how to recognize one."""

import os
import re
import shutil
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
"""The oldest Python that can run the bootstrap."""

SYSTEM_FOLDERS = ("/usr/local/bin", "/usr/bin")
_NAME = re.compile(r"(?:python|pypy)(?:3(?:\.\d+)?t?)?")
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:(a|b|rc)(\d+))?")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python interpreter of this host.

    Attributes:
        source: Its path on this host, with links resolved.
        executable: Its path in a jail: the same, unless its path here is below /home.
        implementation: As in `sys.implementation.name`, e.g. ``cpython``, ``pypy``.
        version: Its Python version, e.g. ``3.12.1``, ``3.15.0a1``.
        free_threaded: Whether it was built without the global interpreter lock.
        prefix: Its `sys.base_prefix` on this host.
        mounts: Everything that a jail must see of this host to run it.
        library_path: Folders for LD_LIBRARY_PATH in a jail; usually none.
        root: The folder of the root file system that it belongs to; None for the host's own.
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
        """Every path of this host that a jail mounts to run it."""
        mounts = (*root_mounts(self.root), *self.mounts) if self.root else self.mounts
        return tuple(Path(mount.source) for mount in mounts)

    @property
    def release(self) -> tuple[int, int, int]:
        """Its version as major, minor and micro."""
        major, minor, micro = self._version_parts()[:3]
        return int(major), int(minor), int(micro)

    @property
    def prerelease(self) -> tuple[str, int] | None:
        """The kind of prerelease (``a``, ``b`` or ``rc``) and its number; None for a final release."""
        kind, serial = self._version_parts()[3:]
        return (kind, int(serial)) if kind else None

    def _version_parts(self) -> tuple[str, ...]:
        match = _VERSION.fullmatch(self.version)
        if match is None:
            raise ValueError(f"not a version of Python: {self.version!r}")
        return match.groups(default="")


def find_interpreters() -> tuple[Interpreter, ...]:
    """Find the interpreters that this user can run: Python 3.6 and later, each once.

    Search the usual folders (docs/how-to/discover.md), and run each interpreter to learn which files it needs.

    Returns:
        At least one; the interpreter of this process comes first.

    Raises:
        InterpreterError: No interpreter works, not even that of this process.
    """
    executables = list(dict.fromkeys(real for path in _candidates() if (real := _program(path))))
    # The interpreters are processes: threads are enough to wait for them.
    with ThreadPoolExecutor(max_workers=(os.cpu_count() or 1) + 1) as pool:
        found = [each for each in pool.map(_interpreter_at, executables) if each]
    if not found:
        raise InterpreterError("no Python interpreter on this host works; add one to a registry by hand")
    # Hard links to one program are different paths of the same interpreter.
    distinct = {(each.prefix, each.implementation, each.version, each.free_threaded): each for each in reversed(found)}
    return tuple(reversed(distinct.values()))


def find_interpreter(executable: Path) -> Interpreter:
    """Describe the interpreter at a path.

    Args:
        executable: Its path; links are followed.

    Raises:
        InterpreterError: It is not an interpreter that can serve; the text says why.
    """
    real = _program(executable)
    if real is None:
        reason = "is not an interpreter; name the program itself, not a script or the copy in a venv"
        if not executable.exists():
            on_path = shutil.which(executable)
            reason = f"does not exist; write its path: {on_path}" if on_path else "does not exist"
        raise InterpreterError(f"{executable} {reason}")
    found = _interpreter_at(real)
    if found is None:
        raise InterpreterError(f"{executable} does not work as Python 3.6 or later")
    return found


def _candidates() -> Iterator[Path]:
    # findpython 0.9 cannot replace this: it misses conda's environments, /opt/python, and all names except python3 in
    # uv's folders. It also treats pyenv's shims as interpreters, and runs interpreters one after the other.
    # Only a private attribute of sys names the interpreter from which a venv was made.
    yield Path(getattr(sys, "_base_executable", sys.executable))
    # An empty or relative entry of PATH depends on the current folder.
    folders = [Path(each) for each in (*SYSTEM_FOLDERS, *os.get_exec_path()) if Path(each).is_absolute()]
    folders += [folder for collection in _collections() for folder in _listing(collection, "*/bin")]
    folders += [prefix / "bin" for prefix in _conda_environments()]
    for folder in folders:
        yield from (path for path in _listing(folder, "py*") if names_interpreter(path.name))


def names_interpreter(name: str) -> bool:
    """Return whether a file has the name of an interpreter."""
    return _NAME.fullmatch(name) is not None


def _collections() -> Iterator[Path]:
    """List the folders that hold only interpreters, each in its own prefix."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() raises if there is no home
    yield Path(os.environ.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    yield Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv/python")
    yield Path("/snekbin/python")
    yield Path("/opt/python")


def _conda_environments() -> Iterator[Path]:
    """List the prefixes of this user's conda environments, which conda, mamba and micromamba keep in one file.

    Source: https://docs.conda.io/projects/conda/en/23.11.x/dev-guide/api/conda/core/envs_manager/
    """
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() raises if there is no home
    with suppress(OSError, UnicodeDecodeError):
        lines = (home / ".conda/environments.txt").read_text().splitlines()
        yield from (Path(line) for line in lines if Path(line).is_absolute())


def _listing(folder: Path, pattern: str) -> Iterable[Path]:
    with suppress(OSError):
        return sorted(folder.glob(pattern))
    return ()


def _program(path: Path) -> Path | None:
    """Resolve a candidate to the program; return None if it is not one: pyenv shims and python3-config are scripts."""
    with suppress(OSError):
        real = path.resolve(strict=True)
        is_copy_in_venv = (real.parent.parent / "pyvenv.cfg").exists()  # the original is elsewhere
        return real if not is_copy_in_venv and is_program(real) else None
    return None


def is_program(path: Path) -> bool:
    """Return whether a file is an executable ELF program.

    Raises:
        OSError: The file cannot be read.
    """
    if not path.is_file() or not os.access(path, os.X_OK):
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _interpreter_at(executable: Path) -> Interpreter | None:
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
