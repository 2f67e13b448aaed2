"""Fifty thousand evaluations through one fork server: the last are as quick as the first, and nothing has grown."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from leftovers import descendants
from serving import Server, await_fork_servers, running_server

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

EVALUATIONS = 50_000
SAMPLE = 1000


def evaluate(client: httpx.Client) -> float:
    """Evaluate; return the milliseconds that it took."""
    begin = time.perf_counter()
    assert client.post("/eval", json={"input": "print(1)"}).json()["stdout"] == "1\n"
    return (time.perf_counter() - begin) * 1e3


def shares(server: Server) -> dict[str, float]:
    """Memory of the server and of its fork server's processes, in MiB (PSS)."""
    own = server.process.pid
    fork_server = [
        pid for pid in descendants(own) if b"fork_server.cfg" in command(pid) or b"bootstrap" in command(pid)
    ]
    return {"server": pss(own), "fork server": sum(map(pss, fork_server)), "processes": len(fork_server)}


def command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def pss(pid: int) -> float:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line for line in rollup.splitlines() if line.startswith("Pss:")).split()[1]) / 1024


def test_a_fork_server_does_not_wear_out(small: Path, tmp_path: Path, scale: float) -> None:
    count = int(EVALUATIONS * scale)
    with running_server(small, tmp_path / "log") as server:
        await_fork_servers(server.client)
        for _ in range(200):
            evaluate(server.client)
        before = shares(server)
        first = [evaluate(server.client) for _ in range(SAMPLE)]
        with ThreadPoolExecutor(4) as pool:
            clients = [httpx.Client(base_url=server.client.base_url, timeout=60) for _ in range(4)]
            list(pool.map(lambda client: [evaluate(client) for _ in range(count // 4)], clients))
            for client in clients:
                client.close()
        with running_server(small, tmp_path / "log-fresh") as fresh:  # the machine may be quicker or slower by now
            await_fork_servers(fresh.client)
            for _ in range(200):
                evaluate(fresh.client)
            pairs = [(evaluate(server.client), evaluate(fresh.client)) for _ in range(SAMPLE)]
        after = shares(server)
    old, new = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"\nfirst {statistics.median(first):.2f} ms; last {old:.2f} ms, beside a fresh fork server's {new:.2f} ms")
    print("before", before, "after", after)
    assert old < 1.1 * new
    assert after["processes"] == before["processes"]
    assert after["fork server"] < before["fork server"] + 1
    assert after["server"] < before["server"] + 2
