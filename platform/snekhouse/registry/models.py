"""The models of the registry: its runtimes, their limits and mounts, and the settings of the server.

All models are frozen. The defaults are here, in `build`, and in `environment` (those of `env`); a test compares
``docs/reference/registry.md`` with them.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ByteSize, ConfigDict, Field, PlainSerializer, field_serializer

from snekhouse.errors import RuntimeUnknownError
from snekhouse.registry.build import Build
from snekhouse.registry.values import (
    AUTO,
    AbsolutePath,
    Bind,
    Count,
    CountOrZero,
    EnvName,
    EnvValue,
    HostName,
    MountPath,
    Name,
    Origin,
    Positive,
    Preload,
    RootPath,
    Size,
    UidRange,
)

_MIB = 1 << 20

HOME = "/home"
SHM = "/dev/shm"  # noqa: S108 - a path inside jails

_READ_ONLY = (AfterValidator(MappingProxyType), PlainSerializer(dict))


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


ADDRESS_SPACE_BESIDE_MEMORY = 630 * _MIB
"""Bytes by which the default address space of a process exceeds the memory of the run: 700 MiB for 70 MiB."""

ADDRESS_SPACE_OF_THREAD = 72 * _MIB
"""Bytes of address space that a thread takes with glibc: 8 MiB for its stack, and 64 MiB for its part of the heap."""


class Limits(_Table):
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


class Files(_Table):
    """Which files of the home an answer returns."""

    limit: Annotated[CountOrZero, Field(description="How many files the answer returns at most.")] = 100
    timeout: Annotated[Positive, Field(description="Seconds that the server may take to collect them.")] = 5.0
    pattern: Annotated[str, Field(min_length=1, description="Glob that the paths of returned files match.")] = (
        "**/[!_]*"
    )


class MountTable(_Table):
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


class Tmpfs(_Table):
    """A folder in memory, empty at the start of each run (tmpfs(5)).

    Attributes:
        target: Its path in the jail.
        size: Its size in bytes.
    """

    target: MountPath
    size: Size


Env = Annotated[Mapping[EnvName, EnvValue], *_READ_ONLY]


class Settings(_Table):
    """The keys of `[defaults]`, which each runtime may set for itself."""

    start: Annotated[
        Literal["fork", "cold"],
        Field(description="How an evaluation starts: forked by the fork server, or cold with its own interpreter."),
    ] = "fork"
    limits: Limits = Limits()
    files: Files = Files()
    env: Annotated[Env, Field(description="Environment of the program.")] = {}
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


class Server(_Table):
    """The table `[server]`: the settings of the server."""

    bind: Annotated[Bind, Field(description="Address to listen on, as host:port.")] = "0.0.0.0:8060"
    workers: Annotated[
        Count, Field(description="Server processes. They share concurrency, queue, connections and max_in_transit.")
    ] = 1
    concurrency: Annotated[CountOrZero, Field(description="Evaluations at once; 0: one for each CPU.")] = 0
    queue: Annotated[
        CountOrZero,
        Field(description="How many more evaluations may wait. When the queue is full, the server answers 503."),
    ] = 64
    uids: Annotated[UidRange, Field(description="First and last host id, of user and group, for evaluations.")] = (
        1_879_048_192,  # the first id of a range that https://systemd.io/UIDS-GIDS lists as unused
        1_879_049_215,
    )
    max_request: Annotated[Size, Field(description="Largest body of a request in bytes.")] = ByteSize(64 * _MIB)
    max_in_transit: Annotated[
        Size | None,
        Field(
            description="Bytes of all requests and answers in transit. When they are used up, the server answers 503. "
            "If not given, a quarter of the memory that the server may use, and at most 1 GiB."
        ),
    ] = None
    connections: Annotated[
        Count, Field(description="Connections at once, at most half of the file descriptors that the server may open.")
    ] = 1024
    connections_per_address: Annotated[
        Count, Field(description="Connections at once from one IPv4 address or one IPv6 /64 network.")
    ] = 512
    hosts: Annotated[
        tuple[HostName, ...],
        Field(
            strict=False,
            description="Names that clients may send in the header Host. On a loopback address, loopback "
            "names are allowed as well. On another address, an empty list allows any name.",
        ),
    ] = ()
    origins: Annotated[
        tuple[Origin, ...],
        Field(strict=False, description="Origins of web pages that may use the server, besides its own."),
    ] = ()
    http2: Annotated[bool, Field(description="Whether clients may use HTTP/2 (without TLS).")] = False
    drain: Annotated[Positive, Field(description="Seconds for evaluations to finish after SIGTERM.")] = 10.0
    allow_degraded: Annotated[bool, Field(description="Serve even if this host cannot build every wall.")] = False
    log: Annotated[Literal["text", "json"], Field(description="Format of the log.")] = "text"
    state: Annotated[
        AbsolutePath | None,
        Field(description="Folder for the server's own files. If not given, the server creates a private folder."),
    ] = None

    @property
    def slots(self) -> int:
        """How many evaluations may run at once."""
        return self.concurrency or os.cpu_count() or 1

    @property
    def state_path(self) -> Path | None:
        """The folder for the server's own files; None for the default."""
        return Path(self.state) if self.state else None


class RegistryFile(_Table):
    """The registry as it is written."""

    default: Annotated[str | None, Field(description="Runtime of /eval, by name or alias.")] = None
    server: Server = Server()
    defaults: Settings = Settings()
    runtimes: dict[Name, RuntimeTable] = {}


class Registry(_Table):
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
