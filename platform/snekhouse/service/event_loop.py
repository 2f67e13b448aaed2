"""How late the event loop is: what keeps it busy keeps every client waiting."""

import time

import anyio

from snekhouse.service.metrics import Metrics

_PERIOD = 0.1
"""Seconds between two measurements."""


async def measure_lag(metrics: Metrics) -> None:
    """Measure again and again how much later than asked for the event loop wakes a task, until cancelled.

    Args:
        metrics: Where it is counted.
    """
    while True:
        due = time.monotonic() + _PERIOD
        await anyio.sleep(_PERIOD)
        metrics.woke_late(max(0.0, time.monotonic() - due))
