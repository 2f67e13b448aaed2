"""Stop-watches: works in turns, and many clients at once."""

import statistics
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import httpx

_SECONDS = 2.0
"""How long throughput is measured."""


@dataclass(frozen=True)
class Figures:
    """What came of many times.

    Attributes:
        median: In milliseconds.
        p99: In milliseconds.
        rate: How many there were in a second.
    """

    median: float
    p99: float
    rate: float

    @classmethod
    def of(cls, times: Sequence[float], elapsed: float) -> "Figures":
        """Sum up times.

        Args:
            times: Each in seconds.
            elapsed: Seconds that they took together, which is less than their sum where some went on at once.
        """
        ordered = sorted(times)
        return cls(statistics.median(ordered) * 1e3, ordered[len(ordered) * 99 // 100] * 1e3, len(ordered) / elapsed)


def alternate(rounds: int, *works: Callable[[], object]) -> list[Figures]:
    """Time each work in turn, round by round, so that a slow moment of the machine hits all alike."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for taken, work in zip(times, works, strict=True):
            begin = perf_counter()
            work()
            taken.append(perf_counter() - begin)
    return [Figures.of(taken, sum(taken)) for taken in times]


def throughput(url: str, route: str, request: object, clients: int) -> Figures:
    """Evaluate with several clients at once, each on a connection that it keeps.

    Args:
        url: The server.
        route: Where it evaluates.
        request: What every client asks.
        clients: How many there are.
    """
    begin = perf_counter()
    times: list[list[float]] = [[] for _ in range(clients)]

    def work(taken: list[float]) -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            while (start := perf_counter()) < begin + _SECONDS:
                client.post(route, json=request).raise_for_status()
                taken.append(perf_counter() - start)

    threads = [threading.Thread(target=work, args=(taken,)) for taken in times]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Figures.of([each for taken in times for each in taken], perf_counter() - begin)
