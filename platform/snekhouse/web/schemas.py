"""What travels over HTTP: the wire models and their conversion, once, to and from the domain's."""

import binascii
import operator
import posixpath
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from importlib.metadata import version
from itertools import dropwhile
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    PlainSerializer,
    field_validator,
    model_validator,
)

from snekhouse.errors import RequestError
from snekhouse.house import House, Ready
from snekhouse.jail.evaluation import Encoding, File, Job, Result, Status
from snekhouse.registry.models import Limits, Registry, Runtime
from snekhouse.web.fields import Base64, EnvValue, Short, Utf8, invalid_file


class _Received(BaseModel):
    """Strict about what it knows, silent about what it does not (as the peer's clients expect)."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


def _to_base64(content: bytes) -> str:
    return binascii.b2a_base64(content, newline=False).decode()


_LEVELS = 100
"""Names in the path of a file: as deep as files are collected."""


class FileIn(_Received):
    """A file to write below the home before the program starts."""

    path: Annotated[Short, Field(description="Relative path, with / between names.")]
    content: Base64 = b""

    @field_validator("path")
    @classmethod
    def _stays_below_home(cls, path: str) -> str:
        if path.startswith("/") or "\0" in path or "\\0" in path:
            raise ValueError("must be a relative path, without null bytes and without \\0")
        names = posixpath.normpath(path).split("/")
        if names[0] in {".", ".."}:
            raise invalid_file("must stay below the home, and not be the home itself")
        if len(names) > _LEVELS:
            raise invalid_file(f"must have at most {_LEVELS} names")
        return path


class LimitsIn(_Received):
    """Limits of one evaluation. Null stands for the runtime's own limit; none may be above it."""

    model_config = ConfigDict(extra="forbid")  # a limit that is misspelt would not be in force

    # Null is allowed because generated clients send it for what their user did not set.

    wall_time: Annotated[Annotated[float, Field(gt=0, allow_inf_nan=False)] | None, Field(description="Seconds.")] = (
        None
    )
    memory: Annotated[Annotated[int, Field(gt=0)] | None, Field(description="Bytes.")] = None
    processes: Annotated[Annotated[int, Field(gt=0)] | None, Field(description="Processes and threads.")] = None
    output: Annotated[Annotated[int, Field(gt=0)] | None, Field(description="Bytes of stdout and stderr together.")] = (
        None
    )

    def lower(self, limits: Limits) -> Limits:
        """Lower a runtime's limits to these.

        Raises:
            RequestError: One of them is above the runtime's.
        """
        asked = self.model_dump(exclude_none=True)
        for key, value in asked.items():
            ceiling = getattr(limits, key)
            if value > ceiling:
                raise RequestError(f"limits.{key}: {value} is more than this runtime's {ceiling}; ask for less")
        return limits.model_copy(update=asked)


def _without_default(schema: dict[str, Any]) -> None:
    """Leave the default out of the description: generated clients send it, and "" is not the same as no text."""
    del schema["default"]


_COLORS: Mapping[bool | None, dict[str, str]] = {
    True: {"PYTHON_COLORS": "1"},
    False: {"PYTHON_COLORS": "0", "NO_COLOR": "1"},
    None: {},
}
"""Variables that switch colours: https://docs.python.org/3/using/cmdline.html#envvar-PYTHON_COLORS, no-color.org."""

_SHOWN = 100
"""Characters of a name that an answer repeats."""

_ITEMS = 20_000
"""Arguments, and files, that a request may have: more than a home has inodes."""


class EvalRequest(_Received):
    """A program, and how to evaluate it. One of `input` and `args` is required."""

    input: Annotated[Utf8, Field(description="Appended to `args`.", json_schema_extra=_without_default)] = b""
    args: Annotated[
        tuple[Utf8, ...],
        FailFast(),
        Field(strict=False, max_length=_ITEMS, description="Arguments of the interpreter."),
    ] = (b"-c",)
    files: Annotated[tuple[FileIn, ...], FailFast(), Field(strict=False, max_length=_ITEMS)] = ()
    stdin: Annotated[Utf8, Field(description="What the program reads from its standard input.")] = b""
    separate_stderr: bool = False
    encoding: Annotated[
        Encoding, Field(strict=False, description="How output comes back: base64 is for bytes that are not UTF-8.")
    ] = Encoding.UTF_8
    limits: LimitsIn | None = None
    env: Annotated[
        dict[str, EnvValue],
        Field(max_length=_ITEMS, description="Variables of the environment, of those that the runtime allows."),
    ] = {}
    colors: Annotated[
        bool | None, Field(description="Whether tracebacks have colours; null for what the runtime has set.")
    ] = None
    runtime: Annotated[Short, Field(description="Name or alias; on /eval only.")] = ""
    executable_path: Annotated[Short, Field(description="A runtime by its executable; on /eval only.")] = ""

    @model_validator(mode="after")
    def _has_a_program(self) -> Self:
        if not self.model_fields_set & {"input", "args"}:
            raise ValueError("one of 'input' and 'args' is required")
        return self

    def to_job(self, runtime: Runtime) -> Job:
        """Convert it to a job of the runtime that will run it.

        Raises:
            RequestError: A limit is above the runtime's, or it does not allow a variable.
        """
        _require_allowed(self.env, runtime)
        return Job(
            args=self._arguments(),
            files=tuple(File(file.path, file.content) for file in self.files),
            stdin=self.stdin,
            separate_stderr=self.separate_stderr,
            encoding=self.encoding,
            limits=self.limits.lower(runtime.limits) if self.limits else runtime.limits,
            env=_COLORS[self.colors] | self.env,
        )

    def _arguments(self) -> tuple[bytes, ...]:
        """Drop empty strings in front and append the input, as the peer does."""
        given = (self.input,) if "input" in self.model_fields_set else ()
        return tuple(dropwhile(operator.not_, (*self.args, *given)))


def _require_allowed(names: Iterable[str], runtime: Runtime) -> None:
    for name in names:
        if name not in runtime.request_env:
            allowed = ", ".join(runtime.request_env) or "none"
            raise RequestError(
                f"env.{name[:_SHOWN]}: the runtime {runtime.name} does not allow it; "
                f"request_env in the registry allows: {allowed}"
            )


class FileOut(BaseModel):
    """A file that the program left in its home."""

    path: str
    size: Annotated[int, Field(description="Bytes.")]
    content: Annotated[bytes, PlainSerializer(_to_base64, return_type=str), Field(description="Base64 of the bytes.")]


class LimitsOut(BaseModel):
    """The limits in force."""

    wall_time: Annotated[float, Field(description="Seconds.")]
    memory: Annotated[int, Field(description="Bytes.")]
    processes: int
    output: Annotated[int, Field(description="Bytes.")]


Seconds = Annotated[float, PlainSerializer(lambda value: round(value, 6), return_type=float)]


class UsageOut(BaseModel):
    """What the run used."""

    wall_time: Seconds
    cpu_time: Seconds
    queue_time: Seconds
    memory: Annotated[int | None, Field(description="Peak in bytes; null where the host does not measure it.")]


class EvalResponse(BaseModel):
    """How an evaluation ended, and what it left."""

    stdout: str
    returncode: int | None
    files: tuple[FileOut, ...]
    runtime: str
    status: Status
    signal: str | None
    message: str
    stderr: Annotated[str | None, Field(description="Null unless separate_stderr was asked for.")]
    encoding: Annotated[Encoding, Field(description="How stdout and stderr are to be read.")]
    truncated: bool
    limits: LimitsOut
    usage: UsageOut

    @classmethod
    def of(cls, runtime: str, limits: Limits, result: Result) -> Self:
        """Convert a result."""
        usage = result.usage
        return cls(
            stdout=result.stdout,
            returncode=result.returncode,
            files=tuple(FileOut(path=file.path, size=len(file.content), content=file.content) for file in result.files),
            runtime=runtime,
            status=result.status,
            signal=result.signal,
            message=_bounded(result.message),
            stderr=result.stderr,
            encoding=result.encoding,
            truncated=result.truncated,
            limits=_limits_out(limits),
            usage=UsageOut(
                wall_time=usage.wall_time,
                cpu_time=usage.cpu_time,
                queue_time=usage.queue_time,
                memory=usage.memory,
            ),
        )


class PackageOut(BaseModel):
    """A third-party package that programs can import."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    version: str


class RuntimeOut(BaseModel):
    """A runtime as the public list shows it."""

    name: str
    aliases: tuple[str, ...]
    default: bool
    status: Literal["available", "unavailable"]
    reason: Annotated[str, Field(description="Why it is unavailable; else empty.")]
    start: Annotated[Literal["fork", "cold"], Field(description="How its evaluations start now.")]
    start_reason: Annotated[str, Field(description="Why they start cold where the registry says fork; else empty.")]
    implementation: str | None
    version: str | None
    free_threaded: bool | None
    jit: bool | None
    packages: Annotated[tuple[PackageOut, ...], Field(description="Third-party packages, by name.")]
    limits: LimitsOut

    @classmethod
    def of(cls, ready: Ready, registry: Registry) -> Self:
        """Convert a runtime as the house holds it."""
        runtime, found = ready.runtime, ready.probe
        return cls(
            name=runtime.name,
            aliases=runtime.aliases,
            default=runtime.name == registry.default,
            status="available" if found else "unavailable",
            reason=_bounded(ready.reason),
            start="fork" if ready.keeper and ready.keeper.is_up else "cold",
            start_reason=_bounded(ready.cold_reason),
            implementation=found.implementation if found else None,
            version=found.version if found else None,
            free_threaded=found.free_threaded if found else None,
            jit=found.jit if found else None,
            packages=tuple(map(PackageOut.model_validate, ready.packages())),
            limits=_limits_out(runtime.limits),
        )


class RuntimesOut(BaseModel):
    """The public list of runtimes."""

    runtimes: tuple[RuntimeOut, ...]

    @classmethod
    def of(cls, house: House) -> Self:
        """List the runtimes of a house; looks at the disk for their packages."""
        return cls(runtimes=tuple(RuntimeOut.of(ready, house.registry) for ready in house.runtimes.values()))


class IndexOut(BaseModel):
    """What this server is, and the paths to begin with."""

    name: str = "snekhouse"
    version: str = Field(default_factory=lambda: version("snekhouse"))
    docs: str = "/docs"
    openapi: str = "/openapi.json"
    runtimes: str = "/runtimes"
    evaluate: str = "/eval"


class ErrorOut(BaseModel):
    """Any answer that is not 200."""

    title: str
    description: str

    @classmethod
    def of(cls, status: int, description: str, title: str = "") -> Self:
        """Make that of an HTTP status.

        Args:
            status: The code.
            description: What was wrong.
            title: What kind of error it is, where that says more than the status.
        """
        if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
            title = f"{status} {HTTPStatus(status).phrase}"  # as snekbox writes it
        return cls(title=title or HTTPStatus(status).phrase, description=_bounded(description))


_LONGEST = 500
"""Characters of a message to the public: what it quotes comes from clients, programs and interpreters."""


def _bounded(message: str) -> str:
    return message if len(message) <= _LONGEST else message[: _LONGEST - 4] + " ..."


def _limits_out(limits: Limits) -> LimitsOut:
    return LimitsOut(
        wall_time=limits.wall_time,
        memory=int(limits.memory),
        processes=limits.processes,
        output=int(limits.output),
    )
