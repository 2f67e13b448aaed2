"""Task groups whose errors are not wrapped."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup

from snekhouse.errors import SnekhouseError


@asynccontextmanager
async def unwrapped_tasks() -> AsyncIterator[TaskGroup]:
    """Yield a task group; on leaving, wait for its tasks, or cancel them if the body fails.

    Raises:
        SnekhouseError: The body raised it; it is not wrapped in an exception group. Tasks must not raise it.
    """
    failed: list[SnekhouseError] = []
    async with anyio.create_task_group() as tasks:
        try:
            yield tasks
        except SnekhouseError as error:
            failed.append(error)
            tasks.cancel_scope.cancel()
    if failed:
        raise failed[0]
