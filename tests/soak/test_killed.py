"""SIGKILL of the server in the middle of a load: nothing is left over, and the next start serves at once."""

import random
import threading
import time
from pathlib import Path

import anyio
import pytest

from leftovers import descendants, groups, state_of
from soak.conftest import Start
from soak.load import Tally, bear, cases

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

TIMES = 10


def test_nothing_is_left_of_a_server_that_was_killed(start: Start, scale: float) -> None:
    for _ in range(max(2, int(TIMES * scale))):
        with start() as server:
            url = str(server.client.base_url)
            load = threading.Thread(
                target=lambda url=url: anyio.run(lambda: bear(url, cases(2000), clients=20, tally=Tally()))
            )
            load.start()
            time.sleep(random.uniform(0.5, 3))
            guests, state = descendants(server.process.pid), state_of(server)
            server.process.kill()
            server.process.wait()
            load.join()
        begin = time.monotonic()
        with start() as server:
            assert server.client.post("/eval", json={"input": "print(1)"}).json()["stdout"] == "1\n"
            ready = time.monotonic() - begin
            left = [pid for pid in guests if Path(f"/proc/{pid}").exists() and "Z (" not in _state(pid)]
            print(f"killed with {len(guests)} processes; {len(left)} left; serves after {ready:.2f} s")
            assert left == []
            assert groups(state.name) == []
            assert not state.exists()


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "Z ("
