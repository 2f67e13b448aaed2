"""Stop-watches: works in turns, and many clients at once."""

import http.client
import json
import statistics
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from time import perf_counter

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


class Client:
    """A client that keeps its connection, of the standard library: it takes a fifth of a millisecond for itself."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://").rstrip("/"))

    def evaluate(self, route: str, request: object) -> None:
        """Evaluate, and see that it went well."""
        self._connection.request("POST", route, json.dumps(request), {"Content-Type": "application/json"})
        answer = json.loads(self._connection.getresponse().read())
        assert answer["returncode"] == 0, answer

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


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
        with closing(Client(url)) as client:
            while (start := perf_counter()) < begin + _SECONDS:
                client.evaluate(route, request)
                taken.append(perf_counter() - start)

    threads = [threading.Thread(target=work, args=(taken,)) for taken in times]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Figures.of([each for taken in times for each in taken], perf_counter() - begin)
