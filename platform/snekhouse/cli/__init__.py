"""The command line: ``snekhouse``, also ``python -m snekhouse``.

Exit codes: 0 done; 1 something that was checked is not as it should be; 2 the command could not do its work (wrong
usage, registry or host: the message says which); 130 after Ctrl-C. `snekhouse eval` exits with the program's own
code, and with 255 when the jail failed.
"""

import sys
from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from snekhouse.cli import doctor, evaluate, packages, render, runtimes, serve
from snekhouse.cli.output import print_lines, say
from snekhouse.errors import SnekhouseError
from snekhouse.server.scope import enter_own_scope

__all__ = ["app", "main"]

FAILED = 2
INTERRUPTED = 130

app = typer.Typer(
    name="snekhouse",
    help="Run untrusted Python in many Python versions, safely and fast.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help and usage errors in plain lines, in a pipe as at a terminal
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print_lines([f"snekhouse {installed_version('snekhouse')}"])
        raise typer.Exit


@app.callback()
def _begin(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    if context.invoked_subcommand != "render":  # all others may make jails
        enter_own_scope()


app.command("serve")(serve.serve)
app.command("eval")(evaluate.evaluate)
app.add_typer(runtimes.app, name="runtimes")
app.add_typer(packages.app, name="packages")
app.add_typer(render.app, name="render")
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Run the command line; every error of snekhouse becomes a message and an exit code."""
    try:
        app()
    except SnekhouseError as error:
        say(str(error), keep="\n")
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
