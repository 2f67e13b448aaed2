"""What an evaluation costs: bare Python, plain NsJail on the same profile, and /eval, for each runtime.

    make bench

Prints medians in milliseconds and evaluations per second at 1 and 2 clients. The server is a real one, over HTTP on
the loopback interface; nothing else should be running.
"""

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from fidelity.plain import Plain
from serving import running_server
from snekhouse.registry.discovery import find_interpreters, render_registry
from snekhouse.registry.loading import load

ROUNDS = 40
SECONDS = 3.0
"""How long throughput is measured."""


def alternate(*works: Callable[[], object]) -> list[float]:
    """Time each work in turn, round by round, so that a slow moment hits all alike; medians in milliseconds."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for taken, work in zip(times, works, strict=True):
            begin = time.perf_counter()
            work()
            taken.append((time.perf_counter() - begin) * 1e3)
    return [statistics.median(taken) for taken in times]


def evaluate(client: httpx.Client, route: str) -> None:
    """Evaluate the least of programs."""
    client.post(route, json={"input": "pass"}).raise_for_status()


def throughput(url: str, path: str, clients: int) -> float:
    """Count evaluations per second with several clients at once."""
    end = time.perf_counter() + SECONDS
    counts = [0] * clients

    def work(number: int) -> None:
        with httpx.Client(base_url=url) as client:
            while time.perf_counter() < end:
                evaluate(client, path)
                counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS


def main() -> None:
    """Measure every interpreter of this machine."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        path = folder / "runtimes.toml"
        path.write_text(render_registry(find_interpreters(), allow_degraded_reason="a benchmark"))
        registry = load(path)
        plain = Plain(registry, folder)
        print(
            "runtime  python -c pass  plain nsjail   /eval  eval - nsjail  eval / python  1 client/s  2 clients/s ratio"
        )
        with running_server(path, folder / "log") as server:
            client = server.client
            url = str(client.base_url)
            for runtime in registry.runtimes.values():
                route = f"/eval/{runtime.name}"
                bare, jailed, ours = alternate(
                    partial(subprocess.run, [runtime.executable, "-c", "pass"], check=True),
                    partial(plain.run, runtime.name, ("-c", "pass"), {}, b""),
                    partial(evaluate, client, route),
                )
                one, two = throughput(url, route, 1), throughput(url, route, 2)
                print(
                    f"{runtime.name:7} {bare:12.1f} ms {jailed:10.1f} ms {ours:7.1f} ms {ours - jailed:10.1f} ms"
                    f" {ours / bare:14.2f} {one:11.1f} {two:12.1f} {two / one:6.2f}"
                )


if __name__ == "__main__":
    main()
