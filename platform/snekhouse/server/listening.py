"""Accepting connections, up to a limit in total and per address, without running out of descriptors."""

import asyncio
import logging
import os
import resource
import socket
from collections import Counter
from collections.abc import Callable
from functools import partial

import anyio
import anyio.lowlevel
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.utils import repr_socket_addr
from starlette.types import ASGIApp

from snekhouse.host.per_worker_number import PerWorkerNumber
from snekhouse.registry.server import Server
from snekhouse.server.connection import MAX_ENDING, Connection
from snekhouse.web.client_network import client_network

_log = logging.getLogger("snekhouse.server")

_BACKLOG = 1024
"""Connections that the kernel queues until they are accepted (listen(2))."""

_BURST = 8
"""Connections to accept before other tasks of the event loop run."""

_PRECEDENCE_S = 0.002
"""Seconds that a worker waits before it accepts, so that a worker with a lower load can accept first."""

_REPORT_INTERVAL_S = 1.0
"""Seconds between log lines about connections."""

_EXHAUSTED_PAUSE_S = 0.1
"""Seconds until the next attempt to accept after the process ran out of descriptors."""


class Listener:
    """Accepts connections, and serves an application on them.

    At the limit, a new connection replaces an idle one: of the address with the most connections, the one that has been
    idle longest. If none is idle, the new one is closed. Of several workers, the one with the lowest load
    accepts first. Otherwise the first worker that wakes would accept all connections that arrive together.
    """

    def __init__(
        self,
        app: ASGIApp,
        config: Config,
        listener: socket.socket,
        settings: Callable[[], Server],
        load: PerWorkerNumber,
    ) -> None:
        """Prepare to listen.

        Args:
            app: The application.
            config: Hypercorn's settings.
            listener: A bound socket, which `close` closes.
            settings: Returns the current settings of the server.
            load: For each worker, its open connections divided by its slots.
        """
        self._app = ASGIWrapper(app)  # type: ignore[arg-type]  # Hypercorn and Starlette each type ASGI themselves
        self._config = config
        self._socket = listener
        self._settings = settings
        self._load = load
        self._context = WorkerContext(None)
        self._ending = asyncio.Semaphore(MAX_ENDING)
        self._turn = asyncio.Lock()
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._counts: Counter[str] = Counter()
        self._incidents: Counter[str] = Counter()

    async def listen(self) -> None:
        """Accept connections until cancelled."""
        self._socket.setblocking(False)
        self._socket.listen(_BACKLOG)
        if self._socket.family != socket.AF_UNIX:
            address = repr_socket_addr(self._socket.family, self._socket.getsockname())
            _log.info("Running on http://%s (CTRL + C to quit)", address)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._report)
            while True:
                await anyio.wait_readable(self._socket)
                for _ in range(_BURST):
                    if self._load.own > min(self._load.others, default=self._load.own):
                        await asyncio.sleep(_PRECEDENCE_S)
                    if not await self._accept():
                        break
                await anyio.lowlevel.checkpoint()

    async def close(self, grace: float) -> None:
        """Stop accepting, and close all connections.

        Args:
            grace: Seconds for answers to be sent and read.
        """
        self._socket.close()
        await self._context.terminated.set()
        for connection in self._connections:
            if connection.idle_since is not None:
                connection.close()
        if self._connections:
            _, late = await asyncio.wait(self._connections.values(), timeout=grace)
            for connection in [each for each, task in self._connections.items() if task in late]:
                connection.abort()
            if late:
                await asyncio.wait(late, timeout=grace)

    async def _accept(self) -> bool:
        """Accept one connection; return whether there may be more."""
        try:
            accepted, address = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError as error:
            # Out of descriptors or memory, which evaluations release soon: the kernel keeps clients in its queue.
            self._incidents[f"accepting paused: {os.strerror(error.errno or 0)}"] += 1
            await asyncio.sleep(_EXHAUSTED_PAUSE_S)
            return False
        group = client_network(address[0]) if address else "workers"
        if reason := self._make_room(group):
            self._incidents[f"closed immediately: {reason}"] += 1
            accepted.close()
            return True
        accepted.setblocking(False)
        connection = Connection(
            group,
            self._app,
            self._config,
            self._context,
            ending=self._ending,
            http2=self._settings().http2,
            turn=self._turn,
        )
        task = asyncio.get_running_loop().create_task(connection.serve(accepted))
        self._connections[connection] = task
        self._counts[group] += 1
        self._measure()
        task.add_done_callback(partial(self._forget, connection))
        return True

    def _make_room(self, group: str) -> str:
        """Close an idle connection if the next would exceed a limit; return the limit if none is idle, else ""."""
        settings = self._settings()
        if self._counts[group] >= settings.connections_per_address:
            idle = [each for each in self._connections if each.group == group and each.idle_since is not None]
            reason = "more than [server] connections_per_address"
        elif len(self._connections) >= _max_connections(settings):
            idle = [each for each in self._connections if each.idle_since is not None]
            reason = "more than [server] connections"
        else:
            return ""
        if not idle:
            return reason
        longest = min(idle, key=lambda each: (-self._counts[each.group], each.idle_since))
        self._incidents[f"closed while idle: {reason}"] += 1
        longest.abort()
        self._forget(longest)
        return ""

    def _forget(self, connection: Connection, _task: object = None) -> None:
        if self._connections.pop(connection, None) is not None:
            self._counts[connection.group] -= 1
            if not self._counts[connection.group]:
                del self._counts[connection.group]
            self._measure()

    def _measure(self) -> None:
        self._load.own = len(self._connections) / self._settings().slots

    async def _report(self) -> None:
        """Log what happened to connections, at most once a second."""
        while True:
            await asyncio.sleep(_REPORT_INTERVAL_S)
            if self._incidents:
                counts = (f"{what} ({count} times)" for what, count in self._incidents.items())
                _log.warning("connections: %s", "; ".join(counts))
                self._incidents.clear()


def _max_connections(settings: Server) -> int:
    """Return the limit of connections, at most half of the descriptors: evaluations need the others."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(settings.connections, max(1, descriptors // 2))
