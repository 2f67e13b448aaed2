"""Measure what a case of `/judge` costs, beside as many requests to `/eval`; and the first byte of a stream."""

import http.client
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from measuring import Client

_CASES = 100
_ROUNDS = 7
_CLIENTS = 8
_STREAMS = 60

_PROGRAM = """
import time
end = time.perf_counter() + 0.005
number = int(input())
while time.perf_counter() < end: pass
print(number * 2)
"""
"""A program of 5 ms."""

_SETUP = "import numpy; large = numpy.ones(6_250_000)"
"""A state of 50 MB."""

_PLAIN, _LARGE = "print(int(input()) * 2)", "print(int(input()) * int(large[0]) * 2)"


def verdicts(url: str, runtime: str, large: str) -> dict[str, tuple[float, float]]:
    """Judge programs by 100 cases, and evaluate one of them 100 times, in turns.

    Args:
        url: URL of the server.
        runtime: A runtime.
        large: The same interpreter with numpy, and memory for a large state.

    Returns:
        For each work, cases a second, and milliseconds for each case; medians.
    """
    works: Mapping[str, Callable[[], None]] = {
        "`/judge`, a program of 5 ms": lambda: _judge(url, runtime, {"input": _PROGRAM}),
        f"`/eval`, the same, {_CLIENTS} clients": lambda: _evaluate(url, runtime),
        "`/judge`, a program that prints a number": lambda: _judge(url, large, {"input": _PLAIN}),
        "the same from a setup: numpy, and an array of 50 MB": lambda: _judge(
            url, large, {"input": _LARGE, "setup": _SETUP}
        ),
    }
    taken: dict[str, list[float]] = {title: [] for title in works}
    for _ in range(_ROUNDS):
        for title, work in works.items():
            begin = perf_counter()
            work()
            taken[title].append(perf_counter() - begin)
    medians = {title: statistics.median(each) for title, each in taken.items()}
    return {title: (_CASES / seconds, seconds / _CASES * 1e3) for title, seconds in medians.items()}


def _judge(url: str, runtime: str, body: Mapping[str, Any]) -> None:
    cases = [{"stdin": str(number), "expected": {"stdout": str(2 * number)}} for number in range(_CASES)]
    with closing(Client(url)) as client:
        answer = client.request("POST", f"/judge/{runtime}", {**body, "cases": cases, "outputs": "none"})
    assert answer["verdict"] == "accepted", answer["cases"][0]


def _evaluate(url: str, runtime: str) -> None:
    def some(numbers: Sequence[int]) -> None:
        with closing(Client(url)) as client:
            for number in numbers:
                answer = client.request("POST", f"/eval/{runtime}", {"input": _PROGRAM, "stdin": str(number)})
                assert answer["stdout"] == f"{2 * number}\n"

    with ThreadPoolExecutor(_CLIENTS) as pool:
        for each in [pool.submit(some, range(start, _CASES, _CLIENTS)) for start in range(_CLIENTS)]:
            each.result()


def first_byte(url: str, runtime: str) -> tuple[float, float]:
    """Return the milliseconds to the first output of a streamed `print(1)`, and to the answer of another; medians."""
    found: dict[str, list[float]] = {"application/x-ndjson": [], "application/json": []}
    for _ in range(_STREAMS):
        for accept, times in found.items():
            times.append(_until_output(url, runtime, accept))
    first, whole = (statistics.median(times) * 1e3 for times in found.values())
    return first, whole


def _until_output(url: str, runtime: str, accept: str) -> float:
    with closing(http.client.HTTPConnection(urlsplit(url).netloc)) as connection:
        connection.connect()
        begin = perf_counter()
        connection.request("POST", f"/eval/{runtime}", json.dumps({"input": "print(1)"}), {"Accept": accept})
        answer = connection.getresponse()
        while b'"stdout"' not in (line := answer.readline()):
            assert line, "the answer has no output"
        taken = perf_counter() - begin
        answer.read()
        return taken
