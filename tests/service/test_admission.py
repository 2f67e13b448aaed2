"""Who is next, and who is not let in."""

from collections.abc import Sequence

import anyio
import anyio.abc
import pytest

from snekhouse.errors import BusyError
from snekhouse.host.per_worker_number import PerWorkerNumber
from snekhouse.service.admission import Admission

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Visits:
    """Evaluations that wait for the only slot; each notes whether it was admitted."""

    def __init__(self, queue_size: int) -> None:
        self.admission = Admission(slots=1, queue_size=queue_size)
        self.admitted: list[str] = []
        self.refused: list[str] = []

    async def visit(self, runtime: str) -> None:
        try:
            async with self.admission.turn(runtime):
                self.admitted.append(runtime)
        except BusyError:
            self.refused.append(runtime)

    async def all(self, runtimes: Sequence[str]) -> None:
        """Let evaluations come in this order, and then free the slot."""
        async with anyio.create_task_group() as tasks, self.admission.turn("first"):
            for runtime in runtimes:
                tasks.start_soon(self.visit, runtime)
                await anyio.wait_all_tasks_blocked()


async def test_runtimes_take_turns_and_each_keeps_its_order() -> None:
    visits = Visits(queue_size=9)
    await visits.all(["a", "a", "a", "b", "c", "b"])
    assert (visits.admitted, visits.refused) == (["a", "b", "c", "a", "b", "a"], [])


async def test_a_flood_for_one_runtime_shuts_no_other_out() -> None:
    visits = Visits(queue_size=3)
    await visits.all(["a", "a", "a", "a", "b", "b", "c"])
    # Of `a` the fourth, and two for whom `b` and `c` came; the second `b`, when there were no more of any other.
    assert (visits.admitted, visits.refused) == (["a", "b", "c"], ["a", "a", "b", "a"])


async def test_the_queues_of_all_workers_have_one_limit() -> None:
    waiting = PerWorkerNumber(workers=2)
    visits = Visits(queue_size=9)
    visits.admission = Admission(slots=1, queue_size=3, waiting=waiting)
    waiting.belong_to(1)
    waiting.own = 2  # as the other worker counts
    waiting.belong_to(0)
    await visits.all(["a", "a", "b"])
    assert (visits.admitted, visits.refused) == (["a"], ["a", "b"])
    assert waiting.own == 0


async def test_an_evaluation_that_is_cancelled_while_waiting_makes_room_in_the_queue() -> None:
    visits = Visits(queue_size=1)
    async with visits.admission.turn("first"):
        with anyio.move_on_after(0.01):
            await visits.visit("impatient")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(visits.visit, "patient")
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert visits.refused == []
    with anyio.fail_after(1):
        await visits.visit("next")
    assert visits.admitted == ["next"]


async def test_an_evaluation_that_is_cancelled_when_it_is_admitted_frees_its_slot() -> None:
    visits = Visits(queue_size=2)
    async with anyio.create_task_group() as others, anyio.create_task_group() as tasks:
        async with visits.admission.turn("first"):
            tasks.start_soon(visits.visit, "a")
            await anyio.wait_all_tasks_blocked()
            others.start_soon(visits.visit, "b")
            await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()  # `a` has the slot, and may not know yet
    assert visits.admitted[-1] == "b"


async def test_idle_is_when_nobody_runs_or_waits() -> None:
    visits = Visits(queue_size=2)
    await visits.admission.idle()
    async with anyio.create_task_group() as tasks, visits.admission.turn("first"):
        tasks.start_soon(visits.visit, "a")
        with anyio.move_on_after(0.05) as waiting:
            await visits.admission.idle()
        assert waiting.cancelled_caught
    with anyio.fail_after(1):
        await visits.admission.idle()
