"""The models of requests that judge a program, compare runtimes, or consist of many evaluations."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, FailFast, Field, Tag, model_validator

from snekhouse.errors import RequestError
from snekhouse.evaluation import File, Job
from snekhouse.judging.comparison import Match, Tolerance, exact, tokens, trimmed, within
from snekhouse.judging.grouping import Normalization
from snekhouse.judging.verdicts import Expected
from snekhouse.registry.models import Registry, Runtime
from snekhouse.service.cases import Case, Checker
from snekhouse.web.eval_request import MAX_ITEMS, EvalRequest, FileIn, LimitsIn
from snekhouse.web.fields import Short, Utf8, one_of

MAX_CASES = 10_000
"""Cases of one request."""


_MAX_PRODUCT = 1_000_000
"""Files and arguments of all cases together, those of the request counted for each."""


class _Strict(BaseModel):
    """A strict model that refuses unknown fields, because a misspelt field would have no effect."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class _StrictProgram(EvalRequest):
    """A program for a route that snekbox does not have, so no client of it sends unknown fields."""

    model_config = ConfigDict(extra="forbid")


_Tolerated = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Files = Annotated[tuple[FileIn, ...], FailFast(), Field(strict=False, max_length=MAX_ITEMS)]


class ToleranceIn(_Strict):
    """How much a number may differ from the expected one: by the larger of the two tolerances."""

    absolute: Annotated[_Tolerated, Field(description="The difference itself.")] = 0.0
    relative: Annotated[_Tolerated, Field(description="The difference divided by the expected number.")] = 0.0


class FloatIn(_Strict):
    """A comparison of tokens that allows numbers to differ."""

    float: Annotated[
        Annotated[_Tolerated, Tag("[number]")] | Annotated[ToleranceIn, Tag("[object]")],
        Field(description="How much they may differ; a number is both kinds of tolerance."),
        one_of((), 'a number, or an object such as {"absolute": 1e-9, "relative": 1e-6}'),
    ]

    def to_match(self) -> Match:
        """Return the comparison."""
        given = self.float
        if isinstance(given, ToleranceIn):
            return within(Tolerance(given.absolute, given.relative))
        return within(Tolerance(given, given))


_Words = Literal["exact", "trimmed", "tokens"]
_MATCHES: dict[str, Match] = {"exact": exact, "trimmed": trimmed, "tokens": tokens}


class ExpectedIn(_Strict):
    """What a program must do to be accepted."""

    stdout: Annotated[Utf8 | None, Field(description="What it prints; null if that does not matter.")] = None
    returncode: int = 0
    files: Annotated[_Files, Field(description="Files that it leaves.")] = ()
    match: Annotated[
        Annotated[_Words, Tag("[word]")] | Annotated[FloatIn, Tag("[object]")],
        Field(
            description="How output and files are compared. trimmed: without white space at the ends of lines, and "
            "without empty lines at the end. tokens: what white space separates. float: tokens, but numbers may differ."
        ),
        one_of(_MATCHES, "'exact', 'trimmed', 'tokens' or an object such as {\"float\": 1e-6}"),
    ] = "trimmed"

    def to_expected(self) -> Expected:
        """Convert it."""
        match = self.match.to_match() if isinstance(self.match, FloatIn) else _MATCHES[self.match]
        stdout = None if self.stdout is None else self.stdout.decode()
        return Expected(stdout, self.returncode, {file.path: file.content for file in self.files}, match)


class CheckerIn(_Strict):
    """A program that judges the output; then nothing is compared."""

    input: Annotated[Utf8, Field(description="Code. Its home has the files input, expected and output.")]
    runtime: Annotated[Short, Field(description="Name or alias of a runtime; by default that of the program.")] = ""
    limits: LimitsIn | None = None

    def to_checker(self, registry: Registry, runtime: Runtime) -> Checker:
        """Convert it.

        Args:
            registry: Has the runtimes.
            runtime: The runtime of the program.

        Raises:
            RequestError: A limit is above the runtime's.
            RuntimeUnknownError: There is no such runtime.
        """
        own = registry.resolve(self.runtime) if self.runtime else runtime
        limits = self.limits.lower(own.limits) if self.limits else own.limits
        return Checker(own, Job(args=("-c", self.input), limits=limits))


class CaseIn(_Strict):
    """One case. Its fields replace those of the request; its files are added to them."""

    id: Annotated[Short, Field(description="A name for the answer.")] = ""
    input: Utf8 | None = None
    args: Annotated[tuple[Utf8, ...], Field(strict=False, max_length=MAX_ITEMS)] | None = None
    stdin: Utf8 | None = None
    files: Annotated[
        Annotated[tuple[FileIn, ...], Field(strict=False, max_length=MAX_ITEMS)] | None,
        Field(description="Files besides those of the request."),
    ] = None
    limits: LimitsIn | None = None
    expected: ExpectedIn = ExpectedIn()


Outputs = Literal["all", "failed", "none"]


class JudgeRequest(_StrictProgram):
    """A program, and the cases that it must pass."""

    setup: Annotated[
        Utf8 | None, Field(description="Code that runs before the cases; each starts from the state that it leaves.")
    ] = None
    cases: Annotated[tuple[CaseIn, ...], FailFast(), Field(strict=False, max_length=MAX_CASES)]
    checker: Annotated[CheckerIn | None, Field(description="Judges the output of each case.")] = None
    stop: Annotated[Literal["never", "first_failure"], Field(description="When to skip the cases that are left.")] = (
        "never"
    )
    timeout: Annotated[_Seconds | None, Field(description="Seconds for all cases together; the rest is skipped.")] = (
        None
    )
    outputs: Annotated[
        Outputs, Field(description="Of which cases to return output and files: all, those not accepted, or none.")
    ] = "all"

    @model_validator(mode="after")
    def _has_a_program(self) -> Self:
        if not self.cases:
            raise ValueError("'cases' needs at least one case")
        own = bool(self.model_fields_set & {"input", "args"})
        for index, case in enumerate(self.cases):
            if not own and not case.model_fields_set & {"input", "args"}:
                raise ValueError(f"one of 'input' and 'args' is required, here or in cases.{index}")
        if self.result:
            raise ValueError("'result' is not supported here; leave it out, or use /eval")
        if self.setup is not None and (self.args != (b"-c",) or any(case.args is not None for case in self.cases)):
            raise ValueError("'setup' needs programs in 'input', and no 'args'")
        return self

    def to_cases(self, registry: Registry, runtime: Runtime) -> Sequence[Case]:
        """Convert the request to cases.

        Raises:
            RequestError: A limit is above the runtime's, or the runtime does not allow a variable.
            RuntimeUnknownError: The runtime of the checker does not exist.
        """
        checker = self.checker.to_checker(registry, runtime) if self.checker else None
        if (count := len(self.cases) * (len(self.files if self.setup is None else ()) + len(self.args))) > _MAX_PRODUCT:
            raise RequestError(
                f"cases: the files and arguments of the request, counted for each case, are {count}; "
                f"send at most {_MAX_PRODUCT}: fewer cases, files or arguments"
            )
        base = self.to_job(runtime)
        if self.setup is not None:
            base = replace(base, files=())  # the setup has them, and the case finds them
        return [
            Case(runtime, self._job(index, case, runtime, base), case.expected.to_expected(), checker)
            for index, case in enumerate(self.cases)
        ]

    def to_setup(self, runtime: Runtime) -> Job | None:
        """Convert the setup to a job; None if there is none.

        Raises:
            RequestError: A limit is above the runtime's, the runtime does not allow a variable, or a case has a limit
                that all cases share.
        """
        if self.setup is None:
            return None
        for index, case in enumerate(self.cases):
            if case.limits and (case.limits.memory or case.limits.processes):
                raise RequestError(f"cases.{index}.limits: with 'setup', only wall_time and output can differ by case")
        return replace(self.model_copy(update={"input": self.setup}).to_job(runtime), stdin=b"")

    def _job(self, index: int, case: CaseIn, runtime: Runtime, base: Job) -> Job:
        """Return the job of a case, which shares what the request has for all."""
        changes: dict[str, Any] = {}
        if given := {name: getattr(case, name) for name in ("input", "args") if getattr(case, name) is not None}:
            changes["args"] = self.model_copy(update=given).arguments()
        if case.stdin is not None:
            changes["stdin"] = case.stdin
        if case.files:
            changes["files"] = (*base.files, *(File(file.path, file.content) for file in case.files))
        if case.limits:
            try:
                changes["limits"] = case.limits.lower(runtime.limits)
            except RequestError as error:
                raise RequestError(f"cases.{index}: {error}", title=error.title) from error
        return replace(base, **changes) if changes else base


class NormalizeIn(_Strict):
    """What does not count as a difference between runtimes."""

    addresses: Annotated[bool, Field(description="Addresses in memory, such as 0x7f3a5c2b1d90.")] = False
    lines: Annotated[bool, Field(description="Numbers of lines in tracebacks.")] = False
    versions: Annotated[bool, Field(description="Versions of Python, such as 3.12.4.")] = False

    def to_normalization(self) -> Normalization:
        """Convert it."""
        return Normalization(self.addresses, self.lines, self.versions)


class CompareRequest(_StrictProgram):
    """A program, and the runtimes to run it in."""

    runtimes: Annotated[
        Annotated[Literal["all"], Tag("[word]")]
        | Annotated[tuple[Short, ...], Field(strict=False, max_length=MAX_ITEMS), Tag("[list]")],
        Field(description="Names or aliases of runtimes; all: those that are available."),
        one_of(("all",), "'all' or a list of names"),
    ] = "all"
    normalize: NormalizeIn = NormalizeIn()
    timeout: Annotated[_Seconds | None, Field(description="Seconds for all runtimes together.")] = None

    def to_jobs(self, registry: Registry, available: Sequence[str]) -> dict[str, tuple[Runtime, Job]]:
        """Convert the request to a job for each runtime, by name.

        Args:
            registry: Has the runtimes.
            available: Names of those that can evaluate.

        Raises:
            RequestError: A limit is above that of a runtime, or a runtime does not allow a variable.
            RuntimeUnknownError: There is no such runtime.
        """
        names = available if self.runtimes == "all" else self.runtimes
        found = {runtime.name: runtime for runtime in map(registry.resolve, names)}
        return {name: (runtime, self._job(runtime)) for name, runtime in found.items()}

    def _job(self, runtime: Runtime) -> Job:
        try:
            return self.to_job(runtime)
        except RequestError as error:
            raise RequestError(f"runtime {runtime.name}: {error}", title=error.title) from error


_Id = Annotated[
    Annotated[Short, Tag("[word]")] | Annotated[int, Tag("[number]")], one_of(None, "a string or an integer")
]


class BatchLine(_StrictProgram):
    """One evaluation of a batch."""

    id: Annotated[_Id | None, Field(description="A name for the answer.")] = None
