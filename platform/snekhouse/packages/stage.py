"""The copy of a runtime's packages that a jail may change, and that then replaces the packages.

The jail's user owns the folders of the copy, or may write to them. Once the jail is dead, the host reads the copy
without following links. It takes only regular files and folders, and sets their modes itself.
"""

import ctypes
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

from snekhouse.errors import PackagesError
from snekhouse.host.ids import HostIds
from snekhouse.host.state import locked
from snekhouse.packages.site import Site

_UNLISTED = 0o711
"""Mode of folders that a jail may enter but not list."""

_READABLE = 0o555
"""Mode bits of folders that everybody may list and enter."""

CACHE = ".cache"
"""uv's cache, a folder in the jail's user base. Each change has its own cache, so that a build cannot alter the cache
of a later change. It is in the same mount as the packages, so that uv can link files."""


class Stage:
    """A copy of packages during a change.

    Attributes:
        base: The folder that the jail mounts as the user base.
        given: A folder for what the jail may read.
    """

    def __init__(self, site: Site, folder: Path, owner: HostIds) -> None:
        self._live = site.folder.resolve()
        self._top = Path(site.base.source).resolve()
        self._owner = owner
        self._versions: dict[PurePath, tuple[int, int]] = {}
        self.given = _folder(folder / "given", _UNLISTED)
        self.base = folder / "base"
        self._site = self.base / site.path
        for above in reversed(self._site.parents):
            if above.is_relative_to(self.base):  # owned by root, so that the jail cannot replace it with a link
                _folder(above, 0o755)
        self._make(self.base / CACHE)
        self._site_status = self._make(self._site).lstat()
        if self._live.is_dir():
            self._copy_in()

    def drop_old_bytecode(self) -> None:
        """Remove bytecode, except that of unchanged modules.

        Python compares only the size of the source and its time in seconds. So it could use old bytecode for a source
        that was replaced within the same second.
        """
        for path, status in self._content():
            if stat.S_ISREG(status.st_mode) and path.match("__pycache__/*.pyc"):
                source = path.parent.parent / f"{path.name.partition('.')[0]}.py"
                if not (self._is_unchanged(path) and self._is_unchanged(source)):
                    (self._site / path).unlink()

    def publish(self) -> tuple[PurePath, ...]:
        """Replace the packages with the copy.

        Returns:
            The paths that were left out: links and special files.
        """
        _make_folders(self._live.parent)
        for folder in self._live.parents:
            if folder.is_relative_to(self._top):  # jails read it as another user, so undo the umask
                mode = stat.S_IMODE(folder.stat().st_mode)
                if mode | _READABLE != mode:  # else it may belong to another user, and nobody here may change it
                    folder.chmod(mode | _READABLE)
        new = self._live.with_name(f".{self._live.name}.new")
        remove_tree(new)
        left_out = self._copy_out(new)
        _swap(new, self._live)
        remove_tree(new)
        return left_out

    def _content(self) -> list[tuple[PurePath, os.stat_result]]:
        """List what is in the copy now; check that its folder is still the one that the jail got."""
        if not os.path.samestat(self._site.lstat(), self._site_status):
            raise PackagesError("a build replaced the folder of the packages; do not install this package")
        try:
            return list(_walk(self._site))
        except OSError as error:  # for example, folders nested too deep
            raise PackagesError(f"cannot read the packages that the jail left: {error.strerror}") from error

    def _copy_in(self) -> None:
        for path, status in _walk(self._live):
            target = self._site / path
            if stat.S_ISDIR(status.st_mode):
                self._make(target)
            elif stat.S_ISREG(status.st_mode) and path != _UV_LOCK:
                self._link_or_copy(self._live / path, target)
                self._versions[path] = _version(target)

    def _link_or_copy(self, source: Path, target: Path) -> None:
        """Link a file, so that the jail can remove but not change the file; copy one that it could change."""
        try:
            if source.lstat().st_uid == self._owner.user:
                _copy(source, target)
            else:
                os.link(source, target)
        except OSError:
            _copy(source, target)

    def _make(self, folder: Path) -> Path:
        """Make a folder that the jail may write to."""
        _folder(folder, 0o755)
        try:
            os.chown(folder, self._owner.user, self._owner.group)
        except PermissionError:  # no CAP_CHOWN, as in the container of deploy/README.md, where nobody else is
            folder.chmod(0o777)
        return folder

    def _is_unchanged(self, path: PurePath) -> bool:
        try:
            return self._versions.get(path) == _version(self._site / path)
        except FileNotFoundError:
            return False

    def _copy_out(self, new: Path) -> tuple[PurePath, ...]:
        found = self._content()
        needed = sum(status.st_size for path, status in found if not self._is_unchanged(path))
        if needed > (free := shutil.disk_usage(self._live.parent).free):
            raise PackagesError(f"the packages need {needed} bytes, but {self._live.parent} has only {free} free")
        _folder(new, 0o700)
        left_out = []
        for path, status in found:
            if stat.S_ISDIR(status.st_mode):
                _folder(new / path, 0o755)
            elif not stat.S_ISREG(status.st_mode):
                left_out.append(path)
            elif path != _UV_LOCK:
                self._publish_file(path, status, new / path)
        new.chmod(0o755)
        return tuple(left_out)

    def _publish_file(self, path: PurePath, status: os.stat_result, target: Path) -> None:
        """Link an unchanged file, so that programs share its pages in memory; copy any other."""
        live = self._live / path
        if self._is_unchanged(path) and os.path.samestat(status, live.lstat()) and _is_plain(status):
            os.link(live, target)
        else:
            _copy(self._site / path, target)


_UV_LOCK = PurePath(".lock")
"""uv's lock file for the folder (flock(2)). A jail that sees it could hold the lock forever."""


@contextmanager
def staged(site: Site, owner: HostIds) -> Iterator[Stage]:
    """Copy the packages of a runtime, one change at a time, and remove the copy at the end.

    The lock and the copy are beside the user base, where no jail sees them.

    Args:
        site: The packages.
        owner: The host ids that may change the copy.

    Raises:
        PackagesError: A file cannot be written.
    """
    base = Path(site.base.source)
    folder = base.with_name(f".{base.name}.change")
    try:
        _make_folders(base.parent)
        with locked(base.with_name(f".{base.name}.lock")):
            remove_tree(folder)  # left by a change that was killed
            try:
                yield Stage(site, _folder(folder, _UNLISTED), owner)
            finally:
                remove_tree(folder)
    except OSError as error:
        raise PackagesError(f"cannot write to {base}: {error}; set `packages` to another folder") from error


def remove_tree(folder: Path) -> None:
    """Remove a folder that a jail may have filled; `shutil.rmtree` fails if folders are nested too deep."""
    if os.path.lexists(folder):
        subprocess.run(["/bin/rm", "-rf", "--", folder], cwd="/", env={}, check=True, stdin=subprocess.DEVNULL)


def _folder(path: Path, mode: int) -> Path:
    """Make a folder whose mode does not depend on the umask."""
    path.mkdir()
    path.chmod(mode)
    return path


def _make_folders(folder: Path) -> None:
    """Make a folder and its missing parents."""
    for each in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        _folder(each, 0o755)


def _swap(new: Path, live: Path) -> None:
    """Exchange two folders, atomically if the file system can (renameat2(2))."""
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
    """Yield relative path and status of everything below a folder, parents first, without following links."""
    folders = [PurePath()]
    while folders:
        folder = folders.pop()
        with os.scandir(top / folder) as entries:
            found = [(folder / entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
        yield from found
        folders += [path for path, status in found if stat.S_ISDIR(status.st_mode)]


def _version(path: Path) -> tuple[int, int]:
    """Return values that change if the file is changed or replaced."""
    status = path.lstat()
    return status.st_ino, status.st_ctime_ns


def _copy(source: Path, target: Path) -> None:
    """Copy a regular file: its bytes, its times, and whether it is executable."""
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
