"""What the server itself takes while something goes on: memory, descriptors, threads, time on the event loop, log, disk."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from serving import Server

MIB = 1 << 20

T = TypeVar("T")

_QUICK_S = 0.1
"""Seconds in which `/healthz` answers."""

_REST_S = 5.0
"""Seconds after which all is as it was."""

_PING = """
import http.client, json, select, sys, time
connection, times = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20), []
def ping():
    begin = time.monotonic()
    while time.monotonic() < begin + 20:
        try:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            break
        except (OSError, http.client.HTTPException):
            connection.close()
    times.append(time.monotonic() - begin)
ping()
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.01)[0]:
    ping()
print(json.dumps(times))
"""


@dataclass(frozen=True)
class Reading:
    """What a server holds at one moment."""

    memory: int
    descriptors: int
    threads: int
    log: int
    disk: int

    @classmethod
    def of(cls, server: Server, state: Path) -> "Reading":
        proc = Path(f"/proc/{server.process.pid}")
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        return cls(
            memory=int(status["VmRSS"].split()[0]) << 10,
            descriptors=len(list((proc / "fd").iterdir())),
            threads=int(status["Threads"]),
            log=server.log.stat().st_size,
            disk=sum(path.stat().st_size for path in state.rglob("*") if path.is_file()),
        )


@dataclass
class Meter:
    """What was measured: `before`, and the most of everything until the end."""

    before: Reading
    peak: int = 0
    slowest: float = 0.0
    after: list[Reading] = field(default_factory=list)


def peak_memory(server: Server) -> int:
    """Bytes that the server held at most since the peak was reset (proc_pid_status(5))."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


@contextmanager
def measured(server: Server, state: Path) -> Iterator[Meter]:
    """Measure a server while something goes on, and see that it comes to rest afterwards."""
    meter = Meter(Reading.of(server, state))
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")  # begins the peak anew (proc_pid_clear_refs(5))
    command = [sys.executable, "-I", "-S", "-c", _PING, str(server.client.base_url.port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as pinging:
        try:
            assert pinging.stdout
            assert pinging.stdout.readline() == "ready\n"
            yield meter
            times = sorted(json.loads(pinging.communicate("\n", timeout=60)[0]))
        finally:
            pinging.kill()
    meter.slowest = times[int(len(times) * 0.99)] if len(times) >= 100 else times[-2:][0]
    meter.peak = peak_memory(server)
    deadline = time.monotonic() + _REST_S
    while True:
        meter.after.append(Reading.of(server, state))
        if _is_at_rest(meter) or time.monotonic() > deadline:
            return
        time.sleep(0.1)


def _is_at_rest(meter: Meter) -> bool:
    return not any(_excess(meter))


def _excess(meter: Meter) -> Iterator[str]:
    before, after = meter.before, meter.after[-1]
    checks: dict[str, Callable[[], bool]] = {
        "memory": lambda: after.memory - before.memory > 32 * MIB,
        "descriptors": lambda: after.descriptors - before.descriptors > 8,  # a run that is forked ahead has five
        "threads": lambda: after.threads - before.threads > 20,
        "disk": lambda: after.disk - before.disk > MIB,
    }
    yield from (f"{name}: {before} then {after}" for name, is_over in checks.items() if is_over())


def assert_unharmed(
    server: Server, state: Path, attack: Callable[[], T], *, growth: int = 64 * MIB, log: int = 128 << 10
) -> T:
    """Attack a server, and check that it stays small and quick; return what the attack does.

    Where nothing but the time was too long, it is measured again: others may use this machine as well.

    Args:
        server: The server.
        state: The folder with its files.
        attack: What to do to it.
        growth: Bytes by which its memory may grow.
        log: Bytes that it may log.
    """
    for is_last in (False, False, True):
        with measured(server, state) as meter:
            done = attack()
        grown = meter.peak - meter.before.memory
        assert grown < growth, f"memory grew by {grown >> 20} MiB"
        assert meter.after[-1].log - meter.before.log < log, "the log grew"
        excess = "; ".join(_excess(meter))
        assert not excess, excess
        if meter.slowest < _QUICK_S:
            break
        assert not is_last, f"/healthz took {meter.slowest:.3f} s"
    return done
