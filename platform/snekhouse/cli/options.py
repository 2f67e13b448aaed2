"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

RegistryOption = Annotated[
    Path,
    typer.Option("--registry", "-r", envvar="SNEKHOUSE_REGISTRY", help="The registry.", show_default=True),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

DEFAULT_REGISTRY = Path("runtimes.toml")
