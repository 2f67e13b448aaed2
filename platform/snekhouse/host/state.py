"""The server's private folder, with profiles and a copy of the bootstrap. The folder exists while the server runs."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from snekhouse.errors import HostError
from snekhouse.host.cgroups.groups import Layout, sweep
from snekhouse.host.watchdog import end_jails
from snekhouse.host.watchdogs import watchdogs_for

_PREFIX = "house-"
_SHARED = "workers-"
_LOCK = "lock"
_LOCK_MODE = 0o600
_GROUPS = "cgroups"
"""File that lists the folders of a server's cgroups, for servers that start in another group."""

_MODE = 0o711
"""Other users may not list the folder, but may pass through: jails run as nobody and mount files from it."""


@dataclass(frozen=True, slots=True)
class State:
    """The folder of one server.

    Attributes:
        path: Its path.
        name: A name that no other running server has; its cgroup has the same.
    """

    path: Path
    name: str

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file that jails may read, and return its path."""
        path = self.path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(0o644)
        return path

    def folder(self, name: str) -> "State":
        """Make a folder in it."""
        path = self.path / name
        path.mkdir(_MODE)
        path.chmod(_MODE)
        return State(path, name)


@contextmanager
def state_folder(parent: Path | None, layout: Layout | None) -> Iterator[State]:
    """Make this server's folder, and remove it on leaving; first clean up after killed servers.

    Args:
        parent: The folder that holds it; None for the usual place of this user.
        layout: The cgroups in use. The folder lists them for a later server that cleans up if this one is killed.

    Raises:
        HostError: The folder cannot be made, or another user owns it.
    """
    parent = private_folder(parent)
    with ExitStack() as held:
        with locked(parent / _LOCK):  # one server at a time: it could remove what another is making
            for folder in parent.glob(f"{_PREFIX}*"):
                _sweep(folder)
            path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            path.chmod(_MODE)
            if layout:
                (path / _GROUPS).write_text("\n".join(layout.folders(_group_name(path))))
            held.enter_context(locked(path / _LOCK))  # the kernel frees it when the server ends, even by SIGKILL
        held.callback(_remove, path)
        held.enter_context(watchdogs_for(path))
        yield State(path, _group_name(path))


def private_folder(parent: Path | None = None) -> Path:
    """Make the folder that all servers of this user share.

    Args:
        parent: Its path; None for the usual place of this user.

    Raises:
        HostError: The folder cannot be made, or another user owns it.
    """
    parent = parent or _usual_parent()
    try:
        parent.mkdir(mode=_MODE, parents=True, exist_ok=True)
        status = parent.lstat()
    except OSError as error:
        raise HostError(f"cannot make the server's state folder: {error}; name another in [server] state") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise HostError(f"{parent} belongs to another user; set another folder in [server] state")
    parent.chmod(_MODE)
    return parent


def shared_folder(parent: Path | None) -> Path:
    """Make the folder that workers share and their supervisor removes; remove those of killed supervisors.

    Args:
        parent: The folder that holds it; None for the usual place of this user.

    Raises:
        HostError: The folder cannot be made, or another user owns it.
    """
    parent = private_folder(parent)
    for folder in parent.glob(f"{_SHARED}*"):
        pid = folder.name.removeprefix(_SHARED)  # in a container, each supervisor in turn may have the same
        if pid == str(os.getpid()) or not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)
    path = parent / f"{_SHARED}{os.getpid()}"
    path.mkdir(0o700)
    return path


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Lock a file that only its owner may open: a process that can open it can lock it.

    Args:
        path: The file; it is made if it does not exist.
        wait: Whether to wait for another process that has the lock.

    Raises:
        BlockingIOError: Another process has the lock, and `wait` is false.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _LOCK_MODE), "w") as lock:
        if stat.S_IMODE(os.fstat(lock.fileno()).st_mode) != _LOCK_MODE:  # else another user may own it
            os.fchmod(lock.fileno(), _LOCK_MODE)  # an earlier server may have made it readable by all
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def _remove(folder: Path) -> None:
    """Remove a folder under the lock of all servers: otherwise a starting server could recreate its lock file."""
    with locked(folder.parent / _LOCK):
        shutil.rmtree(folder)


def _group_name(folder: Path) -> str:
    return f"snekhouse-{folder.name}"


def _sweep(folder: Path) -> None:
    with suppress(BlockingIOError, FileNotFoundError), locked(folder / _LOCK, wait=False):
        # The lock is free: its server is gone.
        end_jails(folder)
        with suppress(FileNotFoundError):
            sweep((folder / _GROUPS).read_text().splitlines())
        shutil.rmtree(folder)


def _usual_parent() -> Path:
    if os.geteuid() == 0 and os.access("/run", os.W_OK):
        return Path("/run/snekhouse")
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "snekhouse"
    return Path(tempfile.gettempdir()) / f"snekhouse-{os.geteuid()}"
