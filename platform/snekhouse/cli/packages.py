"""``snekhouse packages``: the third-party packages of a runtime."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import anyio
import typer

from snekhouse.cli.options import DEFAULT_REGISTRY, JsonOption, RegistryOption
from snekhouse.cli.output import print_json, print_table
from snekhouse.errors import PackagesError
from snekhouse.escaping import escaped
from snekhouse.packages import Changes, find_site, installed
from snekhouse.registry.loading import load

app = typer.Typer(help="The third-party packages of a runtime.", no_args_is_help=True)

_RuntimeArgument = Annotated[str, typer.Argument(metavar="RUNTIME", help="Name or alias.")]
_Requirements = Annotated[list[str], typer.Argument(metavar="REQ...", help='As pip takes them: numpy, "numpy>=2".')]
_Names = Annotated[list[str], typer.Argument(metavar="REQ...", help="Names of packages.")]


@app.command()
def install(
    runtime: _RuntimeArgument, requirements: _Requirements, registry: RegistryOption = DEFAULT_REGISTRY
) -> None:
    """Install packages for a runtime; its next evaluations have them, and no other runtime has."""
    anyio.run(_changes(runtime, registry).install, requirements)


@app.command("list")
def list_packages(
    runtime: _RuntimeArgument, registry: RegistryOption = DEFAULT_REGISTRY, json: JsonOption = False
) -> None:
    """List the packages of a runtime."""
    loaded = load(registry)
    found = installed(anyio.run(find_site, loaded, loaded.resolve(runtime)).folder)
    if json:
        print_json([dataclasses.asdict(package) for package in found])
    else:
        print_table(("NAME", "VERSION"), [(package.name, package.version) for package in found])


@app.command("remove")
def remove_packages(
    runtime: _RuntimeArgument, requirements: _Names, registry: RegistryOption = DEFAULT_REGISTRY
) -> None:
    """Remove packages from a runtime; what they depended on stays."""
    anyio.run(_changes(runtime, registry).remove, requirements)


@app.command()
def sync(
    requirements: Annotated[
        Path | None,
        typer.Option(help="Folder of the files NAME.txt; runtimes/packages beside the registry otherwise."),
    ] = None,
    registry: RegistryOption = DEFAULT_REGISTRY,
) -> None:
    """Give each runtime that has a file NAME.txt exactly the packages which that asks for."""
    loaded = load(registry)
    folder = requirements or registry.parent / "runtimes" / "packages"
    files = {file.stem: file for file in sorted(folder.glob("*.txt"))}
    if not files:
        raise PackagesError(f"{folder} has no files of requirements; write one for a runtime: {loaded.default}.txt")
    if unknown := files.keys() - loaded.runtimes.keys():
        known = ", ".join(loaded.runtimes)
        raise PackagesError(f"{folder} has files for runtimes that do not exist: {', '.join(unknown)}; known: {known}")
    for name, file in files.items():
        _say(f"{name}: {file}")
        anyio.run(Changes(loaded, loaded.runtimes[name], _say).sync, file)


def _changes(runtime: str, registry: Path) -> Changes:
    loaded = load(registry)
    return Changes(loaded, loaded.resolve(runtime), _say)


def _say(line: str) -> None:
    """Tell something on standard error; some of it comes from packages, which must not speak to the terminal."""
    sys.stderr.write(f"{escaped(line)}\n")
