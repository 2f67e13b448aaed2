"""The process of a server, from its start to its end: log, limits, address, workers."""

import logging
import resource
import signal
import socket
from contextlib import suppress

import anyio

from snekhouse.errors import RegistryError, UsageError
from snekhouse.registry import watching
from snekhouse.registry.models import Registry
from snekhouse.server import allocator
from snekhouse.server.secrets import take_admin_token
from snekhouse.server.sentry import set_up_sentry
from snekhouse.server.serving import serve_registry
from snekhouse.server.workers import become_worker


def run_server(registry: Registry, address: str) -> None:
    """Serve a registry until SIGTERM or SIGINT; the log is set up already.

    Args:
        registry: The registry to serve.
        address: The address to listen on, as ``host:port``.

    Raises:
        UsageError: The address cannot be bound, or the admin token cannot be used.
        HostError: The host lacks what a jail needs.
    """
    set_up_sentry()
    token = take_admin_token()
    _raise_descriptor_limit()
    allocator.keep_small()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the server handles it by reloading
    listener = _bound(address)
    worker = become_worker(registry.server)
    if worker.is_replacement:
        with suppress(RegistryError):  # the other workers have refused the file as well
            registry, _ = watching.reload(registry)
    if worker.number:
        logging.getLogger("snekhouse.server").setLevel(logging.WARNING)  # worker 0 logs the address
    anyio.run(lambda: serve_registry(registry, listener=listener, worker=worker, admin_token=token))


def _raise_descriptor_limit() -> None:
    """Raise the soft limit of descriptors to the hard one: a connection needs one, and a run about ten."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


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
