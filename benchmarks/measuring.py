"""Time calls in turns, and requests of many clients at once."""

import http.client
import json
import statistics
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from typing import Any

SECONDS = 2.0
"""Duration of a measurement of throughput."""


@dataclass(frozen=True)
class Figures:
    """Statistics of many times.

    Attributes:
        median: In milliseconds.
        p99: The 99th percentile in milliseconds.
        rate: Calls per second.
    """

    median: float
    p99: float
    rate: float

    @classmethod
    def of(cls, times: Sequence[float], elapsed: float) -> "Figures":
        """Compute the statistics of some times.

        Args:
            times: Each in seconds.
            elapsed: Seconds from the first start to the last end. It is less than the sum if calls ran at once.
        """
        ordered = sorted(times)
        return cls(statistics.median(ordered) * 1e3, ordered[len(ordered) * 99 // 100] * 1e3, len(ordered) / elapsed)


class Client:
    """A client that keeps its connection. It uses the standard library, and takes a fifth of a millisecond itself."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://").rstrip("/"))

    def evaluate(self, route: str, request: object) -> None:
        """Evaluate a program, and check that its exit code is 0 or 1."""
        self._connection.request("POST", route, json.dumps(request), {"Content-Type": "application/json"})
        answer = json.loads(self._connection.getresponse().read())
        assert answer["returncode"] in (0, 1), answer  # 1: an exception

    def request(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Send a request, and return the JSON of the answer; nothing for an empty one."""
        content = None if body is None else json.dumps(body)
        self._connection.request(method, path, content, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        received = response.read()
        assert response.status < HTTPStatus.BAD_REQUEST, received
        return dict(json.loads(received)) if received else {}

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def alternate(rounds: int, *works: Callable[[], object]) -> list[Figures]:
    """Time each callable in turn, in rounds, so that a slow moment of the machine affects all of them."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for taken, work in zip(times, works, strict=True):
            begin = perf_counter()
            work()
            taken.append(perf_counter() - begin)
    return [Figures.of(taken, sum(taken)) for taken in times]


def throughput(url: str, route: str, request: object, clients: int) -> Figures:
    """Evaluate with several clients at once. Each client keeps its connection.

    Args:
        url: URL of the server.
        route: Path to post to.
        request: Body that every client sends.
        clients: Number of clients.
    """
    begin = perf_counter()
    times: list[list[float]] = [[] for _ in range(clients)]

    def work(taken: list[float]) -> None:
        with closing(Client(url)) as client:
            while (start := perf_counter()) < begin + SECONDS:
                client.evaluate(route, request)
                taken.append(perf_counter() - start)

    threads = [threading.Thread(target=work, args=(taken,)) for taken in times]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Figures.of([each for taken in times for each in taken], perf_counter() - begin)
