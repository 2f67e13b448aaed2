"""Who is next, and who is not let in."""

from collections.abc import Sequence

import anyio
import anyio.abc
import pytest

from snekhouse.errors import BusyError
from snekhouse.service.admission import Admission

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Visits:
    """Visitors of an admission whose only place is taken; each notes how it fared."""

    def __init__(self, seats: int) -> None:
        self.admission = Admission(places=1, seats=seats)
        self.admitted: list[str] = []
        self.refused: list[str] = []

    async def visit(self, runtime: str) -> None:
        try:
            async with self.admission.turn(runtime):
                self.admitted.append(runtime)
        except BusyError:
            self.refused.append(runtime)

    async def all(self, runtimes: Sequence[str]) -> None:
        """Have visitors come in this order, and then free the place."""
        async with anyio.create_task_group() as tasks, self.admission.turn("first"):
            for runtime in runtimes:
                tasks.start_soon(self.visit, runtime)
                await anyio.wait_all_tasks_blocked()


async def test_runtimes_take_turns_and_each_keeps_its_order() -> None:
    visits = Visits(seats=9)
    await visits.all(["a", "a", "a", "b", "c", "b"])
    assert (visits.admitted, visits.refused) == (["a", "b", "c", "a", "b", "a"], [])


async def test_a_flood_for_one_runtime_shuts_no_other_out() -> None:
    visits = Visits(seats=3)
    await visits.all(["a", "a", "a", "a", "b", "b", "c"])
    # Of `a` the fourth, and two for whom `b` and `c` came; the second `b`, when there were no more of any other.
    assert (visits.admitted, visits.refused) == (["a", "b", "c"], ["a", "a", "b", "a"])


async def test_who_goes_away_while_waiting_leaves_the_seat_to_others() -> None:
    visits = Visits(seats=1)
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


async def test_who_goes_away_in_the_moment_of_admission_hands_the_place_on() -> None:
    visits = Visits(seats=2)
    async with anyio.create_task_group() as others, anyio.create_task_group() as tasks:
        async with visits.admission.turn("first"):
            tasks.start_soon(visits.visit, "a")
            await anyio.wait_all_tasks_blocked()
            others.start_soon(visits.visit, "b")
            await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()  # `a` has the place, and may not know yet
    assert visits.admitted[-1] == "b"


async def test_idle_is_when_nobody_runs_or_waits() -> None:
    visits = Visits(seats=2)
    await visits.admission.idle()
    async with anyio.create_task_group() as tasks, visits.admission.turn("first"):
        tasks.start_soon(visits.visit, "a")
        with anyio.move_on_after(0.05) as waiting:
            await visits.admission.idle()
        assert waiting.cancelled_caught
    with anyio.fail_after(1):
        await visits.admission.idle()
