"""The end of a server, and of runs whose client is gone."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

import leftovers
from leftovers import descendants, groups, state_of
from serving import Server, running_server

pytestmark = pytest.mark.alone

UIDS = (1_900_100_000, 1_900_100_019)
"""Host ids that only runs of these tests have."""


@contextmanager
def ending_server(small: Path, folder: Path, drain: float) -> Iterator[Server]:
    small.write_text(small.read_text().replace("[server]\n", f"[server]\nuids = {list(UIDS)}\ndrain = {drain}\n"))
    with running_server(small, folder / "log") as server:
        yield server


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def guests() -> list[str]:
    """Process ids of all that runs of these tests have started and that is not dead."""
    return list(leftovers.guests(*UIDS))


def wait_until(condition: Callable[[], object], seconds: float = 10) -> float:
    """Wait for something; tell how long it took."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds
        time.sleep(0.002)
    return time.monotonic() - begin


def evaluating(pool: ThreadPoolExecutor, server: Server, code: str) -> Future[httpx.Response]:
    """Have a run going on."""
    answer = pool.submit(server.client.post, "/eval", json={"input": code})
    wait_until(guests)
    time.sleep(0.2)
    return answer


def test_sigterm_lets_runs_finish_and_refuses_others_until_then(
    small: Path, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    with ending_server(small, tmp_path, drain=10) as server:
        running = evaluating(pool, server, "import time; time.sleep(1.5); print('finished')")
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: server.client.get("/readyz").status_code == 503)
        assert server.client.get("/readyz").json()["description"] == "the server is shutting down"
        refused = server.client.post("/eval", json={"input": ""})
        assert (refused.status_code, refused.json()["description"]) == (503, "the server is shutting down")
        assert int(refused.headers["retry-after"]) >= 1
        assert running.result().json()["stdout"] == "finished\n"
        assert server.process.wait(timeout=10) == 0


def test_runs_that_do_not_finish_in_time_are_ended_and_their_clients_told(
    small: Path, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    with ending_server(small, tmp_path, drain=0.5) as server:
        running = evaluating(pool, server, "while True: pass")
        server.process.send_signal(signal.SIGTERM)
        assert running.result().status_code == 503
        assert server.process.wait(timeout=10) == 0
    assert guests() == []


def test_a_second_signal_ends_runs_at_once(small: Path, tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    with ending_server(small, tmp_path, drain=60) as server:
        running = evaluating(pool, server, "while True: pass")
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: server.client.get("/readyz").status_code == 503)
        server.process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        assert running.result().status_code == 503
        assert server.process.wait(timeout=10) == 0
        assert time.monotonic() - begin < 2


def test_a_run_ends_within_100_ms_after_its_client_went_away(small: Path, tmp_path: Path) -> None:
    body = b'{"input": "while True: pass"}'
    with ending_server(small, tmp_path, drain=10) as server:
        for _ in range(10):
            address = (server.client.base_url.host, server.client.base_url.port or 80)
            with socket.create_connection(address) as connection:
                connection.sendall(
                    b"POST /eval HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
                )
                wait_until(guests)
                time.sleep(0.1)
            assert wait_until(lambda: not guests()) < 0.1


def test_sigkill_leaves_no_guest_and_nothing_after_the_next_start(
    small: Path, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    with ending_server(small, tmp_path, drain=10) as server:
        state = state_of(server)
        running = evaluating(pool, server, "import signal\nsignal.signal(15, signal.SIG_IGN)\nwhile True: pass")
        server.process.kill()
        with suppress(httpx.HTTPError):
            running.result()
        assert wait_until(lambda: not guests()) < 1
    assert groups(state.name)
    with running_server(small, tmp_path / "log") as server:
        assert server.client.post("/eval", json={"input": "print(1)"}).json()["stdout"] == "1\n"
        assert groups(state.name) == []
        assert not state.exists()


def watchdogs(server: Server) -> list[int]:
    """Process ids of the server's watchdogs."""
    found = []
    for pid in descendants(server.process.pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            if b"watchdog.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def kill_watchdogs(server: Server) -> set[int]:
    """Kill them, and wait until there are others; tell which they were."""
    before = set(watchdogs(server))
    assert before
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(set(watchdogs(server)) - before) == len(before), 20)
    return before


def test_without_its_watchdogs_a_killed_servers_guests_end_at_the_next_start(
    small: Path, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    # A run that was forked ends with its fork server, which hears that the server is gone.
    small.write_text(small.read_text() + 'start = "cold"\n')
    with ending_server(small, tmp_path, drain=10) as server:
        running = evaluating(pool, server, "while True: pass")
        server.process.send_signal(signal.SIGSTOP)  # it would replace them
        for watchdog in watchdogs(server):
            os.kill(watchdog, signal.SIGKILL)
        server.process.kill()
        with suppress(httpx.HTTPError):
            running.result()
    assert guests()
    with running_server(small, tmp_path / "log") as server:
        assert guests() == []


@pytest.mark.parametrize("times", [1, 3])
def test_a_watchdog_that_is_killed_is_replaced_and_its_successor_ends_the_guests(
    small: Path, tmp_path: Path, pool: ThreadPoolExecutor, times: int
) -> None:
    small.write_text(small.read_text() + 'start = "cold"\n')
    with ending_server(small, tmp_path, drain=10) as server:
        running = evaluating(pool, server, "import signal\nsignal.signal(15, signal.SIG_IGN)\nwhile True: pass")
        for _ in range(times):
            before = kill_watchdogs(server)
        server.process.kill()
        with suppress(httpx.HTTPError):
            running.result()
        assert wait_until(lambda: not guests()) < 2
    assert server.log.read_text().count("a watchdog ended (SIGKILL); another starts in") == times * len(before)


def test_guests_of_a_server_that_is_killed_with_one_watchdog_end(
    small: Path, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    small.write_text(small.read_text() + 'start = "cold"\n')
    with ending_server(small, tmp_path, drain=10) as server:
        running = evaluating(pool, server, "while True: pass")
        server.process.send_signal(signal.SIGSTOP)  # it has no time to replace it
        os.kill(watchdogs(server)[0], signal.SIGKILL)
        server.process.kill()
        with suppress(httpx.HTTPError):
            running.result()
        assert wait_until(lambda: not guests()) < 2


def test_a_stopped_watchdog_keeps_neither_guests_alive_nor_the_server_from_ending(
    small: Path, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    small.write_text(small.read_text() + 'start = "cold"\n')
    with ending_server(small, tmp_path, drain=0.5) as server:
        stopped = watchdogs(server)[0]
        os.kill(stopped, signal.SIGSTOP)
        server.process.terminate()
        assert server.process.wait(timeout=20) == 0
        assert not Path(f"/proc/{stopped}").exists()
    with running_server(small, tmp_path / "log") as server:
        stopped = watchdogs(server)[0]
        os.kill(stopped, signal.SIGSTOP)
        running = evaluating(pool, server, "while True: pass")
        server.process.kill()
        with suppress(httpx.HTTPError):
            running.result()
        assert wait_until(lambda: not guests()) < 2
        os.kill(stopped, signal.SIGCONT)
