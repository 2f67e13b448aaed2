"""Waiting for several things at once."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")


async def first(*waits: Callable[[], Awaitable[T]]) -> T:
    """Wait for the first of several to finish, cancel the others, and return its result."""
    results: list[T] = []
    async with anyio.create_task_group() as tasks:

        async def until(wait: Callable[[], Awaitable[T]]) -> None:
            results.append(await wait())
            tasks.cancel_scope.cancel()

        for wait in waits:
            tasks.start_soon(until, wait)
    return results[0]
