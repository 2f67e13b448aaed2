"""``snekhouse render``: render the Jinja templates for a registry."""

from typing import Annotated

import typer

from snekhouse.assets import asset
from snekhouse.cli.options import DEFAULT_REGISTRY, RegistryOption
from snekhouse.cli.output import print_text
from snekhouse.host.survey import survey_for
from snekhouse.image import render_dockerfile
from snekhouse.profile.rendering import render_profile
from snekhouse.registry.loading import load

app = typer.Typer(help="Render the Jinja templates for a registry.", no_args_is_help=True)


@app.command()
def nsjail(
    name: Annotated[str, typer.Argument(help="Name or alias of a runtime.")],
    registry: RegistryOption = DEFAULT_REGISTRY,
) -> None:
    """Print the NsJail profile of a runtime for this host."""
    loaded = load(registry)
    runtime = loaded.resolve(name)
    host = survey_for(loaded)
    profile = render_profile(
        runtime,
        identity=host.identities[runtime.name],
        bootstrap=asset("runtimes/bootstrap.py"),
        limited=host.cgroups.limited,
    )
    print_text(profile)


@app.command()
def dockerfile(registry: RegistryOption = DEFAULT_REGISTRY) -> None:
    """Print the Dockerfile that builds the interpreters of a registry."""
    print_text(render_dockerfile(load(registry)))
