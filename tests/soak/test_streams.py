"""Many streams at once, and much output: each client gets all of it, and the server stays quick and small."""

import json
import threading
from pathlib import Path

import httpx
import pytest

from isolation.meter import MIB, Reading, assert_unharmed
from serving import PATIENCE, Server, await_fork_servers, running_server

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]

_STREAMS = 500
_LINES = 10
_RATE = 10 * MIB
_EVENTS = {"Accept": "application/x-ndjson"}
_KEYS = f"""[server]
concurrency = {_STREAMS}
uids = [1905000000, 1905004095]
connections = 2000
connections_per_address = 2000
"""


def client_of(server: Server) -> httpx.Client:
    """Make a client for all streams: one for each would take more CPU time than the server, for its certificates."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.Client(base_url=server.client.base_url, timeout=PATIENCE, limits=limits)


def events_of(client: httpx.Client, program: str) -> tuple[str, str]:
    """Run a program as a stream; return its output and its status."""
    pieces, status = [], ""
    with client.stream("POST", "/eval", json={"input": program}, headers=_EVENTS) as answer:
        for line in answer.iter_lines():
            event = json.loads(line)
            if event["event"] == "stdout":
                pieces.append(event["text"])
            status = event.get("status", "")
    return "".join(pieces), status


def test_500_streams_at_once(small: Path, tmp_path: Path) -> None:
    small.write_text(small.read_text().replace("[server]\n", f'{_KEYS}state = "{tmp_path / "state"}"\n'))
    program = f"import time\nfor n in range({_LINES}): print(n, flush=True); time.sleep(0.5)"
    expected = "".join(f"{n}\n" for n in range(_LINES))
    found: list[tuple[str, str]] = []

    with running_server(small, tmp_path / "log") as server, client_of(server) as client:
        await_fork_servers(server.client)

        def stream() -> None:
            found.append(events_of(client, program))

        def attack() -> None:
            found.clear()
            threads = [threading.Thread(target=stream) for _ in range(_STREAMS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        before = Reading.of(server, tmp_path / "state").memory
        attack()  # Python's allocator keeps what the first time takes, and uses it again
        assert found == [(expected, "ok")] * _STREAMS
        assert Reading.of(server, tmp_path / "state").memory - before < 64 * MIB
        assert_unharmed(server, tmp_path / "state", attack, growth=32 * MIB, log=4 * MIB)
    assert found == [(expected, "ok")] * _STREAMS


def test_much_output_costs_the_server_no_memory(small: Path, tmp_path: Path, scale: float) -> None:
    seconds = max(5, int(60 * scale))
    text = small.read_text().replace("[server]\n", f'[server]\nstate = "{tmp_path / "state"}"\n')
    limits = f"[defaults.limits]\noutput = {2 * seconds * _RATE}\nwall_time = {3.0 * seconds}\n"
    small.write_text(f"{text}\n{limits}")
    program = f"""import sys, time
begin, line = time.monotonic(), "x" * 1023 + "\\n"
for second in range({seconds}):
    for _ in range({_RATE // 1024}): sys.stdout.write(line)
    time.sleep(max(0, begin + second + 1 - time.monotonic()))
"""
    with running_server(small, tmp_path / "log") as server, client_of(server) as client:
        await_fork_servers(server.client)
        events_of(client, "print('x' * 900_000)")

        def attack() -> tuple[int, str]:
            output, status = events_of(client, program)
            return len(output), status

        assert assert_unharmed(server, tmp_path / "state", attack, growth=16 * MIB) == (seconds * _RATE, "ok")
