"""``snekhouse doctor``: which walls stand on this host."""

import dataclasses

import typer

from snekhouse.cli.options import DEFAULT_REGISTRY, JsonOption, RegistryOption
from snekhouse.cli.output import print_json, print_table
from snekhouse.jail.host import survey_for
from snekhouse.registry.loading import load


def doctor(registry: RegistryOption = DEFAULT_REGISTRY, json: JsonOption = False) -> None:
    """Tell of each wall whether it stands on this host, and the remedy; exit 1 when one is missing."""
    walls = survey_for(load(registry)).walls()
    if json:
        print_json([dataclasses.asdict(wall) for wall in walls])
    else:
        rows = [(wall.name, "stands" if wall.stands else "missing", wall.detail) for wall in walls]
        print_table(("WALL", "STATE", "DETAIL"), rows)
    if not all(wall.stands for wall in walls):
        raise typer.Exit(1)
