"""The model of an evaluation's request, and its conversion to a job."""

import operator
from collections.abc import Iterable
from itertools import dropwhile
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, FailFast, Field, model_validator

from snekhouse.errors import RequestError
from snekhouse.evaluation import COLOR_VARIABLES, Encoding, File, Job
from snekhouse.registry.models import Limits, Runtime
from snekhouse.web.fields import Base64, EnvValue, FilePath, Short, Utf8


class _Received(BaseModel):
    """A strict model that ignores unknown fields, as clients of snekbox expect."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class FileIn(_Received):
    """A file to write below the home before the program starts."""

    path: Annotated[FilePath, Field(description="Relative path, with / between names.")]
    content: Base64 = b""


class LimitsIn(_Received):
    """Limits of one evaluation, at most the runtime's. Null means the runtime's limit."""

    model_config = ConfigDict(extra="forbid")  # ignoring a misspelt limit would be dangerous

    # Null is allowed because generated clients send it for fields that are not set.

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
            RequestError: A limit is above the runtime's.
        """
        requested = self.model_dump(exclude_none=True)
        for key, value in requested.items():
            maximum = getattr(limits, key)
            if value > maximum:
                raise RequestError(f"limits.{key}: {value} is above this runtime's limit; send at most {maximum}")
        return limits.model_copy(update=requested)


def _without_default(schema: dict[str, Any]) -> None:
    """Remove the default from the schema: generated clients would send it, and an empty `input` counts as given."""
    del schema["default"]


_MAX_NAME_LENGTH = 100
"""Characters of a name that an answer repeats."""

MAX_ITEMS = 20_000
"""Arguments, files or variables in a request; a home has fewer inodes."""


Env = Annotated[
    dict[str, EnvValue],
    Field(max_length=MAX_ITEMS, description="Environment variables; the runtime lists those that are allowed."),
]


class EvalRequest(_Received):
    """A program, and how to evaluate it. `input` or `args` is required."""

    input: Annotated[Utf8, Field(description="Code, appended to `args`.", json_schema_extra=_without_default)] = b""
    args: Annotated[
        tuple[Utf8, ...],
        FailFast(),
        Field(strict=False, max_length=MAX_ITEMS, description="Arguments of the interpreter."),
    ] = (b"-c",)
    files: Annotated[tuple[FileIn, ...], FailFast(), Field(strict=False, max_length=MAX_ITEMS)] = ()
    stdin: Annotated[Utf8, Field(description="Standard input of the program.")] = b""
    separate_stderr: bool = False
    encoding: Annotated[
        Encoding, Field(strict=False, description="Encoding of the output; base64 is for bytes that are not UTF-8.")
    ] = Encoding.UTF_8
    limits: LimitsIn | None = None
    env: Env = {}
    colors: Annotated[
        bool | None, Field(description="Whether tracebacks have colours; null for the runtime's setting.")
    ] = None
    result: Annotated[
        bool,
        Field(description="Whether to return the value of the expression at the end of `input`, and figures."),
    ] = False
    runtime: Annotated[Short, Field(description="Name or alias of a runtime; only on /eval.")] = ""
    executable_path: Annotated[Short, Field(description="Path of a runtime's executable; only on /eval.")] = ""

    @model_validator(mode="after")
    def _has_a_program(self) -> Self:
        if not self.model_fields_set & {"input", "args"}:
            raise ValueError("one of 'input' and 'args' is required")
        if self.result and ("input" not in self.model_fields_set or self.args != (b"-c",)):
            raise ValueError("'result' needs a program in 'input', and no 'args'")
        return self

    def to_job(self, runtime: Runtime) -> Job:
        """Convert the request to a job for a runtime.

        Raises:
            RequestError: A limit is above the runtime's, or the runtime does not allow a variable.
        """
        require_allowed(self.env, runtime)
        return Job(
            args=self.arguments(),
            files=tuple(File(file.path, file.content) for file in self.files),
            stdin=self.stdin,
            separate_stderr=self.separate_stderr,
            encoding=self.encoding,
            limits=self.limits.lower(runtime.limits) if self.limits else runtime.limits,
            env=COLOR_VARIABLES[self.colors] | self.env,
            wants_value=self.result,
        )

    def arguments(self) -> tuple[bytes, ...]:
        """Drop leading empty strings and append the input, as snekbox does."""
        given = (self.input,) if "input" in self.model_fields_set else ()
        return tuple(dropwhile(operator.not_, (*self.args, *given)))


def require_allowed(names: Iterable[str], runtime: Runtime) -> None:
    """Check that programs of a runtime may be given environment variables.

    Raises:
        RequestError: The registry does not allow one of them.
    """
    for name in names:
        if name not in runtime.request_env:
            allowed = ", ".join(runtime.request_env) or "none"
            raise RequestError(
                f"env.{name[:_MAX_NAME_LENGTH]}: the runtime {runtime.name} does not allow this; "
                f"request_env in the registry allows: {allowed}"
            )
