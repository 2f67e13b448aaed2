"""The tasks of a connection: what ends them, and what does not."""

from collections.abc import Callable
from functools import partial
from typing import Any

import anyio.lowlevel
import pytest
from hypercorn.config import Config

from snekhouse.server.tasks import ConnectionTasks

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def _start(tasks: ConnectionTasks, handle: Callable[[], Any]) -> None:
    async def app(*_arguments: Any) -> None:
        await handle()

    async def send(_message: Any) -> None:
        pass

    await tasks.spawn_app(app, Config(), {}, send)  # type: ignore[arg-type]  # the scope of a request
    await anyio.lowlevel.checkpoint()


async def _clean_up(left: list[str]) -> None:
    with anyio.CancelScope(shield=True):
        await anyio.sleep(0.05)
        left.append("shielded")


async def test_a_shielded_scope_is_left_only_at_its_end() -> None:
    left: list[str] = []

    async def handle() -> None:
        await _clean_up(left)
        await anyio.sleep(60)
        left.append("not shielded")

    async with ConnectionTasks() as tasks:
        await _start(tasks, handle)
        tasks.cancel()
    assert left == ["shielded"]


async def test_the_application_may_end_by_itself_and_other_tasks_do_not_delay_the_end() -> None:
    left = []

    async def handle() -> None:
        await anyio.sleep(0.05)
        left.append("application")

    with anyio.fail_after(5):
        async with ConnectionTasks() as tasks:
            tasks.spawn(anyio.sleep, 60)
            await _start(tasks, handle)
            await tasks.end()
    assert left == ["application"]


async def test_an_error_of_a_task_does_not_break_a_shielded_scope() -> None:
    left: list[str] = []

    async def fail() -> None:
        raise OSError

    async def serve() -> None:
        async with ConnectionTasks() as tasks:
            await _start(tasks, partial(_clean_up, left))
            tasks.spawn(fail)

    with pytest.raises(BaseExceptionGroup):
        await serve()
    assert left == ["shielded"]
