"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from snekhouse.cli.output import say
from snekhouse.errors import UsageError

DEFAULT_REGISTRIES = (Path("runtimes.local.toml"), Path("runtimes.toml"), Path("/etc/snekhouse/runtimes.toml"))
"""Default paths of the registry, by preference: this machine's, the image's (in a clone), the installed one."""

DEFAULT_REGISTRY = DEFAULT_REGISTRIES[0]


def is_given(context: typer.Context, name: str) -> bool:
    """Return whether the command line or the environment gives a parameter."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"  # by name: some releases of typer bundle their own click


def _is_remote(context: typer.Context) -> bool:
    """Return whether the command uses a server. These options are eager, so typer reads them first."""
    return bool(context.params.get("url") or context.params.get("interactive"))


def _found(context: typer.Context, param: typer.CallbackParam, path: Path) -> Path:
    """Return the registry that is named, or the first default that exists; with a server, the path unchanged.

    Raises:
        UsageError: No registry is named and no default exists.
    """
    if is_given(context, str(param.name)) or _is_remote(context):
        return path
    for place in DEFAULT_REGISTRIES:
        if place.exists():
            return place
    looked = ", ".join(map(str, DEFAULT_REGISTRIES))
    remedy = "name one with --registry, or write one with `snekhouse runtimes discover`"
    raise UsageError(f"no registry found (looked for {looked}); {remedy}")


def _found_and_reported(context: typer.Context, param: typer.CallbackParam, path: Path) -> Path:
    found = _found(context, param, path)
    if not is_given(context, str(param.name)) and not _is_remote(context):
        say(f"using the registry {found}; name another with --registry")
    return found


_DEFAULTS = "runtimes.local.toml, runtimes.toml or /etc/snekhouse/runtimes.toml, the first that exists"

RegistryOption = Annotated[
    Path,
    typer.Option(
        "--registry",
        "-r",
        envvar="SNEKHOUSE_REGISTRY",
        help="The registry.",
        show_default=_DEFAULTS,
        callback=_found_and_reported,
    ),
]

LoggedRegistryOption = Annotated[
    Path,
    typer.Option(
        "--registry", "-r", envvar="SNEKHOUSE_REGISTRY", help="The registry.", show_default=_DEFAULTS, callback=_found
    ),
]
"""The same option, for a command that logs which registry it uses."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
