"""Measure what an evaluation costs in each runtime: forked and cold, and compared with bare Python and plain NsJail.

    make bench                    print tables in Markdown
    make bench BENCH=--document   also write them and a plot into docs/explanation/performance.md
    make bench BENCH=--peers      compare with other services instead: see peers.py

Two real servers answer over HTTP on the loopback interface: one forks evaluations, the other starts them cold. Values
that are compared are measured in turns. Run nothing else meanwhile. numpy is installed from the network.
"""

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import anyio
import tomli_w

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import peers
from measuring import SECONDS, Client, Figures, alternate, throughput
from plotting import plot

import judging
import sessions
from fidelity.plain import Plain
from leftovers import descendants, guests
from serving import Server, await_fork_servers, running_server
from snekhouse.packages.changes import Changes
from snekhouse.registry.discovery.interpreters import find_interpreters
from snekhouse.registry.discovery.writing import render_registry
from snekhouse.registry.loading import load
from snekhouse.registry.models import Registry
from snekhouse.registry.user_base import user_base

PAGE = Path(__file__).resolve().parents[1] / "docs/explanation/performance.md"
PICTURE = PAGE.with_suffix(".png")
FIGURES = re.compile(r"(?<=<!-- figures -->\n).*(?=<!-- end of figures -->)", re.DOTALL)

ROUNDS = 100
CLIENTS = (1, 2, 8)
SESSIONS = 600
"""How many sessions the servers may have."""

UIDS = [1_902_000_000, 1_902_004_095]
"""Host ids of all servers together: each session needs one."""

NUMPY = "numpy"
"""Name of a copy of the default runtime that preloads numpy and pandas."""

PRINT = {"input": "print(1)"}
PROGRAMS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "`print(1)`": ("", PRINT),
    "`import json, re, collections, datetime`": ("", {"input": "import json, re, collections, datetime; print(1)"}),
    "`import asyncio`, and run": ("", {"input": "import asyncio\nasyncio.run(asyncio.sleep(0))"}),
    "an exception": ("", {"input": "1 / 0"}),
    "a file in, a file out": (
        "",
        {
            "input": "open('out', 'w').write(open('in').read().upper())",
            "files": [{"path": "in", "content": "aGVsbG8K"}],
        },
    ),
    "`import numpy`": ("", {"input": "import numpy"}),
    "`import numpy, pandas`": ("", {"input": "import numpy, pandas"}),
    "`import numpy, pandas`, in `preload`": (NUMPY, {"input": "import numpy, pandas"}),
}
"""Programs by title: the runtime, or none for the default one, and the request."""
LEARNED = ("import numpy", "import numpy, pandas")
"""Programs that run before the measurement, so that the server sets their packages aside."""


@dataclass(frozen=True)
class Bench:
    """The servers and the NsJail to measure.

    Attributes:
        registry: The runtimes.
        forking: A server that forks evaluations.
        cold: A server that starts evaluations cold.
        plain: NsJail without snekhouse.
    """

    registry: Registry
    forking: Server
    cold: Server
    plain: Plain

    def clients(self) -> list[Client]:
        """Connect to the server that starts evaluations cold, and to the server that forks them."""
        return [Client(str(server.client.base_url)) for server in (self.cold, self.forking)]

    @property
    def names(self) -> list[str]:
        """The names of the runtimes, without the copy that preloads numpy."""
        return [name for name in self.registry.runtimes if name != NUMPY]


@contextmanager
def opened() -> Iterator[Bench]:
    """Serve the interpreters of this machine with two servers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        parsed = tomllib.loads(render_registry(find_interpreters(), allow_degraded_reason="a benchmark"))
        parsed["defaults"] = {"packages": f"{folder}/packages"}
        twin = {key: value for key, value in parsed["runtimes"][parsed["default"]].items() if "name" not in key}
        parsed["runtimes"][NUMPY] = twin | {"aliases": [], "preload": ["numpy", "pandas"], "limits": {"memory": "1GiB"}}
        parsed["server"] |= {"sessions": SESSIONS, "uids": UIDS}
        forking, cold = folder / "fork.toml", folder / "cold.toml"
        forking.write_text(tomli_w.dumps(parsed))
        parsed["defaults"]["start"] = "cold"
        cold.write_text(tomli_w.dumps(parsed))
        registry = load(forking)
        packages = Changes(registry, registry.resolve(registry.default), say=print)
        anyio.run(packages.install, ["numpy", "pandas"])
        with running_server(forking, folder / "log") as ours, running_server(cold, folder / "log-cold") as other:
            await_fork_servers(ours.client)
            set_aside(ours, registry)
            yield Bench(registry, ours, other, Plain(registry, folder))


def set_aside(server: Server, registry: Registry) -> None:
    """Import modules in each runtime, and packages in the default one, until they are set aside."""
    for _ in range(3):
        for name in registry.runtimes:
            server.client.post(f"/eval/{name}", json={"input": "import json"})
        for code in LEARNED:
            server.client.post("/eval", json={"input": code})
        sleep(_SETTLING_S)


_SETTLING_S = 4.0
"""Seconds in which a fork server begins another generation."""


def starts(bench: Bench) -> dict[str, list[Figures]]:
    """Time `print(1)` in each runtime: bare Python, plain NsJail, cold, forked."""
    found = {}
    for name in bench.names:
        bare = partial(subprocess.run, [bench.registry.runtimes[name].executable, "-c", "pass"], cwd="/", check=True)
        jailed = partial(bench.plain.run_again, name, ("-c", "print(1)"), {}, b"")
        ours = [partial(client.evaluate, f"/eval/{name}", PRINT) for client in bench.clients()]
        found[name] = alternate(ROUNDS, bare, jailed, *ours)
    return found


def loads(bench: Bench) -> dict[str, dict[str, list[Figures]]]:
    """Time `print(1)` in each runtime, cold and forked, with 1, 2 and 8 clients."""
    servers = {"cold": bench.cold, "fork": bench.forking}
    return {
        name: {
            way: [throughput(str(server.client.base_url), f"/eval/{name}", PRINT, clients) for clients in CLIENTS]
            for way, server in servers.items()
        }
        for name in bench.names
    }


def programs(bench: Bench) -> dict[str, list[Figures]]:
    """Time each program in the default runtime, cold, and then forked in turns with a forked `print(1)`.

    An evaluation that follows a cold one takes longer, so cold evaluations are timed separately.
    """
    default, found = bench.registry.default, {}
    for title, (name, request) in PROGRAMS.items():
        route = f"/eval/{name or default}"
        with closing(Client(str(bench.cold.client.base_url))) as client:
            (cold,) = alternate(ROUNDS // 2, partial(client.evaluate, route, request))
        with closing(Client(str(bench.forking.client.base_url))) as client:
            works = partial(client.evaluate, route, request), partial(client.evaluate, f"/eval/{default}", PRINT)
            found[title] = [cold, *alternate(ROUNDS, *works)]
    return found


def cpu(bench: Bench) -> float:
    """Measure the CPU time of the server for one forked `print(1)`, with 8 clients, in milliseconds."""
    server = bench.forking
    before = _cpu_time(server.process.pid)
    figures = throughput(str(server.client.base_url), f"/eval/{bench.registry.default}", PRINT, CLIENTS[-1])
    return (_cpu_time(server.process.pid) - before) / (figures.rate * SECONDS)


def _cpu_time(pid: int) -> float:
    """Return the CPU time that all threads of a process have used, in milliseconds (/proc/PID/schedstat)."""
    return sum(int(each.read_text().split()[0]) for each in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e6


def memory(bench: Bench) -> dict[str, float]:
    """Measure the proportional set size (PSS, proc_pid_smaps(5)) of fork servers and evaluations, in MiB."""
    jails = [pid for pid in descendants(bench.forking.process.pid) if b"--config" in _command(pid).split(b"\0")]
    sizes = [sum(map(_pss, {pid, *descendants(pid)})) for pid in jails]
    uids = bench.registry.server.uids
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _SLEEPER, str(bench.forking.client.base_url)], stdout=subprocess.DEVNULL
    ) as client:
        while not (running := guests(uids[0], uids[1])):
            sleep(0.05)
        sleep(0.5)
        run = sum(_pss(int(pid)) for pid in running)
        client.wait()
    server = _pss(bench.forking.process.pid)
    return {
        "a fork server with its second generation, NsJail and two spare forks": statistics.median(sizes),
        "the same with a third generation, which has set numpy and pandas aside": _of_default(bench, jails, sizes),
        "a program that sleeps, with its share of common pages": run,
        "the server, after the measurements above": server,
    }


def _of_default(bench: Bench, jails: Sequence[int], sizes: Sequence[float]) -> float:
    """Return the size of the jail with the fork server of the default runtime."""
    folder = f"/{bench.registry.default}-".encode()  # of its profile, which is in the command line
    return next(size for pid, size in zip(jails, sizes, strict=True) if folder in _command(pid))


_SLEEPER = "import httpx, sys; httpx.post(sys.argv[1] + '/eval', json={'input': 'import time; time.sleep(2)'})"


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _pss(pid: int) -> float:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss: +(\d+) kB", rollup, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def readiness(bench: Bench) -> dict[str, float]:
    """Measure the seconds from the start of a server until its default runtime evaluates, and until all fork."""
    with tempfile.TemporaryDirectory() as folder:
        begin = perf_counter()
        with running_server(Path(bench.registry.source), Path(folder) / "log") as server:
            while server.client.get("/readyz").status_code != 200:
                sleep(0.01)
            ready = perf_counter() - begin
            await_fork_servers(server.client)
            return {"the default runtime evaluates": ready, "every runtime forks": perf_counter() - begin}


def table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    """Format a table in Markdown. The first column is aligned left, the others right."""
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *rows))


def report(bench: Bench) -> Iterator[str]:
    """Measure everything, yield it as Markdown, and draw the plot."""
    cpus, release = os.cpu_count(), platform.release()
    yield f"Measured on {cpus} CPUs ({_processor()}), Linux {release}, {len(bench.names)} runtimes.\n"
    began = starts(bench)
    yield "Time with one client, in turns; medians in milliseconds:\n"
    yield table(
        ("runtime", "`python -c pass`", "plain nsjail", "cold", "fork", "fork / python", "cold / fork"),
        (
            (name, *(f"{each.median:.1f}" for each in (bare, jailed, cold, fork)),
             f"{fork.median / bare.median:.2f}", f"{cold.median / fork.median:.1f}")
            for name, (bare, jailed, cold, fork) in began.items()
        ),
    )  # fmt: skip
    loaded = loads(bench)
    yield "`print(1)` with several clients; median and 99th percentile in milliseconds, and evaluations a second:\n"
    yield table(
        ("runtime", "start", *(f"{clients} client{'s' * (clients > 1)}" for clients in CLIENTS)),
        (
            (name, way, *(f"{each.median:.1f}, {each.p99:.1f}, {each.rate:.0f}/s" for each in figures))
            for name, ways in loaded.items()
            for way, figures in ways.items()
        ),
    )
    yield f"Time of programs in {bench.registry.default}; medians in milliseconds:\n"
    yield table(
        ("program", "cold", "fork", "cold / fork", "fork / `print(1)`"),
        (
            (title, f"{cold.median:.1f}", f"{fork.median:.1f}",
             f"{cold.median / fork.median:.1f}", f"{fork.median / plain.median:.2f}")
            for title, (cold, fork, plain) in programs(bench).items()
        ),
    )  # fmt: skip
    yield from _sessions(bench)
    yield from _judging(bench)
    yield f"CPU time of the server for one forked `print(1)`, with 8 clients: {cpu(bench):.2f} ms.\n"
    yield "Memory as proportional set size (PSS) in MiB, and the start-up time of a server with all runtimes:\n"
    yield table(("memory", "MiB"), ((what, f"{size:.1f}") for what, size in memory(bench).items()))
    yield table(("time until", "seconds"), ((what, f"{taken:.2f}") for what, taken in readiness(bench).items()))
    plot(
        PICTURE,
        f"print(1) over HTTP, {cpus} CPUs",
        {
            title: [figures[place].median for figures in began.values()]
            for place, title in enumerate(("python -c pass", "plain nsjail", "cold", "fork"))
        },
        {way: [ways[way][-1].rate for ways in loaded.values()] for way in ("cold", "fork")},
        bench.names,
    )


def _sessions(bench: Bench) -> Iterator[str]:
    url, default = str(bench.forking.client.base_url), bench.registry.default
    yield f"Time of requests of sessions in {default}, in turns; medians in milliseconds:\n"
    yield table(
        ("request", "ms", "/ `print(1)`"),
        (
            (title, f"{median:.1f}", f"{ratio:.2f}")
            for title, (median, ratio) in sessions.times(url, default, NUMPY).items()
        ),
    )
    size, alone, beside = sessions.memory(url, default, bench.forking.process.pid)
    yield (
        f"Each of 500 idle sessions takes {size:.1f} MiB (PSS of its processes). A `print(1)` takes "
        f"{alone:.1f} ms before they are opened, and {beside:.1f} ms with them.\n"
    )


def _judging(bench: Bench) -> Iterator[str]:
    url, default = str(bench.forking.client.base_url), bench.registry.default
    yield f"Cases in {default}, 100 in a request, in turns; medians:\n"
    yield table(
        ("work", "cases/s", "ms a case"),
        ((title, f"{rate:.0f}", f"{ms:.1f}") for title, (rate, ms) in judging.verdicts(url, default, NUMPY).items()),
    )
    first, whole = judging.first_byte(url, default)
    yield f"A streamed `print(1)` sends its output after {first:.1f} ms; a JSON answer takes {whole:.1f} ms.\n"


def compared(bench: Bench, asked: argparse.Namespace) -> Iterator[str]:
    """Compare the default runtime with other services, and yield tables in Markdown."""
    runtime = bench.registry.runtimes[bench.registry.default]
    packages = user_base(runtime)
    known: list[peers.Peer] = [
        *peers.locals_of(runtime, bench.plain, {"PYTHONUSERBASE": packages.source} if packages else {}),
        *peers.remotes(asked, runtime.executable),
        peers.ours(bench.forking, runtime),
    ]
    yield f"Measured on {os.cpu_count()} CPUs ({_processor()}), Linux {platform.release()}, Python {runtime.name}.\n"
    yield from peers.compare(known)
    yield f"\nNot measured, because no address was given: {', '.join(peers.missing(asked)) or 'none'}"


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def main() -> None:
    """Measure, print, and write the documentation if the option is given."""
    parser = argparse.ArgumentParser(description="Measure what an evaluation costs.")
    parser.add_argument("--document", action="store_true", help=f"put the figures into {PAGE.name}")
    peers.add_options(parser)
    asked = parser.parse_args()
    written = []
    with opened() as bench:
        for part in compared(bench, asked) if asked.peers else report(bench):
            print(part, flush=True)
            written.append(part)
    if asked.document and not asked.peers:
        PAGE.write_text(FIGURES.sub(lambda _: "\n" + "\n".join(written) + "\n", PAGE.read_text()))


if __name__ == "__main__":
    main()
