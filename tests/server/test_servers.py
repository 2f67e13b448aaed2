"""Several servers on one host, started without any configuration of their own."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from crowds import until
from leftovers import descendants, guests
from serving import Server, await_fork_servers, running_server

pytestmark = pytest.mark.alone

UIDS = (1_900_700_000, 1_900_700_099)
"""Host ids that only runs of these tests have."""


@pytest.fixture
def servers(small: Path, tmp_path: Path) -> Iterator[list[Server]]:
    """Two servers of one registry, started at once."""
    small.write_text(small.read_text().replace("[server]\n", f"[server]\nuids = {list(UIDS)}\nconcurrency = 3\n"))
    starting = [running_server(small, tmp_path / log) for log in ("one", "two")]
    with ExitStack() as held, ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda each: each.__enter__(), starting))
        for each in starting:
            held.push(each)
        for server in found:
            await_fork_servers(server.client)
        yield found


def ids(server: Server) -> set[int]:
    """Tell which host ids the processes of a server have, its fork servers' included, besides root's."""
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in descendants(server.process.pid)]
    return {int(re.findall(r"^Uid:\t(\d+)", status, re.MULTILINE)[0]) for status in statuses} - {0}


def test_servers_at_the_same_time_give_their_runs_different_ids(servers: list[Server]) -> None:
    def sleep(server: Server) -> int:
        return server.client.post("/eval", json={"input": "import time; time.sleep(2)"}).status_code

    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(sleep, server) for server in servers * 3]
        until(lambda: len(guests(*UIDS)) == 6)
        one, two = map(ids, servers)
        assert [answer.result() for answer in answers] == [200] * 6
    assert len(one) == len(two) >= 4  # three runs and a fork server
    assert not one & two
