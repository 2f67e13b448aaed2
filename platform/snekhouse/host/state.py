"""The server's private folder: profiles and the bootstrap's copy, for as long as the server lives."""

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
"""File with the folders of a server's cgroups. A server that starts in another group has to find them."""

_MODE = 0o711
"""Nobody may list it; a jail, which is nobody, may pass through to what is mounted from it."""


@dataclass(frozen=True, slots=True)
class State:
    """The folder of one server.

    Attributes:
        path: Where it is.
        name: A name that no other living server has; that of its cgroup as well.
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
        """Make a folder in it, to write to likewise."""
        path = self.path / name
        path.mkdir(_MODE)
        path.chmod(_MODE)
        return State(path, name)


@contextmanager
def state_folder(parent: Path | None, layout: Layout | None) -> Iterator[State]:
    """Make this server's folder, remove it at the end, and sweep away what killed servers left.

    Args:
        parent: The folder that holds it; None for the usual place of this user.
        layout: The cgroups in use; their folders are noted for who sweeps, and may use others.

    Raises:
        HostError: There is no place for it, or somebody else owns that place.
    """
    parent = private_folder(parent)
    with ExitStack() as held:
        with _locked(parent / _LOCK):  # one server at a time, or one may sweep what another just makes
            for folder in parent.glob(f"{_PREFIX}*"):
                _sweep(folder)
            path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            path.chmod(_MODE)
            if layout:
                (path / _GROUPS).write_text("\n".join(layout.folders(_group_name(path))))
            held.enter_context(_locked(path / _LOCK))  # freed by the kernel when the server is gone, however it went
        held.callback(_remove, path)
        held.enter_context(watchdogs_for(path))
        yield State(path, _group_name(path))


def private_folder(parent: Path | None = None) -> Path:
    """Make the folder that holds what all servers of this user have.

    Args:
        parent: As above.

    Raises:
        HostError: As above.
    """
    return _private(parent or _usual_parent())


def shared_folder(parent: Path | None) -> Path:
    """Make a folder for what workers share, which their supervisor removes; remove those of killed ones.

    Args:
        parent: As above.

    Raises:
        HostError: As above.
    """
    parent = private_folder(parent)
    for folder in parent.glob(f"{_SHARED}*"):
        if not Path("/proc", folder.name.removeprefix(_SHARED)).exists():
            shutil.rmtree(folder, ignore_errors=True)
    path = parent / f"{_SHARED}{os.getpid()}"
    path.mkdir(0o700)
    return path


@contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock file, which only its owner may open: a process that can open it can lock it.

    Raises:
        BlockingIOError: Somebody else holds it, and `wait` is false.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _LOCK_MODE), "w") as lock:
        os.fchmod(lock.fileno(), _LOCK_MODE)  # a server before this one may have made it for all to read
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def _remove(folder: Path) -> None:
    """Remove a folder under the lock of all: a server that starts and sweeps would create its lock file again."""
    with _locked(folder.parent / _LOCK):
        shutil.rmtree(folder)


def _group_name(folder: Path) -> str:
    return f"snekhouse-{folder.name}"


def _sweep(folder: Path) -> None:
    with suppress(BlockingIOError, FileNotFoundError), _locked(folder / _LOCK, wait=False):
        # Nobody holds it: its server is gone.
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


def _private(parent: Path) -> Path:
    try:
        parent.mkdir(mode=_MODE, parents=True, exist_ok=True)
        status = parent.lstat()
    except OSError as error:
        raise HostError(f"no place for the server's state: {error}; name another in [server] state") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise HostError(f"{parent} belongs to somebody else; name another folder in [server] state")
    parent.chmod(_MODE)
    return parent
