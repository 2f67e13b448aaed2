"""Work for a client that may disconnect."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from starlette.requests import ClientDisconnect, Request

from snekhouse.errors import SnekhouseError

_T = TypeVar("_T")


async def while_connected(request: Request, work: Callable[[], Awaitable[_T]]) -> _T:
    """Do some work, and cancel it if the client disconnects.

    Raises:
        ClientDisconnect: The client disconnected.
        SnekhouseError: The work raised it; it is not wrapped in an exception group.
    """
    done: list[_T] = []
    failed: list[SnekhouseError] = []
    is_gone = False
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            nonlocal is_gone
            while (await request.receive())["type"] != "http.disconnect":
                pass
            is_gone = True
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        try:
            done.append(await work())
        except SnekhouseError as error:
            failed.append(error)
        tasks.cancel_scope.cancel()
    if is_gone:
        raise ClientDisconnect
    if failed:
        raise failed[0]
    return done[0]
