"""The tasks of a connection, which can be cancelled without breaking the shielded scopes of the application."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import Any, Self

import anyio
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.config import Config
from hypercorn.typing import AppWrapper, ASGIReceiveEvent, ASGISendEvent, Scope


class ConnectionTasks(TaskGroup):
    """The tasks of a connection: the application's, one for each request, and those of Hypercorn's protocols.

    Hypercorn's own group cancels tasks with asyncio, which knows no shielded scopes: it would also interrupt the wait
    for a killed guest, and the server would lose the guest's resources.
    """

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self._group = anyio.create_task_group()
        self._applications = 0
        self._have_ended = anyio.Event()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._group.__aexit__(exc_type, exc_value, tb)

    async def spawn_app(
        self, app: AppWrapper, config: Config, scope: Scope, send: Callable[[ASGISendEvent | None], Awaitable[None]]
    ) -> Callable[[ASGIReceiveEvent], Awaitable[None]]:
        """Start the application for a request; return the function that passes it messages of the client."""
        self._applications += 1
        return await super().spawn_app(partial(self._run, app), config, scope, send)

    def spawn(self, func: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        """Start a task."""
        self._group.start_soon(func, *args)

    def cancel(self) -> None:
        """Cancel all tasks. A task in a shielded scope goes on until it leaves the scope."""
        self._group.cancel_scope.cancel()

    async def end(self) -> None:
        """Wait until the application has handled all requests, and cancel what remains, such as pings."""
        while self._applications:
            await self._have_ended.wait()
        self.cancel()

    async def _run(self, app: AppWrapper, *args: Any) -> None:
        try:
            await app(*args)
        finally:
            self._applications -= 1
            self._have_ended.set()
            self._have_ended = anyio.Event()
