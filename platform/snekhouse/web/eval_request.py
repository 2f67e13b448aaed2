"""The body of an evaluation: its wire model, and its conversion to a job."""

import operator
import posixpath
from collections.abc import Iterable, Mapping
from itertools import dropwhile
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, FailFast, Field, field_validator, model_validator

from snekhouse.errors import RequestError
from snekhouse.evaluation import Encoding, File, Job
from snekhouse.registry.models import Limits, Runtime
from snekhouse.web.fields import Base64, EnvValue, Short, Utf8, invalid_file


class _Received(BaseModel):
    """Strict about what it knows, silent about what it does not (as the peer's clients expect)."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


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
