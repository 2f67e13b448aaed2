"""Hypercorn around the application: sockets, signals and the log."""

import logging
import signal

import anyio
from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config

from snekhouse.house import open_house
from snekhouse.registry.models import Registry
from snekhouse.web.access import AccessLog
from snekhouse.web.app import create_app

_GRACE = 10.0
"""Seconds that running evaluations have to finish after SIGTERM or SIGINT."""


async def serve(registry: Registry, *, bind: str) -> None:
    """Serve a registry until SIGTERM or SIGINT.

    Args:
        registry: What to serve.
        bind: ``host:port``.

    Raises:
        HostError: The host lacks what a jail needs.
        OSError: The address cannot be bound.
    """
    config = Config()
    config.bind = [bind]
    config.graceful_timeout = _GRACE
    config.include_server_header = False
    config.logger_class = AccessLog
    config.errorlog = logging.getLogger("snekhouse.server")  # one log, in the form that the command line chose
    config.accesslog = logging.getLogger("snekhouse.access")
    # Held to the very end: a second signal must not kill the server while it clears up after the first.
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with open_house(registry) as house:
            await hypercorn_serve(create_app(house), config, shutdown_trigger=signals.__anext__)  # type: ignore[arg-type]
