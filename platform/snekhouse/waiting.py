"""Waiting for several things at once."""

from collections.abc import Awaitable, Callable

import anyio


async def first(*waits: Callable[[], Awaitable[object]]) -> None:
    """Wait until one of several is over, and cancel the others."""
    async with anyio.create_task_group() as tasks:

        async def until(wait: Callable[[], Awaitable[object]]) -> None:
            await wait()
            tasks.cancel_scope.cancel()

        for wait in waits:
            tasks.start_soon(until, wait)
