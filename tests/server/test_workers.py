"""Several workers behind one address: together they are one server."""

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from crowds import until
from leftovers import descendants, guests
from serving import Server, running_server
from snekhouse.registry.loading import load
from snekhouse.registry.server import Server as Settings
from snekhouse.server.worker import Worker

pytestmark = pytest.mark.alone

UIDS = (1_900_200_000, 1_900_200_099)
"""Host ids that only runs of these tests have."""


@pytest.fixture
def crowd(small: Path, tmp_path: Path) -> Iterator[Server]:
    """A server of three workers that evaluates three at once."""
    settings = f"[server]\nworkers = 3\nconcurrency = 3\nqueue = 30\nuids = {list(UIDS)}\n"
    small.write_text(small.read_text().replace("[server]\n", settings))
    with running_server(small, tmp_path / "log") as server:
        yield server


def workers(server: Server) -> list[int]:
    """Process ids of the workers."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return list(map(int, children))


def accepted(worker: int) -> int:
    """How many connections a worker has open."""
    sockets = map(str.split, Path("/proc/net/tcp").read_text().splitlines())
    established = {f"socket:[{inode}]" for _, _, _, state, _, _, _, _, _, inode, *_ in sockets if state == "01"}
    count = 0
    for entry in os.scandir(f"/proc/{worker}/fd"):
        with suppress(FileNotFoundError):  # closed meanwhile
            count += str(Path(entry.path).readlink()) in established
    return count


def evaluate(server: Server, code: str) -> httpx.Response:
    """Evaluate on a connection of its own."""
    return httpx.post(f"{server.client.base_url}/eval", json={"input": code}, timeout=60)


def test_shares_add_up_to_the_whole(one_runtime: Path) -> None:
    registry = load(one_runtime).model_copy(update={"server": Settings(workers=3, concurrency=5, queue=10)})
    shares = [Worker(number).share(registry).server for number in range(3)]
    assert [each.concurrency for each in shares] == [2, 2, 1]
    assert [each.queue for each in shares] == [10, 10, 10]  # all of them count what waits in any


def test_each_worker_has_a_slot_whatever_a_reload_writes(one_runtime: Path) -> None:
    registry = load(one_runtime).model_copy(update={"server": Settings(workers=4, concurrency=2)})
    assert [Worker(number).share(registry).server.slots for number in range(4)] == [1, 1, 1, 1]


def test_no_more_run_at_once_than_the_registry_allows_and_each_request_is_answered(crowd: Server) -> None:
    most: Counter[int] = Counter()
    with ThreadPoolExecutor(12) as pool:
        answers = [pool.submit(evaluate, crowd, f"import time; time.sleep(0.3); print({n})") for n in range(24)]
        while not all(answer.done() for answer in answers):
            seen = guests(*UIDS).keys()  # one after the other, so some may have ended before others began
            most[len(seen & guests(*UIDS).keys())] += 1
            time.sleep(0.02)
    assert [answer.result().json()["stdout"] for answer in answers] == [f"{n}\n" for n in range(24)]
    assert max(most) == 3


def test_connections_that_arrive_together_are_spread_over_the_workers(crowd: Server) -> None:
    address = crowd.client.base_url.host, crowd.client.base_url.port
    with ExitStack() as opened:
        while not all(map(accepted, workers(crowd))):  # one begins to accept after the other
            opened.enter_context(socket.create_connection(address))
            time.sleep(0.02)
        before = sum(map(accepted, workers(crowd)))
        for _ in range(30):
            opened.enter_context(socket.create_connection(address))
        counts: list[int] = []
        while sum(counts) < before + 30:
            counts = list(map(accepted, workers(crowd)))
    assert max(counts) - min(counts) <= 3, counts  # a worker may be late


def test_a_worker_that_is_killed_is_replaced(crowd: Server) -> None:
    before = workers(crowd)
    os.kill(before[1], signal.SIGKILL)
    deadline = time.monotonic() + 20
    while len(workers(crowd)) != 3 or before[1] in workers(crowd):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for number in range(10):
        assert evaluate(crowd, f"print({number})").json()["stdout"] == f"{number}\n"


def test_a_worker_that_cannot_be_replaced_does_not_end_the_others(crowd: Server, small: Path) -> None:
    small.write_text(small.read_text().replace("wall_time", "wall_time"))
    executable = load(small).runtimes["only"].executable
    broken = small.read_text().replace(f'executable = "{executable}"', 'executable = "/no/such/python"')
    before = set(workers(crowd))
    small.write_text(broken)  # the workers that serve refuse it
    until(lambda: "cannot evaluate" in crowd.log.read_text())
    os.kill(min(before), signal.SIGKILL)
    until(lambda: "ended with exit code 2; starting another" in crowd.log.read_text())
    assert evaluate(crowd, "print(1)").json()["stdout"] == "1\n"
    small.write_text(broken.replace("/no/such/python", executable))
    until(lambda: len(set(workers(crowd)) - before) == 1 and len(workers(crowd)) == 3)
    assert evaluate(crowd, "print(1)").json()["stdout"] == "1\n"


def test_when_their_supervisor_is_killed_the_workers_end(crowd: Server) -> None:
    everything = descendants(crowd.process.pid)
    crowd.process.kill()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in everything):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_all_of_them(crowd: Server, number: int) -> None:
    everything = descendants(crowd.process.pid)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(evaluate, crowd, "import time; time.sleep(1); print('finished')")
        while not guests(*UIDS):
            time.sleep(0.02)
        crowd.process.send_signal(number)
        assert answer.result().json()["stdout"] == "finished\n"
    assert crowd.process.wait(timeout=20) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in everything)
