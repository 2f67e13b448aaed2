"""``snekhouse serve``."""

import logging
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from snekhouse.cli.options import DEFAULT_REGISTRY, LoggedRegistryOption, is_given
from snekhouse.registry.loading import load
from snekhouse.registry.values import Bind
from snekhouse.server.logs import set_up_log
from snekhouse.server.process import run_server
from snekhouse.server.scope import left_unit

_log = logging.getLogger(__name__)


def _address(text: str) -> str:
    """Check an address before the server starts."""
    try:
        return TypeAdapter(Bind).validate_python(text) if text else ""
    except ValidationError:
        remedy = 'write host:port, such as "127.0.0.1:8060", with a port of at most 65535'
        raise typer.BadParameter(f"{text!r} is not an address; {remedy}") from None


def serve(
    context: typer.Context,
    registry: LoggedRegistryOption = DEFAULT_REGISTRY,
    bind: Annotated[str, typer.Option(help="host:port, instead of the registry's.", callback=_address)] = "",
) -> None:
    """Serve the runtimes of a registry over HTTP."""
    loaded = load(registry)
    set_up_log(loaded.server.log)
    if not is_given(context, "registry"):
        _log.info("using the registry %s; name another with --registry", registry)
    if left := left_unit():
        _log.info("%s does not delegate its cgroup; moved to a systemd scope that delegates", left)
    run_server(loaded, bind or loaded.server.bind)
