"""The lag of the event loop. A busy event loop delays every client."""

import time

import anyio

from snekhouse.service.metrics import Metrics

_PERIOD_S = 0.1
"""Seconds between two measurements."""


async def measure_lag(metrics: Metrics) -> None:
    """Measure again and again how late the event loop wakes a task, until cancelled.

    Args:
        metrics: The metrics that count the lag.
    """
    while True:
        due = time.monotonic() + _PERIOD_S
        await anyio.sleep(_PERIOD_S)
        metrics.woke_late(max(0.0, time.monotonic() - due))
