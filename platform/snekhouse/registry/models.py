"""The models of the registry: its runtimes, with their limits and mounts.

All models are frozen. The defaults are here, in `server`, in `build`, and in `environment` (those of `env`); a test
compares ``docs/reference/registry.md`` with them.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, ByteSize, Field, PlainSerializer, field_serializer

from snekhouse.errors import RuntimeUnknownError
from snekhouse.registry.build import Build
from snekhouse.registry.server import Server
from snekhouse.registry.table import Table
from snekhouse.registry.values import (
    AUTO,
    AbsolutePath,
    Count,
    CountOrZero,
    EnvName,
    EnvValue,
    MountPath,
    Name,
    Positive,
    Preload,
    RootPath,
    Size,
)

_MIB = 1 << 20

HOME = "/home"
SHM = "/dev/shm"  # noqa: S108 - a path inside jails

_READ_ONLY = (AfterValidator(MappingProxyType), PlainSerializer(dict))


ADDRESS_SPACE_BESIDE_MEMORY = 630 * _MIB
"""Bytes by which the default address space of a process exceeds the memory of the run: 700 MiB for 70 MiB."""

ADDRESS_SPACE_OF_THREAD = 72 * _MIB
"""Bytes of address space that a thread takes with glibc: 8 MiB for its stack, and 64 MiB for its part of the heap."""


class Limits(Table):
    """What a run may use."""

    wall_time: Annotated[Positive, Field(description="Seconds from the program's start to its end.")] = 6.0
    memory: Annotated[Size, Field(description="Memory of all processes, including files in /home and /dev/shm.")] = (
        ByteSize(70 * _MIB)
    )
    address_space: Annotated[Size, Field(description="Address space of each process.")] = ByteSize(700 * _MIB)
    processes: Annotated[Count, Field(description="Processes and threads at once.")] = 15
    cpus: Annotated[Positive, Field(description="CPUs that may be busy at once.")] = 1.0
    output: Annotated[Size, Field(description="Bytes of stdout and stderr that are kept.")] = ByteSize(1_000_000)
    home: Annotated[Size, Field(description="Size of /home, the working folder.")] = ByteSize(48 * _MIB)
    shm: Annotated[Size, Field(description="Size of /dev/shm.")] = ByteSize(40 * _MIB)
    open_files: Annotated[Count, Field(description="Open files of each process.")] = 256


class Files(Table):
    """Which files of the home an answer returns."""

    limit: Annotated[CountOrZero, Field(description="How many files the answer returns at most.")] = 100
    timeout: Annotated[Positive, Field(description="Seconds that the server may take to collect them.")] = 5.0
    pattern: Annotated[str, Field(min_length=1, description="Glob that the paths of returned files match.")] = (
        "**/[!_]*"
    )


class MountTable(Table):
    """A table of `mounts` as it is written: a mount of the host, or a tmpfs."""

    source: Annotated[MountPath | None, Field(description="Path on the host.")] = None
    target: MountPath = Field(
        default_factory=lambda given: given.get("source") or "/",
        description="Path in the jail. If not given, the source.",
    )
    tmpfs: Annotated[
        Size | None,
        Field(description="Size of a tmpfs, an empty folder in memory that each evaluation gets at the target."),
    ] = None
    writable: Annotated[bool, Field(description="Whether programs may write to it.")] = False
    mandatory: Annotated[bool, Field(description="Whether the runtime is unavailable if the source is missing.")] = True


class Mount(MountTable):
    """A file or folder of the host that a runtime sees."""

    source: MountPath
    tmpfs: None = None


class Tmpfs(Table):
    """A folder in memory, empty at the start of each run (tmpfs(5)).

    Attributes:
        target: Its path in the jail.
        size: Its size in bytes.
    """

    target: MountPath
    size: Size


Env = Annotated[Mapping[EnvName, EnvValue], *_READ_ONLY]


class Settings(Table):
    """The keys of `[defaults]`, which each runtime may set for itself."""

    start: Annotated[
        Literal["fork", "cold"],
        Field(description="How an evaluation starts: forked by the fork server, or cold with its own interpreter."),
    ] = "fork"
    limits: Limits = Limits()
    files: Files = Files()
    env: Env = Field(default_factory=dict, description="Environment of the program.")
    request_env: Annotated[
        tuple[EnvName, ...], Field(strict=False, description="Variables that a request may set with `env`.")
    ] = ()
    mounts: Annotated[
        tuple[MountTable, ...],
        Field(strict=False, description="Files and folders of the host that the runtime sees, and tmpfs."),
    ] = ()
    loopback: Annotated[bool, Field(description="Whether programs can use 127.0.0.1 and ::1.")] = False
    root: Annotated[
        RootPath | None,
        Field(
            description="Folder with a root file system. The runtime sees its /usr and loader instead of the host's."
        ),
    ] = None
    packages: Annotated[
        AbsolutePath | None,
        Field(
            description="Folder of its third-party packages; {runtime} stands for its name. If not given, a default."
        ),
    ] = None
    preload: Annotated[
        Preload,
        Field(
            description='Modules that the fork server imports before evaluations fork; "auto": those of packages that '
            "programs import often, hidden until a program imports them."
        ),
    ] = AUTO
    preload_memory: Annotated[
        Size, Field(description='Memory that the modules of preload = "auto" may take in the fork server.')
    ] = ByteSize(128 * _MIB)
    packages_build: Annotated[
        Literal["wheels", "source"],
        Field(
            description="How packages are installed: from wheels, or also from source distributions, built in a jail."
        ),
    ] = "wheels"


class RuntimeTable(Settings):
    """A table `[runtimes.NAME]` as it is written."""

    executable: Annotated[AbsolutePath, Field(description="Path of the interpreter in the jail.")]
    aliases: Annotated[tuple[Name, ...], Field(strict=False, description="Other names in URLs.")] = ()
    executable_names: Annotated[
        tuple[AbsolutePath, ...],
        Field(strict=False, description="Other paths that clients may send as `executable_path` for this runtime."),
    ] = ()
    build: Build | None = None


class Runtime(RuntimeTable):
    """A runtime: its own table, merged with the defaults.

    Attributes:
        name: Its name in URLs.
        mounts: What it sees of the host.
        tmpfs: The tmpfs of its runs.
    """

    name: Name
    mounts: Annotated[tuple[Mount, ...], Field(strict=False)] = ()
    tmpfs: Annotated[tuple[Tmpfs, ...], Field(strict=False, exclude=True)] = ()

    @field_serializer("mounts")
    def _as_written(self, mounts: tuple[Mount, ...]) -> tuple[MountTable, ...]:
        tmpfs = (MountTable(target=each.target, tmpfs=each.size, writable=True) for each in self.tmpfs)
        return (*mounts, *tmpfs)

    @property
    def preloaded(self) -> tuple[str, ...]:
        """The modules that its fork servers import before they fork, and do not hide."""
        return () if self.preload == AUTO else self.preload

    @property
    def targets(self) -> frozenset[str]:
        """The paths of its mounts and tmpfs in the jail."""
        return frozenset((*(mount.target for mount in self.mounts), *(place.target for place in self.tmpfs)))


class RegistryFile(Table):
    """The registry as it is written."""

    default: Annotated[str | None, Field(description="Runtime of /eval, by name or alias.")] = None
    server: Server = Server()
    defaults: Settings = Settings()
    runtimes: dict[Name, RuntimeTable] = Field(default_factory=dict)


class Registry(Table):
    """The registry, merged and checked.

    Attributes:
        source: The file, as the person named it.
        digest: SHA-256 of its bytes, in hexadecimal.
        default: Name of the default runtime.
        server: Settings of the server.
        runtimes: Every runtime by its name, in the file's order.
        executables: Names of runtimes by every path that `executable_path` accepts.
    """

    source: str
    digest: str
    default: str
    server: Server
    runtimes: Annotated[Mapping[str, Runtime], *_READ_ONLY]
    executables: Annotated[Mapping[str, str], *_READ_ONLY]

    def resolve(self, name: str) -> Runtime:
        """Find a runtime by its name or an alias.

        Raises:
            RuntimeUnknownError: No runtime has that name.
        """
        for runtime in self.runtimes.values():
            if name == runtime.name or name in runtime.aliases:
                return runtime
        raise RuntimeUnknownError(name, self.names())

    def by_executable(self, path: str) -> Runtime | None:
        """Find a runtime by a path of its executable, without looking at the file system."""
        return self.runtimes.get(self.executables.get(path, ""))

    def names(self) -> tuple[str, ...]:
        """List every name and alias."""
        return tuple(name for runtime in self.runtimes.values() for name in (runtime.name, *runtime.aliases))
