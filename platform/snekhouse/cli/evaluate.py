"""``snekhouse eval``: one evaluation without a server."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import anyio
import typer

from snekhouse.cli.options import DEFAULT_REGISTRY, JsonOption, RegistryOption
from snekhouse.cli.output import write
from snekhouse.house import open_house
from snekhouse.jail.evaluation import Job, Result
from snekhouse.jail.verdict import JAIL_FAILED
from snekhouse.registry.loading import load
from snekhouse.registry.models import Registry, Runtime
from snekhouse.web.schemas import EvalResponse


def evaluate(
    code: Annotated[str | None, typer.Argument(help="The program, or - to read it from standard input.")] = None,
    args: Annotated[list[str] | None, typer.Argument(help="The program's own arguments, after --.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read the program from a file.")] = None,
    runtime: Annotated[str, typer.Option(help="Name or alias; the default runtime otherwise.")] = "",
    registry: RegistryOption = DEFAULT_REGISTRY,
    json: JsonOption = False,
) -> None:
    """Evaluate a program in a jail and exit with its exit code."""
    rest = list(args or ())
    if file is not None and code is not None:
        rest.insert(0, code)
    program = _program(code, file)
    _log_to_standard_error()
    loaded = load(registry)
    chosen = loaded.resolve(runtime or loaded.default)
    result = anyio.run(_evaluate, loaded, chosen, ("-c", program, *rest))
    if json:
        write(EvalResponse.of(chosen.name, chosen.limits, result).model_dump_json(indent=2) + "\n")
    else:
        _print(result)
    raise typer.Exit(JAIL_FAILED if result.returncode is None else result.returncode)


def _log_to_standard_error() -> None:
    logging.basicConfig(level=logging.WARNING, format="snekhouse: %(message)s")
    # An unavailable runtime is told by the error that follows.
    logging.getLogger("snekhouse.house").addFilter(lambda record: record.levelno < logging.ERROR)


def _program(code: str | None, file: Path | None) -> str:
    if file is None and code is None:
        raise typer.BadParameter("name a program: CODE, -f FILE, or - for standard input")
    if file is None and code not in {None, "-"}:
        return str(code)
    try:
        return (file.read_bytes() if file else sys.stdin.buffer.read()).decode("utf-8-sig")
    except OSError as error:
        raise typer.BadParameter(f"cannot read {file or 'standard input'}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{file or 'standard input'} is not UTF-8: {error.reason}") from error


async def _evaluate(registry: Registry, runtime: Runtime, args: tuple[str, ...]) -> Result:
    alone = registry.model_copy(update={"default": runtime.name, "runtimes": {runtime.name: runtime}})
    async with open_house(alone) as house:
        return await house.evaluate(runtime, Job(args=args, limits=runtime.limits))


def _print(result: Result) -> None:
    write(result.stdout)
    if result.message:
        sys.stderr.write(f"snekhouse: {result.message}\n")
    for left in result.files:
        sys.stderr.write(f"snekhouse: left {left.path} ({len(left.content)} bytes)\n")
