"""The command line: ``snekhouse``, also ``python -m snekhouse``.

Exit codes: 0 success; 1 a check found a problem, a case was not accepted, or runtimes differ; 2 the command failed (the
message says whether the usage, the registry or the host is wrong); 130 after Ctrl-C. `snekhouse eval` exits with the
exit code of the program, or with 255 if the jail failed or the answer has no exit code. `snekhouse repl` exits with the
code of exit() in a cell.
"""

import sys
from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from snekhouse.cli.output import print_lines, say
from snekhouse.cli.subcommands import Subcommands
from snekhouse.errors import SnekhouseError
from snekhouse.server.scope import enter_own_scope

__all__ = ["app", "main"]

FAILED = 2
INTERRUPTED = 130

app = typer.Typer(
    name="snekhouse",
    cls=Subcommands,
    help="Run untrusted Python in many Python versions, safely and fast.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help and usage errors, in a pipe and at a terminal
)


def _print_version(is_given: bool) -> None:
    if is_given:
        print_lines([f"snekhouse {installed_version('snekhouse')}"])
        raise typer.Exit


@app.callback()
def _begin(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    if context.invoked_subcommand != "render":  # all other commands may make jails
        enter_own_scope()


def main() -> None:
    """Run the command line; turn every `SnekhouseError` into a message and an exit code."""
    try:
        app()
    except SnekhouseError as error:
        say(str(error), keep="\n")
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
