"""Serving the application with Hypercorn: sockets, signals and the log."""

import gc
import ipaddress
import logging
import signal
import socket
from collections.abc import AsyncIterator
from functools import partial

import anyio
from hypercorn.config import Config
from starlette.types import ASGIApp

from snekhouse.errors import SnekhouseError
from snekhouse.host.per_worker_number import PerWorkerNumber
from snekhouse.registry.models import Registry
from snekhouse.registry.server import Server
from snekhouse.server.access_log import AccessLog
from snekhouse.server.allocator import keep_trimmed
from snekhouse.server.forwarding import Forwarding, bound_socket, opened_clients, worker_socket
from snekhouse.server.listening import Listener
from snekhouse.server.orders import Orders
from snekhouse.server.worker import Worker
from snekhouse.service import Reloader, Service, open_service, opened_sessions
from snekhouse.waiting import first
from snekhouse.web.app import create_app
from snekhouse.web.interactive import APP_QUEUE_SIZE, MAX_MESSAGE
from snekhouse.web.target import TargetNormalization

_log = logging.getLogger(__name__)

_PING_INTERVAL_S = 20.0
"""Seconds between two pings of a WebSocket, so that proxies keep it open."""

_CLOSE_TIMEOUT_S = 5.0
"""Seconds for clients to read their answers after the last evaluation."""


async def serve_registry(
    registry: Registry, *, listener: socket.socket, worker: Worker, admin_token: str | None = None
) -> None:
    """Serve a registry until SIGTERM or SIGINT; reload its file when it changes, and on SIGHUP.

    Args:
        registry: The registry to serve.
        listener: A socket bound to the address; closed at the end.
        worker: This process.
        admin_token: The token of the admin API; None to switch the API off.

    Raises:
        HostError: The host lacks what a jail needs.
    """
    # Open until the end: a second signal must not kill the server while it cleans up after the first.
    with (
        anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals,
        anyio.open_signal_receiver(signal.SIGHUP) as hangups,
    ):
        async with (
            open_service(worker.share(registry), waiting=worker.waiting) as service,
            opened_sessions(service, worker=worker.number, room=worker.room) as sessions,
            opened_clients(worker.folder, registry.server.workers) as clients,
            anyio.create_task_group() as serving,
        ):
            orders = Orders(worker)
            reloader = Reloader(
                service, registry, share=worker.share, tell_others=orders.give, is_counted=worker.number == 0
            )
            on_loopback = ipaddress.ip_address(listener.getsockname()[0]).is_loopback
            app = create_app(service, reloader, sessions, admin_token, on_loopback=on_loopback)
            forwarding = Forwarding(app, worker, clients)
            public = Listener(
                TargetNormalization(forwarding), _config(), listener, lambda: service.registry.server, worker.load
            )
            listeners = [public, *_internal_listeners(app, worker, service)]
            _freeze()
            for each in listeners:
                serving.start_soon(each.listen)
            serving.start_soon(reloader.watch)
            serving.start_soon(keep_trimmed)
            serving.start_soon(service.metrics.measure_lag)
            serving.start_soon(_obey, hangups, orders, reloader, service)
            lifeline = [partial(anyio.wait_readable, worker.lifeline)] if worker.lifeline else []
            await first(signals.__anext__, *lifeline)
            await _drain(service, forwarding, service.registry.server.drain, signals)
            serving.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                for each in listeners:
                    await each.close(_CLOSE_TIMEOUT_S)


def _internal_listeners(app: ASGIApp, worker: Worker, service: Service) -> list[Listener]:
    """Return the listener for requests that other workers pass on, if there are others."""
    if worker.folder is None:
        return []

    def settings() -> Server:
        server = service.registry.server
        return server.model_copy(update={"connections_per_address": server.connections, "http2": False})

    config = _config()
    config.accesslog = None  # the worker that a client is connected to logs its request
    listener = bound_socket(worker_socket(worker.folder, worker.number))
    return [Listener(app, config, listener, settings, PerWorkerNumber())]


def _freeze() -> None:
    """Exempt all objects of the start from garbage collection.

    A full collection visits every object and stops the event loop: for over 50 ms with the 70,000 objects of the start.
    """
    gc.collect()
    gc.freeze()


def _config() -> Config:
    config = Config()
    config.include_server_header = False
    config.websocket_max_message_size = MAX_MESSAGE
    config.max_app_queue_size = APP_QUEUE_SIZE
    config.websocket_ping_interval = _PING_INTERVAL_S
    config.logger_class = AccessLog
    config.errorlog = logging.getLogger("snekhouse.server")  # the same log and format as all other events
    config.accesslog = logging.getLogger("snekhouse.access")
    return config


async def _obey(hangups: AsyncIterator[signal.Signals], orders: Orders, reloader: Reloader, service: Service) -> None:
    """At each SIGHUP, do what other workers ask for, or else reload the registry."""
    async for _ in hangups:
        for runtime in orders.take() or [""]:
            if not runtime:
                await reloader.reload()
                continue
            try:
                await service.renew(runtime)
            except SnekhouseError as error:
                _log.warning("cannot prepare the runtime %s again: %s", runtime, error)


async def _drain(
    service: Service, forwarding: Forwarding, grace: float, signals: AsyncIterator[signal.Signals]
) -> None:
    """Let evaluations finish while the server refuses new ones; a second signal ends them immediately."""
    _log.info("draining", extra={"seconds": grace})
    async with anyio.create_task_group() as tasks:

        async def hurry() -> None:
            await anext(signals)
            await service.drain(0)
            tasks.cancel_scope.cancel()

        tasks.start_soon(hurry)
        async with anyio.create_task_group() as draining:
            draining.start_soon(service.drain, grace)
            with anyio.move_on_after(grace):
                await forwarding.idle()
        tasks.cancel_scope.cancel()
