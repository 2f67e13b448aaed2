"""The models of answers, and their conversion from results, limits and the state of runtimes."""

import binascii
from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from snekhouse.evaluation import Encoding, Enforcement, Enforcer, Result, Status
from snekhouse.registry.models import Limits, Registry
from snekhouse.service import RuntimeState, Service
from snekhouse.shortening import MESSAGE_SIZE, cut


def _to_base64(content: bytes) -> str:
    return binascii.b2a_base64(content, newline=False).decode()


class _Converted(BaseModel):
    """A model that takes its fields from the attributes of another object, such as `evaluation.Usage`."""

    model_config = ConfigDict(from_attributes=True)


class FileOut(BaseModel):
    """A file that the program left in its home."""

    path: str
    size: Annotated[int, Field(description="Bytes.")]
    content: Annotated[bytes, PlainSerializer(_to_base64, return_type=str), Field(description="Base64 of the bytes.")]


class EnforcementOut(_Converted):
    """What enforces each limit; null if this host cannot enforce it."""

    wall_time: Enforcer
    memory: Enforcer | None
    address_space: Enforcer
    processes: Enforcer
    cpus: Enforcer | None
    output: Enforcer


class LimitsOut(BaseModel):
    """The limits in force; null for a limit that is not enforced."""

    wall_time: Annotated[float, Field(description="Seconds.")]
    memory: Annotated[int | None, Field(description="Bytes of all processes.")]
    address_space: Annotated[int, Field(description="Bytes of each process.")]
    processes: int
    cpus: Annotated[float | None, Field(description="CPUs that may be busy at once.")]
    output: Annotated[int, Field(description="Bytes.")]
    enforced_by: Annotated[EnforcementOut, Field(description="What enforces each limit.")]

    @classmethod
    def of(cls, limits: Limits, enforcement: Enforcement) -> Self:
        """Convert limits, as this host enforces them."""
        return cls(
            wall_time=limits.wall_time,
            memory=int(limits.memory) if enforcement.memory else None,
            address_space=int(limits.address_space),
            processes=limits.processes,
            cpus=limits.cpus if enforcement.cpus else None,
            output=int(limits.output),
            enforced_by=enforcement,
        )


Seconds = Annotated[float, PlainSerializer(lambda value: round(value, 6), return_type=float)]


class UsageOut(_Converted):
    """What the evaluation used."""

    wall_time: Seconds
    cpu_time: Seconds
    queue_time: Seconds
    memory: Annotated[int | None, Field(description="Peak in bytes; null if the host does not measure it.")]


class ProgramErrorOut(_Converted):
    """The uncaught exception that ended the program, read from its traceback."""

    name: Annotated[str, Field(description="Name of its class.")]
    value: Annotated[str, Field(description="Its text, at most 500 characters.")]
    line: Annotated[int | None, Field(description="Line of the program; null if unknown.")]


class EvalResponse(BaseModel):
    """The result of an evaluation: how it ended, its output and its files."""

    stdout: str
    returncode: int | None
    files: tuple[FileOut, ...]
    runtime: str
    status: Status
    signal: str | None
    message: str
    error: Annotated[
        ProgramErrorOut | None,
        Field(description="The uncaught exception that ended the program, read from its traceback; otherwise null."),
    ]
    stderr: Annotated[str | None, Field(description="Null unless the request sets separate_stderr.")]
    encoding: Annotated[Encoding, Field(description="Encoding of stdout and stderr.")]
    truncated: bool
    limits: LimitsOut
    usage: UsageOut
    result: Annotated[
        dict[str, str] | None,
        Field(
            description="The value of the expression at the end, by format: text, html, markdown, svg, json, latex; "
            "png and jpeg in Base64. Null if there is none. Only if the request asks for it."
        ),
    ] = None
    figures: Annotated[
        tuple[str, ...] | None,
        Field(description="Open figures of matplotlib, as PNG in Base64. Only if the request asks for the result."),
    ] = None

    @classmethod
    def of(
        cls, runtime: str, limits: Limits, enforcement: Enforcement, result: Result, *, with_value: bool = False
    ) -> Self:
        """Convert a result.

        Args:
            runtime: Name of the runtime.
            limits: The limits in force.
            enforcement: What enforces them.
            result: The result.
            with_value: Whether the client asked for the value of the expression at the end.
        """
        return cls(
            stdout=result.stdout,
            returncode=result.returncode,
            files=tuple(FileOut(path=file.path, size=len(file.content), content=file.content) for file in result.files),
            runtime=runtime,
            status=result.status,
            signal=result.signal,
            message=_bounded(result.explanation),
            error=result.error,
            stderr=result.stderr,
            encoding=result.encoding,
            truncated=result.truncated,
            limits=LimitsOut.of(limits, enforcement),
            usage=result.usage,
            result=dict(result.value) or None,
            figures=tuple(result.figures) if with_value else None,
        )


class PackageOut(_Converted):
    """A third-party package that programs can import."""

    name: str
    version: str


class TmpfsOut(_Converted):
    """A folder in memory, empty at the start of each evaluation."""

    target: Annotated[str, Field(description="Its path.")]
    size: Annotated[int, Field(description="Its size in bytes.")]


class RuntimeOut(BaseModel):
    """A runtime in the public list."""

    name: str
    aliases: tuple[str, ...]
    default: bool
    status: Literal["available", "unavailable"]
    reason: Annotated[str, Field(description="Why it is unavailable; otherwise empty.")]
    start: Annotated[Literal["fork", "cold"], Field(description="How its evaluations start now.")]
    start_reason: Annotated[
        str, Field(description="Why evaluations start cold although the registry says start = fork; otherwise empty.")
    ]
    implementation: str | None
    version: str | None
    free_threaded: bool | None
    jit: bool | None
    packages: Annotated[tuple[PackageOut, ...], Field(description="Third-party packages, sorted by name.")]
    tmpfs: Annotated[tuple[TmpfsOut, ...], Field(description="Writable folders besides /home and /dev/shm.")]
    loopback: Annotated[bool, Field(description="Whether programs can connect to themselves over loopback.")]
    limits: LimitsOut

    @classmethod
    def of(cls, ready: RuntimeState, registry: Registry, enforcement: Enforcement) -> Self:
        """Convert the state of a runtime."""
        runtime, found = ready.runtime, ready.probe
        return cls(
            name=runtime.name,
            aliases=runtime.aliases,
            default=runtime.name == registry.default,
            status="available" if found else "unavailable",
            reason=_bounded(ready.reason),
            start="fork" if ready.supervisor and ready.supervisor.is_up else "cold",
            start_reason=_bounded(ready.cold_reason),
            **{name: getattr(found, name, None) for name in ("implementation", "version", "free_threaded", "jit")},
            packages=ready.packages(),
            loopback=runtime.loopback,
            tmpfs=runtime.tmpfs,
            limits=LimitsOut.of(runtime.limits, enforcement),
        )


class RuntimesOut(BaseModel):
    """The public list of runtimes."""

    runtimes: tuple[RuntimeOut, ...]

    @classmethod
    def of(cls, service: Service) -> Self:
        """Convert the runtimes of a server; reads the disk to list their packages."""
        registry, enforcement = service.registry, service.enforcement
        return cls(runtimes=tuple(RuntimeOut.of(ready, registry, enforcement) for ready in service.runtimes.values()))


class IndexOut(BaseModel):
    """The name and version of the server, and its main routes."""

    name: str = "snekhouse"
    version: str = Field(default_factory=lambda: version("snekhouse"))
    docs: str = "/docs"
    openapi: str = "/openapi.json"
    runtimes: str = "/runtimes"
    evaluate: str = "/eval"


class ErrorOut(BaseModel):
    """The answer to a request that failed."""

    title: str
    description: str

    @classmethod
    def of(cls, status: int, description: str, title: str = "") -> Self:
        """Make the answer for an HTTP status.

        Args:
            status: The code.
            description: What was wrong.
            title: The kind of error; by default the phrase of the status.
        """
        if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
            title = f"{status} {HTTPStatus(status).phrase}"  # as snekbox writes it
        return cls(title=title or HTTPStatus(status).phrase, description=_bounded(description))


def _bounded(message: str) -> str:
    """Cut a message for clients: text that it quotes from clients, programs and interpreters may be long."""
    return cut(message, MESSAGE_SIZE)
