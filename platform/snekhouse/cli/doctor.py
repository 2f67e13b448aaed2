"""``snekhouse doctor``: check the walls of this host, and whether the concurrency fits its CPUs and memory."""

import dataclasses

import typer

from snekhouse.cli.options import DEFAULT_REGISTRY, JsonOption, RegistryOption
from snekhouse.cli.output import print_json, say
from snekhouse.cli.tables import print_table
from snekhouse.host.cgroups.capacity import cpu_limit, memory_limit
from snekhouse.host.survey import survey_for
from snekhouse.registry.loading import load
from snekhouse.registry.sizing import advice


def doctor(registry: RegistryOption = DEFAULT_REGISTRY, json: JsonOption = False) -> None:
    """Check which walls this host can build.

    Each wall that is missing has a remedy. The exit code is 1 if one is missing.
    """
    loaded = load(registry)
    walls = survey_for(loaded).walls()
    if json:
        print_json([dataclasses.asdict(wall) for wall in walls])
    else:
        rows = [(wall.name, "stands" if wall.stands else "missing", wall.detail) for wall in walls]
        print_table(("WALL", "STATE", "DETAIL"), rows)
    for each in advice(loaded, cpu_limit(), memory_limit()):
        say(each)
    if not all(wall.stands for wall in walls):
        raise typer.Exit(1)
