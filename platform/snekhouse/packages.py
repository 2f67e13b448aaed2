"""Third-party packages of a runtime: what is installed, and changes to it, which uv makes.

They lie in the runtime's user base on the host. Its jails see them at once, and may only read them, so bytecode is
compiled here.
"""

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path, PurePath
from typing import Self

from uv import find_uv_bin

from snekhouse.errors import PackagesError
from snekhouse.registry.models import Mount, Runtime
from snekhouse.registry.userbase import user_base


@dataclass(frozen=True, slots=True)
class Package:
    """A distribution package that is installed."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Site:
    """The folder on the host from which a runtime imports third-party packages.

    Attributes:
        folder: Where it is; it need not exist yet.
        interpreter: The runtime's executable, by its path on the host.
        base: The runtime's user base, which holds the folder.
    """

    folder: Path
    interpreter: Path
    base: Path

    @classmethod
    def of(cls, runtime: Runtime) -> Self:
        """Find that of a runtime, by asking its interpreter.

        Raises:
            PackagesError: The runtime has no place for packages, or its interpreter does not run here.
        """
        base = Path(_base(runtime).source)
        interpreter = executable_on_host(runtime)
        question = ("-c", "import site; print(site.getusersitepackages())")
        answer = _output(interpreter, question, {"PYTHONUSERBASE": str(base)})
        return cls(Path(answer.rstrip("\n")), interpreter, base)

    def install(self, requirements: Sequence[str]) -> None:
        """Install packages, or bring them to other versions.

        Args:
            requirements: As pip takes them (PEP 508): ``numpy``, ``numpy>=2``, the path of a wheel.

        Raises:
            PackagesError: uv could not; its own words are on standard error.
        """
        with self._changed():
            self._uv("install", "--link-mode", "copy", "--", *requirements)

    def remove(self, names: Sequence[str]) -> None:
        """Remove packages, and leave what they depend on.

        Raises:
            PackagesError: uv could not; its own words are on standard error.
        """
        with self._changed():
            self._uv("uninstall", "--", *names)

    def sync(self, requirements: Path) -> None:
        """Have exactly what a file asks for, with what that depends on, and nothing else.

        Args:
            requirements: A file as pip takes it.

        Raises:
            PackagesError: uv could not; its own words are on standard error.
        """
        with self._changed(), tempfile.TemporaryDirectory() as scratch:
            locked = Path(scratch) / "requirements.txt"
            _run_uv("compile", "--quiet", "--python", str(self.interpreter), "-o", str(locked), "--", str(requirements))
            self._uv("sync", "--link-mode", "copy", "--allow-empty-requirements", "--", str(locked))

    def _uv(self, command: str, *arguments: str) -> None:
        _run_uv(command, "--python", str(self.interpreter), "--target", str(self.folder), *arguments)

    @contextmanager
    def _changed(self) -> Iterator[None]:
        """Make the folder before a change; afterwards compile what is new, and let every jail read it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            yield
            _let_everybody_read(self.base)
            _drop_old_bytecode(self.folder)
            compile_all = (self.interpreter, "-m", "compileall", "-q", "-j", "0", self.folder)
            # Not every file of a package is for this version of Python; those fail when they are imported, if ever.
            subprocess.run(compile_all, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            _let_everybody_read(self.base)
        except OSError as error:
            raise PackagesError(f"{self.base} cannot be written: {error}; name another folder as `packages`") from error


def make_room(runtime: Runtime) -> None:
    """Make the folder for a runtime's packages, where that is allowed: what is not there cannot be mounted later."""
    if base := user_base(runtime):
        with suppress(OSError):
            Path(base.source).mkdir(parents=True, exist_ok=True)


def installed(folder: Path) -> tuple[Package, ...]:
    """List the packages that a folder holds, by name."""
    try:
        return _installed(folder, folder.stat().st_mtime_ns)
    except FileNotFoundError:
        return ()


@lru_cache(maxsize=256)
def _installed(folder: Path, _mtime_ns: int) -> tuple[Package, ...]:
    found = {Package(each.metadata["Name"], each.version) for each in distributions(path=[str(folder)])}
    return tuple(sorted(found, key=lambda package: package.name.lower()))


def site_on_host(runtime: Runtime, user_site: str) -> Path | None:
    """Translate where a runtime's programs see its packages to the host's own path.

    Args:
        runtime: The runtime.
        user_site: What it says of itself (`site.getusersitepackages`).

    Returns:
        The folder, which need not exist; None when the runtime has no packages.
    """
    base = user_base(runtime)
    if base is None or not PurePath(user_site).is_relative_to(base.target):
        return None
    return Path(base.source) / PurePath(user_site).relative_to(base.target)


def _base(runtime: Runtime) -> Mount:
    base = user_base(runtime)
    if base is None:
        key = f'runtimes."{runtime.name}"'
        raise PackagesError(
            f"{key} has no place for packages: set {key}.env.PYTHONUSERBASE to a path outside /home, "
            "and mount nothing else there"
        )
    return base


def executable_on_host(runtime: Runtime) -> Path:
    """Find a runtime's executable on the host, through the mount that shows it in the jail.

    Raises:
        PackagesError: No mount shows it.
    """
    executable = PurePath(runtime.executable)
    around = [mount for mount in runtime.mounts if executable.is_relative_to(mount.target)]
    if not around:
        raise PackagesError(f"no mount of the runtime {runtime.name} holds its executable, {executable}")
    nearest = max(around, key=lambda mount: len(mount.target))
    return Path(nearest.source) / executable.relative_to(nearest.target)


def _output(interpreter: Path, arguments: Sequence[str], env: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            [interpreter, *arguments], env={**os.environ, **env}, check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise PackagesError(f"the interpreter {interpreter} does not run on this host: {error}") from error
    return done.stdout


def _run_uv(command: str, *arguments: str) -> None:
    try:
        binary = find_uv_bin()
    except FileNotFoundError as error:
        raise PackagesError("uv is not there; install the package uv") from error
    done = subprocess.run([binary, "pip", command, "--no-python-downloads", *arguments], check=False)
    if done.returncode:
        raise PackagesError(f"uv could not {command}; what it said stands above")


def _drop_old_bytecode(folder: Path) -> None:
    """Remove the bytecode of modules that are gone or were written after it was compiled.

    Python itself compares whole seconds and sizes, and so takes another version of the same second for the same.
    """
    for compiled in folder.rglob("__pycache__/*.pyc"):
        source = compiled.parent.parent / f"{compiled.name.partition('.')[0]}.py"
        with suppress(FileNotFoundError):
            if source.stat().st_ctime_ns < compiled.stat().st_mtime_ns:
                continue
        compiled.unlink()


def _let_everybody_read(folder: Path) -> None:
    """Do what ``chmod -R a+rX`` does: jails read as nobody, whatever umask the files were made with."""
    for parent, _, names in os.walk(folder):
        for path in (Path(parent), *(Path(parent) / name for name in names)):
            mode = path.lstat().st_mode
            needed = 0o555 if stat.S_ISDIR(mode) or mode & stat.S_IXUSR else 0o444
            if not stat.S_ISLNK(mode) and mode & needed != needed:
                path.chmod(stat.S_IMODE(mode) | needed)
