"""Compare snekhouse with other services that run Python programs, on one machine in one run.

    make bench BENCH="--peers"
    make bench BENCH="--peers --snekbox http://127.0.0.1:8061 --go-judge http://127.0.0.1:5050"

The peers serve already: each address belongs to a service that the user has started, with the same interpreter and
about as many workers as this machine has CPUs. What has no address is named as not measured. Bare Python in a
subprocess, and plain NsJail, need no address. Values that are compared are measured in turns.
"""

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from time import perf_counter, sleep
from typing import Any, NoReturn, Protocol
from urllib.parse import urlsplit

from fidelity.plain import Plain
from serving import Server
from snekhouse.registry.models import Runtime

_ROUNDS = 30
_SECONDS = 3.0
_CLIENTS = 8
_PAUSE_S = 2.0
"""Seconds in which the kernel takes down what the service before has left, such as network namespaces."""

PROGRAMS: Mapping[str, str] = {
    "print(1)": "print(1)",
    "json, re, collections, datetime": "import json, re, collections, datetime\nprint(1)",
    "asyncio.run": "import asyncio\nasyncio.run(asyncio.sleep(0))\nprint(1)",
    "a traceback": "import traceback\ntry: 1 / 0\nexcept ZeroDivisionError: traceback.print_exc()\nprint(1)",
    "a loop of 300,000 additions": "x = 0\nfor n in range(300_000): x += n\nprint(1)",
    "numpy: an array of one number": "import numpy\nprint(int(numpy.ones(1).sum()))",
    "numpy and pandas: a Series of one number": "import numpy, pandas\nprint(int(pandas.Series([1]).sum()))",
}
"""Programs by title; each prints 1."""


class Peer(Protocol):
    """Something that runs programs."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def isolation(self) -> str:
        """What separates a program from the host and from other programs."""

    def client(self) -> Callable[[str], str]:
        """Return a function that runs a program and returns what it printed; each concurrent client gets its own."""


@dataclass(frozen=True)
class Local:
    """A command that runs a program given as its last argument."""

    name: str
    isolation: str
    run: Callable[[str], str]

    def client(self) -> Callable[[str], str]:
        """See `Peer`."""
        return self.run


@dataclass(frozen=True)
class Remote:
    """A service over HTTP.

    Attributes:
        url: Its address.
        route: The path to post to.
        request: Makes the body for a program.
        output: Finds what the program printed in the answer.
    """

    name: str
    isolation: str
    url: str
    route: str
    request: Callable[[str], Any]
    output: Callable[[Any], str]

    def client(self) -> Callable[[str], str]:
        """See `Peer`. The connection is kept, and opened again if the service closes it after each answer."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc)

        def run(code: str) -> str:
            connection.request("POST", self.route, json.dumps(self.request(code)), {"Content-Type": "application/json"})
            body = connection.getresponse().read()
            try:
                return self.output(json.loads(body))
            except (KeyError, TypeError, ValueError) as error:
                raise AssertionError(f"{self.name} answered {body[:200]!r}") from error

        return run


def remotes(asked: argparse.Namespace, python: str) -> Iterator[Remote]:
    """Yield the services whose addresses are given.

    Sources: each project's documentation of its HTTP API.
    """
    if asked.snekbox:
        yield Remote(
            "snekbox", "NsJail for each program", asked.snekbox, "/eval",
            lambda code: {"input": code}, lambda body: str(body["stdout"]),
        )  # fmt: skip
    if asked.piston:
        yield Remote(
            "Piston", "isolate (namespaces, cgroups) for each program", asked.piston, "/api/v2/execute",
            lambda code: {"language": "python", "version": "*", "files": [{"content": code}]},
            lambda body: str(body["run"]["stdout"]),
        )  # fmt: skip
    if asked.sandbox_fusion:
        yield Remote(
            "SandboxFusion", "none between programs, unless it is configured", asked.sandbox_fusion, "/run_code",
            lambda code: {"code": code, "language": "python"}, lambda body: str(body["run_result"]["stdout"]),
        )  # fmt: skip
    if asked.go_judge:
        yield Remote(
            "go-judge", "a container that programs share in turns (namespaces, cgroups)", asked.go_judge, "/run",
            partial(_go_judge_request, python), lambda body: str(body[0]["files"]["stdout"]),
        )  # fmt: skip


def _go_judge_request(python: str, code: str) -> Any:
    files = [{"content": ""}, *({"name": name, "max": 1 << 20} for name in ("stdout", "stderr"))]
    limits = {"cpuLimit": 6_000_000_000, "memoryLimit": 512 << 20, "procLimit": 32}
    return {"cmd": [{"args": [python, "-c", code], "env": ["PATH=/usr/bin:/bin"], "files": files, **limits}]}


def locals_of(runtime: Runtime, plain: Plain, packages: Mapping[str, str]) -> Iterator[Local]:
    """Yield what this machine can do by itself: Python without isolation, and NsJail without snekhouse."""

    def bare(code: str) -> str:
        command = [runtime.executable, "-c", code]
        return subprocess.run(command, env=packages, capture_output=True, text=True, check=True).stdout

    yield Local("bare Python", "none", bare)
    yield Local(
        "plain NsJail", "NsJail for each program",
        lambda code: plain.run_again(runtime.name, ("-c", code), {}, b"").output.decode(),
    )  # fmt: skip


def ours(server: Server, runtime: Runtime) -> Remote:
    """Return this service."""
    return Remote(
        "snekhouse", "namespaces, cgroups and seccomp for each program", str(server.client.base_url),
        f"/eval/{runtime.name}", lambda code: {"input": code}, lambda body: str(body["stdout"]),
    )  # fmt: skip


def compare(peers: list[Peer]) -> Iterator[str]:
    """Run all programs on all peers; yield tables in Markdown."""
    yield "| service | between a program and the rest |\n|---|---|"
    yield "\n".join(f"| {peer.name} | {peer.isolation} |" for peer in peers)
    yield f"\nMedian of {_ROUNDS} in milliseconds, 1 client, in turns:\n"
    yield from _table(peers, {title: _medians(peers, code) for title, code in PROGRAMS.items()})
    yield f"\nPrograms per second, {_CLIENTS} clients:\n"
    yield from _table(
        peers, {title: {peer.name: _rate(peer, code) for peer in peers} for title, code in PROGRAMS.items()}
    )


def _table(peers: list[Peer], rows: Mapping[str, Mapping[str, float | None]]) -> Iterator[str]:
    yield f"| program | {' | '.join(peer.name for peer in peers)} |"
    yield "|---|" + "--:|" * len(peers)
    for title, figures in rows.items():
        cells = (figures[peer.name] for peer in peers)
        yield f"| {title} | {' | '.join('fails' if cell is None else f'{cell:.1f}' for cell in cells)} |"


def _medians(peers: list[Peer], code: str) -> dict[str, float | None]:
    """Time a program on all peers in turns, after a few warm-up runs that are not timed."""
    clients = {peer.name: peer.client() for peer in peers}
    times: dict[str, list[float]] = {name: [] for name in clients}
    failed = {name for name, run in clients.items() if not _works(run, code)}
    for _ in range(_ROUNDS):
        for name, run in clients.items():
            if name not in failed:
                begin = perf_counter()
                _check(run, code)
                times[name].append(perf_counter() - begin)
    return {name: statistics.median(taken) * 1e3 if taken else None for name, taken in times.items()}


def _rate(peer: Peer, code: str) -> float | None:
    """Count the programs that a peer runs in a second for several clients at once."""
    if not _works(peer.client(), code):
        return None
    sleep(_PAUSE_S)
    counts, begin = [0] * _CLIENTS, perf_counter()

    def work(place: int) -> None:
        run = peer.client()
        while perf_counter() < begin + _SECONDS:
            _check(run, code)
            counts[place] += 1

    threads = [threading.Thread(target=work, args=(place,)) for place in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (perf_counter() - begin)


def _works(run: Callable[[str], str], code: str) -> bool:
    try:
        for _ in range(5):
            _check(run, code)
    except (AssertionError, OSError, subprocess.CalledProcessError) as error:
        print(f"  {error}", file=sys.stderr)
        return False
    return True


def _check(run: Callable[[str], str], code: str) -> None:
    printed = run(code)
    if not printed.endswith("1\n"):
        _refuse(printed)


def _refuse(printed: str) -> NoReturn:
    raise AssertionError(f"a program printed {printed[-200:]!r}, and not 1")


def missing(asked: argparse.Namespace) -> list[str]:
    """Name the services whose addresses are not given."""
    return [name for name in NAMES if not getattr(asked, name.replace("-", "_"))]


NAMES = ("snekbox", "piston", "sandbox-fusion", "go-judge")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name services."""
    parser.add_argument("--peers", action="store_true", help="compare with other services instead")
    for name in NAMES:
        parser.add_argument(f"--{name}", metavar="URL", default="", help=f"address of a {name} that serves already")
