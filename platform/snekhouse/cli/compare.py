"""``snekhouse compare``: a program in several runtimes, without a server."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import anyio
import typer

from snekhouse.cli import files
from snekhouse.cli.judge_options import ProgramArgument, set_up_quiet_logs, text_of, validated_request
from snekhouse.cli.options import DEFAULT_REGISTRY, JsonOption, RegistryOption
from snekhouse.cli.output import print_json, print_lines, say
from snekhouse.errors import UsageError
from snekhouse.evaluation import Result
from snekhouse.judging.grouping import Normalization, ResultGroup, grouped
from snekhouse.registry.loading import load
from snekhouse.registry.models import Registry
from snekhouse.service import open_service
from snekhouse.service.bulk import Task, evaluate_all
from snekhouse.web.judge_request import CompareRequest

_DIFFERENT = 1


def compare(
    program: ProgramArgument,
    runtimes: Annotated[
        list[str] | None,
        typer.Option("--runtime", metavar="NAME", help="Name or alias; may be repeated; by default all."),
    ] = None,
    stdin_file: Annotated[
        Path | None,
        typer.Option(help="File with the program's standard input; - for the standard input of this command."),
    ] = None,
    normalize: Annotated[
        bool, typer.Option("--normalize", help="Do not count addresses, line numbers and versions as differences.")
    ] = False,
    registry: RegistryOption = DEFAULT_REGISTRY,
    json: JsonOption = False,
) -> None:
    """Evaluate a program in several runtimes, and group equal results.

    The exit code is 1 if there are several groups.
    """
    files.check_standard_input(program, stdin_file)
    set_up_quiet_logs()
    loaded = load(registry)
    stdin = text_of(stdin_file) if stdin_file else ""
    body = {"input": text_of(program), "stdin": stdin, "runtimes": runtimes or "all"}
    request = validated_request(CompareRequest, body, program)
    results = anyio.run(_compare, loaded, request)
    left_out = [name for name in loaded.runtimes if name not in results]
    if left_out and not runtimes:
        say(f"not compared, because unavailable: {', '.join(left_out)}")
    if not results:
        raise UsageError("no runtime is available; `snekhouse runtimes list` says why")
    default = loaded.default if loaded.default in results else next(iter(results))
    groups = grouped(results, default, Normalization(normalize, normalize, normalize))
    if json:
        print_json([{"runtimes": group.runtimes, "diff": group.diff} for group in groups])
    else:
        _print_groups(groups, results)
    raise typer.Exit(0 if len(groups) == 1 else _DIFFERENT)


async def _compare(registry: Registry, request: CompareRequest) -> dict[str, Result]:
    cold = {name: runtime.model_copy(update={"start": "cold"}) for name, runtime in registry.runtimes.items()}
    found: dict[str, Result] = {}
    async with open_service(registry.model_copy(update={"runtimes": cold})) as service:
        available = [name for name, state in service.runtimes.items() if state.probe]
        jobs = request.to_jobs(service.registry, available)

        async def tasks() -> AsyncIterator[Task[str]]:
            for name, (runtime, job) in jobs.items():
                yield Task(name, runtime, job)

        async def done(task: Task[str], result: Result) -> None:
            found[task.name] = result

        await evaluate_all(service, tasks(), done)
    return {name: found[name] for name in jobs}


def _print_groups(groups: Sequence[ResultGroup], results: Mapping[str, Result]) -> None:
    if len(groups) == 1:
        print_lines([f"all runtimes agree: {', '.join(groups[0].runtimes)}"])
    for number, group in enumerate(groups if len(groups) > 1 else (), 1):
        result = results[group.runtimes[0]]
        ending = f"{result.status.value}, exit code {result.returncode}"
        print_lines([f"{number}. {', '.join(group.runtimes)} ({ending})", *group.diff.splitlines(), ""])
