"""The folder with a runtime's packages, and the packages in it."""

import subprocess
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path, PurePath
from typing import Self

from snekhouse.errors import PackagesError
from snekhouse.registry.models import Mount, Runtime
from snekhouse.registry.root import beneath
from snekhouse.registry.user_base import user_base


@dataclass(frozen=True, slots=True)
class Package:
    """An installed distribution package."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Site:
    """The folder from which a runtime imports third-party packages.

    Attributes:
        base: The runtime's user base: its path on the host is the source, its path in jails the target.
        path: The folder, relative to the user base.
    """

    base: Mount
    path: PurePath

    @classmethod
    def of(cls, runtime: Runtime) -> Self:
        """Find the folder of a runtime whose interpreter can run on the host, by running the interpreter.

        Raises:
            PackagesError: The runtime has no place for packages, or its interpreter does not run here.
        """
        base = _base(runtime)
        folder = _user_site(executable_on_host(runtime), base.source)
        return cls(base, PurePath(folder).relative_to(base.source))

    @classmethod
    def seen_at(cls, user_site: str, runtime: Runtime) -> Self:
        """Find the folder of a runtime from the path that its jail reports (`site.getusersitepackages`).

        Raises:
            PackagesError: The runtime has no place for packages.
        """
        base = _base(runtime)
        return cls(base, PurePath(user_site).relative_to(base.target))

    @property
    def folder(self) -> Path:
        """The folder on the host, which need not exist yet."""
        return Path(self.base.source) / self.path

    @property
    def inside(self) -> PurePath:
        """The folder in jails."""
        return PurePath(self.base.target) / self.path


def make_user_base(runtime: Runtime) -> None:
    """Make the folder for a runtime's packages if permissions allow it: a missing folder cannot be mounted later."""
    if base := user_base(runtime):
        with suppress(OSError):
            Path(base.source).mkdir(parents=True, exist_ok=True)


def installed(folder: Path) -> tuple[Package, ...]:
    """List the packages in a folder, sorted by name."""
    try:
        return _installed(folder, folder.stat().st_mtime_ns)
    except FileNotFoundError:
        return ()


@lru_cache(maxsize=256)
def _installed(folder: Path, _mtime_ns: int) -> tuple[Package, ...]:
    metadata = [each.metadata for each in distributions(path=[str(folder)])]
    found = {Package(each["Name"], each["Version"]) for each in metadata if each["Name"] and each["Version"]}
    return tuple(sorted(found, key=lambda package: package.name.lower()))


def site_on_host(runtime: Runtime, user_site: str) -> Path | None:
    """Translate the path of a runtime's packages in its jails to the path on the host.

    Args:
        runtime: The runtime.
        user_site: The path that its jail reports (`site.getusersitepackages`).

    Returns:
        The folder, which need not exist; None if the runtime has no place for packages.
    """
    base = user_base(runtime)
    if base is None or not PurePath(user_site).is_relative_to(base.target):
        return None
    return Path(base.source) / PurePath(user_site).relative_to(base.target)


def executable_on_host(runtime: Runtime) -> Path:
    """Find a runtime's executable on the host, through the mount or the root that shows it in the jail.

    Raises:
        OSError: The path is a loop of links.
        PackagesError: No mount shows it.
    """
    executable = PurePath(runtime.executable)
    around = [mount for mount in runtime.mounts if executable.is_relative_to(mount.target)]
    if runtime.root and not around:
        return beneath(runtime.root, runtime.executable)
    if not around:
        raise PackagesError(f"no mount of the runtime {runtime.name} contains its executable, {executable}")
    nearest = max(around, key=lambda mount: len(mount.target))
    return Path(nearest.source) / executable.relative_to(nearest.target)


def _base(runtime: Runtime) -> Mount:
    base = user_base(runtime)
    if base is None:
        key = f'runtimes."{runtime.name}"'
        raise PackagesError(
            f"{key} has no place for packages: set {key}.env.PYTHONUSERBASE to a path outside /home, "
            "and mount nothing else there"
        )
    return base


_SCRIPT = "import site; print(site.getusersitepackages())"


def _user_site(interpreter: Path, base: str) -> str:
    """Return the user site of an interpreter, which runs on the host with -S: without .pth files and sitecustomize."""
    command = [str(interpreter), "-I", "-S", "-B", "-c", _SCRIPT]
    try:
        done = subprocess.run(
            command, cwd="/", env={"PYTHONUSERBASE": base}, check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise PackagesError(f"the interpreter {interpreter} does not run on this host: {error}") from error
    return done.stdout.rstrip("\n")
