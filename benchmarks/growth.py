"""Measure how the cost of an evaluation grows with its output, its files, the requests that wait, and the runtimes.

    .venv/bin/python benchmarks/growth.py              print a table for each
    .venv/bin/python benchmarks/growth.py --plot FILE  also draw them into a PNG file

A real server answers over HTTP on the loopback interface, and forks the evaluations. Run nothing else meanwhile.
"""

import argparse
import base64
import statistics
import sys
import tempfile
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import tomli_w

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from measuring import Client
from plotting import curves, short

from serving import await_fork_servers, running_server
from snekhouse.registry.discovery.interpreters import find_interpreters
from snekhouse.registry.discovery.writing import render_registry

_ROUNDS = 15
_WARM_UP = 5
"""Measurements that do not count, so that each runtime has evaluated several times."""

_KIB, _MIB = 1 << 10, 1 << 20
_SIZES = (_KIB, 10 * _KIB, 100 * _KIB, _MIB)
_FILE_SIZES = (*_SIZES, 10 * _MIB, 40 * _MIB)
_COUNTS = (1, 3, 10, 30, 100)
_WAITING = (1, 3, 10, 30, 100, 300, 1000)
_RUNTIMES = (1, 2, 5, 10, 20)
_SERVER = {"queue": 2000, "connections": 2048, "connections_per_address": 2048, "max_request": "128MiB"}
_LIMITS = {"output": "4MiB", "memory": "256MiB", "home": "128MiB", "wall_time": 30.0}


@contextmanager
def served(runtimes: int = 1) -> Iterator[str]:
    """Serve the default interpreter of this machine under several names; yield the URL."""
    with tempfile.TemporaryDirectory() as name:
        parsed = tomllib.loads(render_registry(find_interpreters(), allow_degraded_reason="a benchmark"))
        one = {key: value for key, value in parsed["runtimes"][parsed["default"]].items() if "name" not in key}
        parsed["runtimes"] = {f"r{number}": {**one, "aliases": []} for number in range(runtimes)}
        parsed |= {"default": "r0", "defaults": {"limits": _LIMITS}}
        parsed["server"] |= _SERVER
        registry = Path(name) / "runtimes.toml"
        registry.write_text(tomli_w.dumps(parsed))
        with running_server(registry, Path(name) / "log") as server:
            await_fork_servers(server.client)
            yield str(server.client.base_url)


def median(url: str, request: Mapping[str, Any], routes: Sequence[str] = ("/eval",)) -> float:
    """Evaluate a program again and again; return the median in milliseconds."""
    times = []
    with closing(Client(url)) as client:
        for number in range(_ROUNDS + 3):
            begin = perf_counter()
            client.evaluate(routes[number % len(routes)], request)
            times.append(perf_counter() - begin)
    return statistics.median(times[3:]) * 1e3


def _file(path: str, size: int) -> dict[str, str]:
    return {"path": path, "content": base64.b64encode(b"x" * size).decode()}


def _output(url: str, size: int) -> float:
    return median(url, {"input": f"print('x' * {size - 1})"})


def _file_in(url: str, size: int) -> float:
    return median(url, {"input": "pass", "files": [_file("in", size)]})


def _file_out(url: str, size: int) -> float:
    return median(url, {"input": f"open('out', 'w').write('x' * {size})"})


def _files_in(url: str, count: int) -> float:
    return median(url, {"input": "pass", "files": [_file(f"in{number}", _KIB) for number in range(count)]})


def _files_out(url: str, count: int) -> float:
    return median(url, {"input": f"for n in range({count}): open(f'out{{n}}', 'w').write('x' * {_KIB})"})


def _waiting(url: str, count: int) -> float:
    """Send requests at once; return the milliseconds until all are answered, divided by their number."""
    clients = [Client(url) for _ in range(count)]
    threads = [threading.Thread(target=client.evaluate, args=("/eval", {"input": "print(1)"})) for client in clients]
    begin = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = perf_counter() - begin
    for client in clients:
        client.close()
    return taken / count * 1e3


def _runtimes(count: int) -> float:
    routes = [f"/eval/r{number}" for number in range(count)]
    with served(count) as url:
        for _ in range(_WARM_UP):
            median(url, {"input": "print(1)"}, routes)
        return median(url, {"input": "print(1)"}, routes)


MEASURED: Mapping[str, tuple[str, Sequence[int], Callable[[str, int], float]]] = {
    "output": ("bytes of output", _SIZES, _output),
    "a file in": ("bytes of a file in the request", _FILE_SIZES, _file_in),
    "a file out": ("bytes of a file in the answer", _FILE_SIZES, _file_out),
    "files in": ("files of 1 KiB in the request", _COUNTS, _files_in),
    "files out": ("files of 1 KiB in the answer", _COUNTS, _files_out),
    "requests at once": ("requests at once; ms for each", _WAITING, _waiting),
}
"""What grows: a title, what is counted, the sizes, and how to measure one."""


def measure() -> dict[str, tuple[str, dict[int, float]]]:
    """Measure everything; return, by title, what a size counts, and the milliseconds of each size."""
    found = {}
    with served() as url:
        for title, (unit, sizes, work) in MEASURED.items():
            found[title] = unit, {size: work(url, size) for size in sizes}
            print(title, {size: round(taken, 1) for size, taken in found[title][1].items()}, flush=True)
    found["runtimes"] = "runtimes, used in turns", {count: _runtimes(count) for count in _RUNTIMES}
    return found


def tables(found: Mapping[str, tuple[str, Mapping[int, float]]]) -> Iterator[str]:
    """Yield a table in Markdown for each."""
    for unit, taken in found.values():
        yield f"| {unit} | {' | '.join(map(short, taken))} |"
        yield "|---|" + "--:|" * len(taken)
        yield f"| ms | {' | '.join(f'{each:.1f}' for each in taken.values())} |\n"


def main() -> None:
    """Measure, print, and draw if the option is given."""
    parser = argparse.ArgumentParser(description="Measure how the cost of an evaluation grows.")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="the PNG file to draw")
    asked = parser.parse_args()
    found = measure()
    print("\n".join(tables(found)))
    if asked.plot:
        curves(asked.plot, found)


if __name__ == "__main__":
    main()
