"""``snekhouse serve``."""

import logging
from typing import Annotated

import anyio
import typer

from snekhouse.cli.options import DEFAULT_REGISTRY, RegistryOption
from snekhouse.errors import HostError
from snekhouse.registry.loading import load
from snekhouse.web import server


def serve(
    registry: RegistryOption = DEFAULT_REGISTRY,
    bind: Annotated[str, typer.Option(help="host:port, instead of the registry's.")] = "",
) -> None:
    """Serve the runtimes of a registry over HTTP."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    loaded = load(registry)
    address = bind or loaded.server.bind
    try:
        anyio.run(lambda: server.serve(loaded, bind=address))
    except OSError as error:
        raise HostError(f"cannot serve on {address}: {error}") from error
