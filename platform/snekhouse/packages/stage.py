"""The copy of a runtime's packages that a jail may change, and how what became of it takes their place.

The jail's user owns the copy. Once the jail is dead, the host reads the copy without following links, and takes
regular files and folders only, with modes of its own.
"""

import ctypes
import fcntl
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

from snekhouse.errors import PackagesError
from snekhouse.host.ids import HostIds
from snekhouse.packages.site import Site

_PASS = 0o711
"""Mode of folders on the way to what a jail mounts: nobody may list them."""


CACHE = ".cache"
"""A folder in the user base of the jail for uv, of one change alone: what a build writes there reaches no other. It is
in the same mount as the packages, so that uv can link files."""


class Stage:
    """A copy of packages on its way from the old ones to the new ones.

    Attributes:
        base: What takes the place of the user base in the jail.
        given: A folder for what the jail may read.
    """

    def __init__(self, site: Site, folder: Path, owner: HostIds) -> None:
        self._live = site.folder.resolve()
        self._top = Path(site.base.source).resolve()
        self._owner = owner
        self._marks: dict[PurePath, tuple[int, int]] = {}
        self.given = _folder(folder / "given", _PASS)
        self.base = folder / "base"
        self._site = self.base / site.path
        for above in reversed(self._site.parents):
            if above.is_relative_to(self.base):  # root's, so that no link can take the place of the folder
                _folder(above, 0o755)
        self._make(self.base / CACHE)
        self._made = self._make(self._site).lstat()
        if self._live.is_dir():
            self._fill()

    def drop_old_bytecode(self) -> None:
        """Remove bytecode, but for that of modules which are as they were.

        Python itself compares whole seconds and sizes, and so takes another version of the same second for the same.
        """
        for path, status in self._found():
            if stat.S_ISREG(status.st_mode) and path.match("__pycache__/*.pyc"):
                source = path.parent.parent / f"{path.name.partition('.')[0]}.py"
                if not (self._is_old(path) and self._is_old(source)):
                    (self._site / path).unlink()

    def publish(self) -> tuple[PurePath, ...]:
        """Make the packages what the copy has become, for all who look at them from now on.

        Returns:
            What was left out: links and special files.
        """
        _make_folders(self._live.parent)
        for folder in self._live.parents:
            if folder.is_relative_to(self._top):  # jails read as nobody, whatever umask the folder was made with
                folder.chmod(stat.S_IMODE(folder.stat().st_mode) | 0o555)
        new = self._live.with_name(f".{self._live.name}.new")
        remove_tree(new)
        left_out = self._copy_out(new)
        _swap(new, self._live)
        remove_tree(new)
        return left_out

    def _found(self) -> list[tuple[PurePath, os.stat_result]]:
        """List what the jail made of the copy, if that is still the folder that was given to it."""
        if not os.path.samestat(self._site.lstat(), self._made):
            raise PackagesError("a build replaced the folder of the packages; do not install such a package")
        try:
            return list(_walk(self._site))
        except OSError as error:  # folders nested too deep, for one
            raise PackagesError(f"what was left in the jail cannot be read: {error.strerror}") from error

    def _fill(self) -> None:
        for path, status in _walk(self._live):
            target = self._site / path
            if stat.S_ISDIR(status.st_mode):
                self._make(target)
            elif stat.S_ISREG(status.st_mode) and path != _UV_LOCK:
                self._take(self._live / path, target)
                self._marks[path] = _mark(target)

    def _take(self, source: Path, target: Path) -> None:
        """Show a file to the jail; where links are possible the jail can remove it, and not change it."""
        try:
            os.link(source, target)
        except OSError:
            _copy(source, target)
            os.chown(target, self._owner.user, self._owner.group)

    def _make(self, folder: Path) -> Path:
        os.chown(_folder(folder, 0o755), self._owner.user, self._owner.group)
        return folder

    def _is_old(self, path: PurePath) -> bool:
        try:
            return self._marks.get(path) == _mark(self._site / path)
        except FileNotFoundError:
            return False

    def _copy_out(self, new: Path) -> tuple[PurePath, ...]:
        found = self._found()
        needed = sum(status.st_size for path, status in found if not self._is_old(path))
        if needed > (free := shutil.disk_usage(self._live.parent).free):
            raise PackagesError(f"the packages need {needed} bytes, and {free} are free in {self._live.parent}")
        _folder(new, 0o700)
        left_out = []
        for path, status in found:
            if stat.S_ISDIR(status.st_mode):
                _folder(new / path, 0o755)
            elif not stat.S_ISREG(status.st_mode):
                left_out.append(path)
            elif path != _UV_LOCK:
                self._keep(path, status, new / path)
        new.chmod(0o755)
        return tuple(left_out)

    def _keep(self, path: PurePath, status: os.stat_result, target: Path) -> None:
        """Take a file: the very one where it is the old one, for else other programs would have it twice in memory."""
        live = self._live / path
        if self._is_old(path) and os.path.samestat(status, live.lstat()) and _is_plain(status):
            os.link(live, target)
        else:
            _copy(self._site / path, target)


_UV_LOCK = PurePath(".lock")
"""uv locks the folder with it (flock(2)). A jail that sees it could hold that lock for ever."""


@contextmanager
def staged(site: Site, owner: HostIds) -> Iterator[Stage]:
    """Copy the packages of a runtime, one change at a time, and remove the copy at the end.

    The lock and the copy lie beside the user base, where no jail sees them.

    Args:
        site: The packages.
        owner: Who may change the copy.

    Raises:
        PackagesError: Something cannot be written.
    """
    base = Path(site.base.source)
    folder = base.with_name(f".{base.name}.change")
    try:
        _make_folders(base.parent)
        with _locked(base.with_name(f".{base.name}.lock")):
            remove_tree(folder)  # of a change that was killed
            try:
                yield Stage(site, _folder(folder, _PASS), owner)
            finally:
                remove_tree(folder)
    except OSError as error:
        raise PackagesError(f"{base} cannot be written: {error}; name another folder as `packages`") from error


def remove_tree(folder: Path) -> None:
    """Remove a folder that a jail may have filled; shutil's way gives up where folders are nested too deep."""
    if os.path.lexists(folder):
        subprocess.run(["/bin/rm", "-rf", "--", folder], cwd="/", env={}, check=True, stdin=subprocess.DEVNULL)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _folder(path: Path, mode: int) -> Path:
    """Make a folder whose mode does not depend on the umask."""
    path.mkdir()
    path.chmod(mode)
    return path


def _make_folders(folder: Path) -> None:
    """Make a folder and those above it where they are missing."""
    for each in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        _folder(each, 0o755)


def _swap(new: Path, live: Path) -> None:
    """Put a folder in the place of another, which takes its own: at once, where the file system can (renameat2(2))."""
    libc = ctypes.CDLL(None)
    exchanged = hasattr(libc, "renameat2") and not libc.renameat2(
        _AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(live), _RENAME_EXCHANGE
    )
    if not exchanged:
        remove_tree(live)
        new.rename(live)


_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def _walk(top: Path) -> Iterator[tuple[PurePath, os.stat_result]]:
    """List what is below a folder, by relative path, a folder before what is in it; links are not followed."""
    folders = [PurePath()]
    while folders:
        folder = folders.pop()
        with os.scandir(top / folder) as entries:
            found = [(folder / entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
        yield from found
        folders += [path for path, status in found if stat.S_ISDIR(status.st_mode)]


def _mark(path: Path) -> tuple[int, int]:
    """Tell a file from another that takes its name or its inode."""
    status = path.lstat()
    return status.st_ino, status.st_ctime_ns


def _copy(source: Path, target: Path) -> None:
    """Copy a regular file: its bytes, its time, and whether it can be executed."""
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as reader:
        status = os.fstat(reader.fileno())
        with target.open("xb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
            writer.flush()
            os.fchmod(writer.fileno(), _mode(status))
            os.utime(writer.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))


def _mode(status: os.stat_result) -> int:
    return 0o755 if status.st_mode & stat.S_IXUSR else 0o644


def _is_plain(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == _mode(status)
