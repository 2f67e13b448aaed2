"""Memory for requests in transit: a bound for all, and the slowest client gives way."""

import time

import anyio
import pytest

from snekhouse.errors import BusyError
from snekhouse.web.memory_budget import MemoryBudget

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands until a test turns it."""
    now = [time.monotonic()]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


async def test_reservations_together_stay_within_the_budget() -> None:
    budget = MemoryBudget(lambda: 100)
    with budget.reserve() as one, budget.reserve() as other:
        one.hold(60)
        with pytest.raises(BusyError):
            other.hold(41)
        other.hold(40)
        one.hold(10)
        assert budget.held == 50
    assert budget.held == 0


async def test_the_slowest_client_gives_way_to_others(clock: list[float]) -> None:
    budget = MemoryBudget(lambda: 100)
    slow, quick = anyio.CancelScope(), anyio.CancelScope()
    with budget.reserve() as one, budget.reserve() as other:
        one.hold(50)
        other.hold(50)
        with one.waiting(slow) as stalled, other.waiting(quick) as lively, budget.reserve() as third:
            clock[0] += 10
            stalled.moved, lively.moved = 10, 1000
            third.hold(50)
            assert (slow.cancel_called, quick.cancel_called) == (True, False)
            assert budget.held == 100


async def test_a_client_that_has_just_come_is_not_slow(clock: list[float]) -> None:
    budget = MemoryBudget(lambda: 100)
    scope = anyio.CancelScope()
    with budget.reserve() as one, budget.reserve() as other:
        one.hold(100)
        with one.waiting(scope):
            clock[0] += 0.5
            with pytest.raises(BusyError):
                other.hold(1)
    assert not scope.cancel_called
