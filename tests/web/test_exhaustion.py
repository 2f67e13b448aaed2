"""A host that is out of something: a clear refusal, and service again when there is some."""

import os
import resource
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from leftovers import descendants
from serving import Server, await_fork_servers, running_server
from snekhouse.host.cgroups import detect

pytestmark = pytest.mark.alone


@pytest.fixture
def own_server(small: Path, tmp_path: Path) -> Iterator[Server]:
    with running_server(small, tmp_path / "log") as server:
        await_fork_servers(server.client)
        assert evaluate(server).json()["stdout"] == "1\n"  # and the connection stays
        yield server


@pytest.fixture
def group() -> Iterator[Path]:
    """A cgroup whose number of processes can be limited."""
    layout = detect().layout
    assert layout, "this host has no cgroups that may be used"
    folders = layout.folders(f"snekhouse-tests-{uuid.uuid4().hex[:8]}")
    group = Path(next(folder for folder in folders if len(folders) == 1 or "pids" in folder))
    group.mkdir()
    yield group
    group.rmdir()  # the server that was in it is gone


def evaluate(server: Server) -> httpx.Response:
    return server.client.post("/eval", json={"input": "print(1)"})


def assert_refused(response: httpx.Response, reason: str) -> None:
    assert response.status_code == 503
    assert response.json()["description"] == f"the host is out of resources: {reason}"
    assert int(response.headers["retry-after"]) >= 1


def test_without_descriptors(own_server: Server) -> None:
    pid = own_server.process.pid
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    refused = 0
    for limit in range(8, 40):  # wherever in a run they end
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, usual[1]))
        response = evaluate(own_server)
        if response.status_code != 200:
            assert_refused(response, os.strerror(24))
            refused += 1
    assert refused > 5
    resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
    assert evaluate(own_server).json()["stdout"] == "1\n"


def test_without_processes(group: Path, own_server: Server) -> None:
    for pid in (own_server.process.pid, *descendants(own_server.process.pid)):
        (group / "cgroup.procs").write_text(str(pid))
    (group / "pids.max").write_text("0")
    evaluate(own_server)  # in the run that has been forked already
    assert_refused(evaluate(own_server), os.strerror(11))
    (group / "pids.max").write_text("max")
    assert evaluate(own_server).json()["stdout"] == "1\n"


def test_of_many_at_once_each_is_served_or_refused(own_server: Server) -> None:
    pid = own_server.process.pid
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (40, usual[1]))
    with ThreadPoolExecutor(8) as pool:
        statuses = {response.status_code for response in pool.map(lambda _: evaluate(own_server), range(200))}
    assert statuses <= {200, 503}
    resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
    assert evaluate(own_server).json()["stdout"] == "1\n"
