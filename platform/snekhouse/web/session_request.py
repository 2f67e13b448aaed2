"""The models of requests to sessions, and their conversion to jobs."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, FailFast, Field

from snekhouse.evaluation import Encoding, File, Job
from snekhouse.registry.models import Limits, Runtime
from snekhouse.web.eval_request import MAX_ITEMS, Env, FileIn, LimitsIn, require_allowed
from snekhouse.web.fields import Short, Utf8


class _Strict(BaseModel):
    """A strict model that refuses unknown fields, because a misspelt field would have no effect."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


_Files = Annotated[tuple[FileIn, ...], FailFast(), Field(strict=False, max_length=MAX_ITEMS)]


class SessionRequest(_Strict):
    """A session to make."""

    runtime: Annotated[Short, Field(description="Name or alias of a runtime; by default the default runtime.")] = ""
    files: Annotated[_Files, Field(description="Files to write below the home first.")] = ()
    limits: Annotated[
        LimitsIn | None, Field(description="Limits of the session and of its cells, at most the runtime's.")
    ] = None
    env: Env = {}

    def to_job(self, runtime: Runtime) -> Job:
        """Convert the request to a job without a program.

        Raises:
            RequestError: A limit is above the runtime's, or the runtime does not allow a variable.
        """
        require_allowed(self.env, runtime)
        limits = self.limits.lower(runtime.limits) if self.limits else runtime.limits
        files = tuple(File(file.path, file.content) for file in self.files)
        return Job(args=(), files=files, limits=limits, env=self.env)


class CellLimitsIn(_Strict):
    """Limits of one cell, at most the session's. Null means the session's limit."""

    wall_time: Annotated[Annotated[float, Field(gt=0, allow_inf_nan=False)] | None, Field(description="Seconds.")] = (
        None
    )
    output: Annotated[
        Annotated[int, Field(gt=0)] | None,
        Field(description="Bytes of stdout and stderr together; and as many for result and figures together."),
    ] = None

    def lower(self, limits: Limits) -> Limits:
        """Lower the limits of a session to these.

        Raises:
            RequestError: A limit is above the session's.
        """
        return LimitsIn(wall_time=self.wall_time, output=self.output).lower(limits)


class CellRequest(_Strict):
    """A cell to run in a session."""

    input: Annotated[Utf8, Field(description="Code.")]
    stdin: Annotated[Utf8, Field(description="Standard input of the cell.")] = b""
    files: Annotated[_Files, Field(description="Files to write below the home before the cell runs.")] = ()
    separate_stderr: bool = False
    encoding: Annotated[
        Encoding, Field(strict=False, description="Encoding of the output; base64 is for bytes that are not UTF-8.")
    ] = Encoding.UTF_8
    limits: CellLimitsIn | None = None

    def to_job(self, limits: Limits) -> Job:
        """Convert the request to a job: the code is its only argument.

        Args:
            limits: The limits of the session.

        Raises:
            RequestError: A limit is above the session's.
        """
        return Job(
            args=(self.input,),
            files=tuple(File(file.path, file.content) for file in self.files),
            stdin=self.stdin,
            separate_stderr=self.separate_stderr,
            encoding=self.encoding,
            limits=self.limits.lower(limits) if self.limits else limits,
        )
