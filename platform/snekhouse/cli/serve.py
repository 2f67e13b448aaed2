"""``snekhouse serve``."""

import logging
import resource
import signal
import socket
from typing import Annotated

import anyio
import typer
from pydantic import TypeAdapter, ValidationError

from snekhouse.cli.options import DEFAULT_REGISTRY, LoggedRegistryOption, is_given
from snekhouse.errors import UsageError
from snekhouse.registry.loading import load
from snekhouse.registry.values import Bind
from snekhouse.server import allocator
from snekhouse.server.logs import set_up_log
from snekhouse.server.scope import left_unit
from snekhouse.server.secrets import take_admin_token
from snekhouse.server.sentry import set_up_sentry
from snekhouse.server.serving import serve_registry
from snekhouse.server.workers import become_worker

_log = logging.getLogger(__name__)


def _raise_descriptor_limit() -> None:
    """Raise the soft limit of descriptors to the hard one: a connection needs one, and a run about ten."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _address(text: str) -> str:
    """Check an address before the server starts."""
    try:
        return TypeAdapter(Bind).validate_python(text) if text else ""
    except ValidationError:
        raise typer.BadParameter(f'{text!r} is not an address; write host:port, such as "127.0.0.1:8060"') from None


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
        _log.info("%s does not delegate its cgroup; moved to a systemd scope that does", left)
    set_up_sentry()
    token = take_admin_token()
    _raise_descriptor_limit()
    allocator.keep_small()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the server handles it by reloading
    listener = _bound(bind or loaded.server.bind)
    worker = become_worker(loaded.server)
    if worker.number:
        logging.getLogger("snekhouse.server").setLevel(logging.WARNING)  # worker 0 logs the address
    anyio.run(lambda: serve_registry(loaded, listener=listener, worker=worker, admin_token=token))


_UNREAD_TIMEOUT_S = 30
"""Seconds for a client to read what was sent, before the kernel closes its connection."""


def _bound(address: str) -> socket.socket:
    """Bind an address before the runtimes are probed; connections are refused until the server listens.

    Raises:
        UsageError: The address cannot be bound.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    # asyncio sends small answers without delay (TCP_NODELAY) only if the protocol is named.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit this option (tcp(7)).
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_TIMEOUT_S * 1000)
        listener.bind((host, int(port)))
    except OSError as error:
        listener.close()
        raise UsageError(f"cannot serve on {address}: {error.strerror}; name another address with --bind") from error
    return listener
