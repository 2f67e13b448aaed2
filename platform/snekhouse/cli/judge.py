"""``snekhouse judge``: a program on many inputs, without a server."""

import json as json_format
import math
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer
from rich.console import Console
from rich.progress import Progress

from snekhouse.cli import files
from snekhouse.cli.judge_options import ProgramArgument, set_up_quiet_logs, text_of, validated_request, with_places
from snekhouse.cli.options import DEFAULT_REGISTRY, JsonOption, RegistryOption
from snekhouse.cli.output import print_json, print_lines
from snekhouse.cli.tables import print_table
from snekhouse.errors import RequestError, UsageError
from snekhouse.judging.verdicts import Verdict, overall
from snekhouse.registry.loading import load
from snekhouse.registry.models import Registry, Runtime
from snekhouse.service import open_service
from snekhouse.service.cases import Case, CaseResult, judge_cases
from snekhouse.web.judge_request import JudgeRequest
from snekhouse.web.judge_schemas import CaseOut, Judged, JudgeUsage

_FAILED = 1
_MATCHES = ("exact", "trimmed", "tokens")


def judge_program(
    program: ProgramArgument,
    cases: Annotated[
        Path,
        typer.Argument(
            help="Folder with NAME.in and NAME.out for each case, or a file with one case in JSON on each line."
        ),
    ],
    runtime: Annotated[str, typer.Option(help="Name or alias of a runtime; by default the registry's default.")] = "",
    match: Annotated[
        str, typer.Option(help="How output of cases in a folder is compared: exact, trimmed or tokens.")
    ] = "trimmed",
    tolerance: Annotated[
        float | None, typer.Option(help="How much numbers may differ, in cases in a folder; compares tokens.")
    ] = None,
    checker: Annotated[Path | None, typer.Option(help="File of a program that judges the output.")] = None,
    stop: Annotated[
        bool, typer.Option("--stop", help="After the first failure, skip the cases that have not ended.")
    ] = False,
    registry: RegistryOption = DEFAULT_REGISTRY,
    json: JsonOption = False,
) -> None:
    """Judge a program by cases.

    The exit code is 1 if it does not pass all.
    """
    files.check_standard_input(program, cases, checker)
    set_up_quiet_logs()
    loaded = load(registry)
    chosen = loaded.resolve(runtime or loaded.default)
    if match not in _MATCHES:
        raise typer.BadParameter(f"--match: {match!r} is unknown; write exact, trimmed or tokens")
    if tolerance is not None and not 0 <= tolerance < math.inf:
        raise typer.BadParameter(f"--tolerance: {tolerance} is not a number of 0 or more")
    how = match if tolerance is None else {"float": tolerance}
    found_cases = _cases(cases, how)
    body: dict[str, Any] = {"input": text_of(program), "cases": list(found_cases.values())}
    if checker:
        body["checker"] = {"input": text_of(checker)}
    request = validated_request(JudgeRequest, body, cases, list(found_cases))
    found = anyio.run(_judge, loaded, chosen, _to_cases(request, loaded, chosen, cases, list(found_cases)), stop)
    verdicts = [each.judgement.verdict for each in found]
    if json:
        _print_judged(found, request, chosen, verdicts)
    else:
        rows = [_row(request.cases[each.index].id or str(each.index), each) for each in found]
        print_table(("case", "verdict", "seconds", "MiB", "reason"), rows)
        accepted = verdicts.count(Verdict.ACCEPTED)
        print_lines([f"{overall(verdicts).value}: {accepted} of {len(verdicts)} cases"])
    raise typer.Exit(0 if overall(verdicts) is Verdict.ACCEPTED else _FAILED)


def _to_cases(
    request: JudgeRequest, registry: Registry, runtime: Runtime, path: Path, places: Sequence[str]
) -> Sequence[Case]:
    """Convert a request to cases.

    Raises:
        UsageError: The runtime does not allow what a case needs.
    """
    try:
        return request.to_cases(registry, runtime)
    except RequestError as error:
        raise UsageError(f"{path}: {with_places(str(error), places)}") from error


def _cases(path: Path, match: object) -> dict[str, dict[str, Any]]:
    """Read cases, each with the place where it stands: a file or a line.

    Raises:
        UsageError: There are none.
    """
    if path.is_dir():
        found = {each.name: _case(each, match) for each in sorted(path.glob("*.in"))}
    else:
        lines = enumerate(text_of(path).split("\n"), 1)
        found = {f"line {number}": _line(path, number, line) for number, line in lines if line.strip()}
    if not found:
        raise UsageError(f"{path} has no cases; it needs files NAME.in and NAME.out, or lines of JSON")
    return found


def _case(path: Path, match: object) -> dict[str, Any]:
    answer = path.with_suffix(".out")
    expected = {"match": match} | ({"stdout": text_of(answer)} if answer.exists() else {})
    return {"id": path.stem, "stdin": text_of(path), "expected": expected}


def _line(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        found = json_format.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UsageError(f"{path}: line {number} is not a JSON object; write one case as an object on each line")
    return found


async def _judge(registry: Registry, runtime: Runtime, cases: Sequence[Case], stop: bool) -> list[CaseResult]:
    alone = registry.model_copy(update={"default": runtime.name, "runtimes": {runtime.name: runtime}})
    found: list[CaseResult] = []
    is_shown = sys.stderr.isatty()
    async with open_service(alone, require_runtime=False) as service:
        await service.settled()
        with Progress(console=Console(stderr=True), transient=True) if is_shown else nullcontext() as progress:
            bar = progress.add_task("judging", total=len(cases)) if progress else None

            async def take(case: CaseResult) -> None:
                found.append(case)
                if progress and bar is not None:
                    progress.advance(bar)

            await judge_cases(service, cases, take, stop_at_failure=stop)
    return sorted(found, key=lambda case: case.index)


def _row(name: str, found: CaseResult) -> tuple[str, ...]:
    judgement, usage = found.judgement, found.result and found.result.usage
    seconds = f"{usage.wall_time:.3f}" if usage else ""
    memory = f"{usage.memory / (1 << 20):.1f}" if usage and usage.memory is not None else ""
    difference = judgement.difference
    where = f", line {difference.line}: {difference.actual!r}, not {difference.expected!r}" if difference else ""
    return name, judgement.verdict.value, seconds, memory, judgement.reason + where


def _print_judged(
    found: Sequence[CaseResult], request: JudgeRequest, runtime: Runtime, verdicts: Sequence[Verdict]
) -> None:
    cpu_time = sum(each.result.usage.cpu_time for each in found if each.result)
    wall_time = sum(each.result.usage.wall_time for each in found if each.result)
    judged = Judged.of(verdicts, runtime.name, JudgeUsage(wall_time=wall_time, cpu_time=cpu_time))
    cases = [
        CaseOut.of(request.cases[each.index].id, each, with_content=True).model_dump(mode="json") for each in found
    ]
    print_json(judged.model_dump(mode="json") | {"cases": cases})
