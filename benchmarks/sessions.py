"""Measure what the requests of sessions cost, in turns with a forked `print(1)`."""

import re
import statistics
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from measuring import Client

from leftovers import descendants

_ROUNDS = 60
_PAUSE_S = 0.03
"""Seconds between rounds, in which the processes of ended sessions end."""

_TIMEOUTS = 7
_IDLE = 500
"""Sessions that are open at once when memory is measured."""

_LARGE = "import numpy; large = numpy.ones(25_000_000)"
"""A state of 200 MB."""


class Sessions:
    """A client that opens sessions of one runtime, and ends them."""

    def __init__(self, client: Client, runtime: str) -> None:
        self._client, self._runtime = client, runtime
        self._open: list[str] = []

    def open(self) -> str:
        """Open a session; return its id."""
        self._open.append(str(self._client.request("POST", "/sessions", {"runtime": self._runtime})["id"]))
        return self._open[-1]

    def run(self, session: str, code: str, **fields: Any) -> None:
        """Run a cell."""
        answer = self._client.request("POST", f"/sessions/{session}/eval", {"input": code, **fields})
        assert answer["state"] != "lost", answer

    def branch(self, session: str) -> None:
        """Make a branch."""
        self._open.append(str(self._client.request("POST", f"/sessions/{session}/branch")["id"]))

    def end(self, keep: int = 0) -> None:
        """End the sessions, except the first ones."""
        while len(self._open) > keep:
            self._client.request("DELETE", f"/sessions/{self._open.pop()}")


def times(url: str, runtime: str, large: str) -> dict[str, tuple[float, float]]:
    """Time requests of sessions.

    Args:
        url: URL of the server.
        runtime: A runtime.
        large: The same interpreter with numpy, and memory for a large state.

    Returns:
        The median of each in milliseconds, and divided by that of `print(1)` in the same rounds.
    """
    with closing(Client(url)) as client:
        small, big = Sessions(client, runtime), Sessions(client, large)
        counter, array = small.open(), big.open()
        small.run(counter, "x = 0")
        big.run(array, _LARGE)
        works: Mapping[str, Callable[[], object]] = {
            "`print(1)` with `/eval`": lambda: client.evaluate(f"/eval/{runtime}", {"input": "print(1)"}),
            "open a session": small.open,
            "a cell, `x += 1`": lambda: small.run(counter, "x += 1"),
            "a branch": lambda: small.branch(counter),
            "a cell in a state of 200 MB": lambda: big.run(array, "large[0] += 1"),
            "a branch of a state of 200 MB": lambda: big.branch(array),
        }
        taken: dict[str, list[float]] = {title: [] for title in works}
        for _ in range(_ROUNDS):
            for title, work in works.items():
                taken[title].append(_timed(work))
            small.end(keep=1)
            big.end(keep=1)
            sleep(_PAUSE_S)
        taken[f"the cell after one that was killed ({_TIMEOUTS} times, separately)"] = [
            _after_kill(small, counter) for _ in range(_TIMEOUTS)
        ]
        small.end()
        big.end()
    medians = {title: statistics.median(each) * 1e3 for title, each in taken.items()}
    base = medians["`print(1)` with `/eval`"]
    return {title: (median, median / base) for title, median in medians.items()}


def _after_kill(sessions: Sessions, session: str) -> float:
    sessions.run(session, "while True: pass", limits={"wall_time": 0.1})
    return _timed(lambda: sessions.run(session, "x += 1"))


def _timed(work: Callable[[], object]) -> float:
    begin = perf_counter()
    work()
    return perf_counter() - begin


def memory(url: str, runtime: str, server: int) -> tuple[float, float, float]:
    """Open many sessions that have each run two cells.

    Args:
        url: URL of the server.
        runtime: A runtime.
        server: The server's process id.

    Returns:
        Their proportional set size in MiB, for each; and how long a `print(1)` takes before and beside them, in
        milliseconds.
    """
    with closing(Client(url)) as client:
        sessions = Sessions(client, runtime)
        before, alone = _size(server), _evaluation(client, runtime)
        for _ in range(_IDLE):
            session = sessions.open()
            sessions.run(session, "x = 1")
            sessions.run(session, "x += 1")
        after, beside = _size(server), _evaluation(client, runtime)
        sessions.end()
    return (after - before) / _IDLE, alone, beside


def _evaluation(client: Client, runtime: str) -> float:
    route, request = f"/eval/{runtime}", {"input": "print(1)"}
    return statistics.median(_timed(lambda: client.evaluate(route, request)) for _ in range(2 * _ROUNDS)) * 1e3


def _size(server: int) -> float:
    return sum(map(_pss, descendants(server))) / 1024


def _pss(pid: int) -> int:
    try:
        found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0
