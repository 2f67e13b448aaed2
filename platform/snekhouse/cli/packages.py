"""``snekhouse packages``: the third-party packages of a runtime."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import anyio
import typer

from snekhouse.cli.options import DEFAULT_REGISTRY, JsonOption, RegistryOption
from snekhouse.cli.output import print_json
from snekhouse.cli.tables import print_table
from snekhouse.errors import PackagesError
from snekhouse.escaping import escaped
from snekhouse.packages.changes import Changes
from snekhouse.packages.jail import find_site
from snekhouse.packages.site import installed
from snekhouse.registry.loading import load

app = typer.Typer(help="The third-party packages of a runtime.", no_args_is_help=True)

_RuntimeArgument = Annotated[str, typer.Argument(metavar="RUNTIME", help="Name or alias of a runtime.")]
_Requirements = Annotated[list[str], typer.Argument(metavar="REQ...", help='In pip\'s syntax: numpy, "numpy>=2".')]
_Names = Annotated[list[str], typer.Argument(metavar="REQ...", help="Names of packages.")]


@app.command()
def install(
    runtime: _RuntimeArgument, requirements: _Requirements, registry: RegistryOption = DEFAULT_REGISTRY
) -> None:
    """Install packages for a runtime; its next evaluations can import them; other runtimes cannot."""
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
    """Remove packages from a runtime, but not their dependencies."""
    anyio.run(_changes(runtime, registry).remove, requirements)


@app.command()
def sync(
    requirements: Annotated[
        Path | None,
        typer.Option(help="Folder with the files NAME.txt; by default runtimes/packages beside the registry."),
    ] = None,
    registry: RegistryOption = DEFAULT_REGISTRY,
) -> None:
    """Install in each runtime exactly the packages in its requirements file, NAME.txt."""
    loaded = load(registry)
    folder = requirements or registry.parent / "runtimes" / "packages"
    files = {file.stem: file for file in sorted(folder.glob("*.txt"))}
    if not files:
        raise PackagesError(f"{folder} has no requirements files; write one for a runtime: {loaded.default}.txt")
    if unknown := files.keys() - loaded.runtimes.keys():
        known = ", ".join(loaded.runtimes)
        raise PackagesError(f"{folder} has files for unknown runtimes: {', '.join(unknown)}; known: {known}")
    for name, file in files.items():
        _say(f"{name}: {file}")
        anyio.run(Changes(loaded, loaded.runtimes[name], _say).sync, file)


def _changes(runtime: str, registry: Path) -> Changes:
    loaded = load(registry)
    return Changes(loaded, loaded.resolve(runtime), _say)


def _say(line: str) -> None:
    """Print a line on standard error; it may come from a package, which must not control the terminal."""
    sys.stderr.write(f"{escaped(line)}\n")
