"""``snekhouse eval``: one evaluation, without a server unless it is interactive."""

import os
import sys
from base64 import b64decode
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import anyio
import typer

from snekhouse.cli import files
from snekhouse.cli.interactive import hold_conversation
from snekhouse.cli.judge_options import set_up_quiet_logs
from snekhouse.cli.options import DEFAULT_REGISTRY, JsonOption, RegistryOption
from snekhouse.cli.output import print_bytes, print_json, say
from snekhouse.errors import UsageError
from snekhouse.evaluation import COLOR_VARIABLES, Encoding, Enforcement, Job, Result
from snekhouse.jail.verdict import JAIL_FAILED
from snekhouse.registry.loading import load
from snekhouse.registry.models import Registry, Runtime
from snekhouse.service import open_service
from snekhouse.web.schemas import EvalResponse


def evaluate(
    code: Annotated[str | None, typer.Argument(help="The program, or - to read it from standard input.")] = None,
    args: Annotated[list[str] | None, typer.Argument(help="Arguments of the program, after --.")] = None,
    program: Annotated[Path | None, typer.Option("--program", "-f", help="Read the program from a file.")] = None,
    file: Annotated[
        list[Path] | None, typer.Option("--file", metavar="FILE", help="Send a file; may be repeated.")
    ] = None,
    stdin_file: Annotated[
        Path | None,
        typer.Option(help="File with the program's standard input; - for the standard input of this command."),
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Folder to save the program's files to.")] = None,
    runtime: Annotated[str, typer.Option(help="Name or alias of a runtime; by default the registry's default.")] = "",
    separate_stderr: Annotated[
        bool, typer.Option("--separate-stderr", help="Print the program's standard error on standard error.")
    ] = False,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", is_eager=True, help="Pass on standard input while the program runs.")
    ] = False,
    url: Annotated[str, typer.Option(is_eager=True, help="URL of a server; only with --interactive.")] = "",
    registry: RegistryOption = DEFAULT_REGISTRY,
    json: JsonOption = False,
    encoding: Annotated[
        Encoding | None, typer.Option(help="Encoding of the output in JSON; base64 is for bytes that are not UTF-8.")
    ] = None,
) -> None:
    """Evaluate a program in a jail and exit with its exit code."""
    rest = list(args or ())
    if program is not None and code is not None:
        rest.insert(0, code)
    source = _source(code, program, [stdin_file, *(file or ())])
    _check_pairs(interactive=interactive, url=url, json=json, encoding=encoding)
    if url:
        request = {"args": ["-c", source, *rest], "separate_stderr": separate_stderr}
        raise typer.Exit(hold_conversation(url, runtime, request))
    _hint_at_file(code, program)
    set_up_quiet_logs()
    loaded = load(registry)
    chosen = loaded.resolve(runtime or loaded.default)
    job = Job(
        args=("-c", source, *rest),
        limits=chosen.limits,
        files=files.uploads(file or ()),
        stdin=files.read_input(stdin_file) if stdin_file else b"",
        separate_stderr=separate_stderr,
        encoding=(encoding or Encoding.UTF_8) if json else Encoding.BASE64,  # the second for output that is not text
        env=COLOR_VARIABLES[None if _has_colors() else False],
    )
    if save:
        files.make_folder(save)
    result, enforcement = anyio.run(_evaluate, loaded, chosen, job)
    if json:
        _print_answer(EvalResponse.of(chosen.name, chosen.limits, enforcement, result))
    else:
        _print(result)
    if save or not json:
        _save(result, save)
    raise typer.Exit(JAIL_FAILED if result.returncode is None else result.returncode)


_STANDARD_INPUT = Path("-")


def _check_pairs(*, interactive: bool, url: str, json: bool, encoding: Encoding | None) -> None:
    """Refuse options that need another one."""
    if encoding and not json:
        raise typer.BadParameter("--encoding needs --json; without it, the output stays as it is")
    if interactive != bool(url):
        raise typer.BadParameter("--interactive needs --url, and --url needs --interactive")


def _hint_at_file(code: str | None, program: Path | None) -> None:
    """Say how to evaluate a file, if the code is rather the name of one."""
    with suppress(OSError):  # it is too long for a name, or in a folder that is closed
        if program is None and code and code.endswith(".py") and Path(code).is_file():
            say(f"{code} is a file; -f {code} evaluates what is in it")


def _has_colors() -> bool:
    """Return whether the output goes to a terminal, and the user has not switched colours off (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _source(code: str | None, program: Path | None, others: Sequence[Path | None]) -> str:
    if program is None and code is None:
        raise typer.BadParameter("name a program: CODE, -f FILE, or - for standard input")
    if program is None and code not in {None, "-"}:
        files.check_standard_input(*others)
        return str(code)
    place = program or _STANDARD_INPUT
    files.check_standard_input(place, *others)
    try:
        return files.read_input(place).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        named = program or "standard input"
        raise typer.BadParameter(f"{named} is not UTF-8: {error.reason}; save it in UTF-8") from error


async def _evaluate(registry: Registry, runtime: Runtime, job: Job) -> tuple[Result, Enforcement]:
    once = runtime.model_copy(update={"start": "cold"})
    alone = registry.model_copy(update={"default": runtime.name, "runtimes": {runtime.name: once}})
    async with open_service(alone, require_runtime=False) as service:
        return await service.evaluate(runtime, job), service.enforcement


def _print_answer(answer: EvalResponse) -> None:
    print_json(answer.model_dump(mode="json", exclude={"result", "figures"}))


def _print(result: Result) -> None:
    for text, stream in ((result.stdout, sys.stdout), (result.stderr or "", sys.stderr)):
        print_bytes(b64decode(text) if result.encoding is Encoding.BASE64 else text.encode(), stream)
    if result.explanation:
        say(result.explanation)


def _save(result: Result, folder: Path | None) -> None:
    """Save the files that the program left, or list them if there is no folder."""
    for left in result.files:
        size = f"({len(left.content)} bytes)"
        try:
            say(f"saved {files.save(folder, left)} {size}" if folder else f"left {left.path} {size}")
        except OSError as error:
            raise UsageError(f"cannot save {left.path}: {error.strerror}") from error
    if result.files and not folder:
        say("save these files with --save FOLDER")
