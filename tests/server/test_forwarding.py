"""Sessions of several workers: each request reaches the worker that holds its session."""

import http.client
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving import PATIENCE, Server, running_server

pytestmark = pytest.mark.alone

UIDS = (1_900_400_000, 1_900_400_999)
"""Host ids that only runs of these tests have."""

SESSIONS = 10


@pytest.fixture(scope="module")
def crowd(one_runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of four workers that keeps ten sessions."""
    folder = tmp_path_factory.mktemp("crowd")
    settings = f"[server]\nworkers = 4\nconcurrency = 4\nuids = {list(UIDS)}\nsessions = {SESSIONS}\nhttp2 = true\n"
    registry = folder / "runtimes.toml"
    registry.write_text(one_runtime.read_text().replace("[server]\n", settings))
    with running_server(registry, folder / "log") as server:
        yield server


def ask(server: Server, method: str, path: str, **options: Any) -> httpx.Response:
    """Send a request over a connection of its own, so that any worker may get it."""
    with httpx.Client(base_url=server.client.base_url, timeout=PATIENCE) as client:
        return client.request(method, path, **options)


def opened(server: Server) -> str:
    answer = ask(server, "POST", "/sessions", json={})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def run(server: Server, session: str, code: str) -> dict[str, Any]:
    answer = ask(server, "POST", f"/sessions/{session}/eval", json={"input": code})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.fixture
def session(crowd: Server) -> Iterator[str]:
    """A session, which ends with the test."""
    made = opened(crowd)
    yield made
    ask(crowd, "DELETE", f"/sessions/{made}")


def test_a_session_answers_on_every_connection(crowd: Server, session: str) -> None:
    run(crowd, session, "x = 0")
    for number in range(1, 30):
        answer = run(crowd, session, "x += 1\nx")
        assert (answer["result"], answer["execution_count"]) == ({"text": str(number)}, number + 1)


def test_a_body_of_http2_without_a_length_arrives(crowd: Server, session: str) -> None:
    for number in range(8):  # over connections of their own, which the workers share among themselves
        content = [b"a" * 1000, str(number).encode()]
        with httpx.Client(base_url=crowd.client.base_url, timeout=PATIENCE, http1=False, http2=True) as client:
            answer = client.put(f"/sessions/{session}/files/x", content=iter(content))
        assert (answer.http_version, answer.status_code) == ("HTTP/2", 204), answer.text
        assert ask(crowd, "GET", f"/sessions/{session}/files/x").content == b"".join(content)


def test_all_sessions_that_the_registry_allows_can_be_opened_on_any_connection(crowd: Server) -> None:
    made = [opened(crowd) for _ in range(SESSIONS)]
    try:
        holders = Counter(name.partition("-")[0] for name in made)
        assert sorted(holders.values()) == [2, 2, 3, 3]
        refused = ask(crowd, "POST", "/sessions", json={})
        assert refused.status_code == 503
        assert "sessions" in refused.json()["description"]
        for number, name in enumerate(made):
            run(crowd, name, f"x = {number}")
        assert [run(crowd, name, "x")["result"]["text"] for name in made] == list(map(str, range(SESSIONS)))
    finally:
        for name in made:
            assert ask(crowd, "DELETE", f"/sessions/{name}").status_code == 204
    for name in made:
        assert ask(crowd, "GET", f"/sessions/{name}").status_code == 410


def test_files_pass_through_in_both_directions(crowd: Server, session: str) -> None:
    content = os.urandom(20 << 20)
    for _ in range(4):
        assert ask(crowd, "PUT", f"/sessions/{session}/files/a%20b", content=content).status_code == 204
        answer = ask(crowd, "GET", f"/sessions/{session}/files/a%20b", headers={"Range": "bytes=5-"})
        assert (answer.status_code, answer.content == content[5:]) == (206, True)
        pieces = (content[start : start + 100_000] for start in range(0, 1_000_000, 100_000))  # chunked
        assert ask(crowd, "PUT", f"/sessions/{session}/files/c", content=pieces).status_code == 204
        assert ask(crowd, "GET", f"/sessions/{session}/files/c").content == content[:1_000_000]


def test_errors_pass_through(crowd: Server, session: str) -> None:
    for _ in range(8):
        answer = ask(crowd, "POST", f"/sessions/{session}/eval", content=b"{")
        assert (answer.status_code, answer.json()["title"]) == (400, "Invalid JSON")
        assert ask(crowd, "GET", f"/sessions/{session}/nothing").status_code == 404
        assert ask(crowd, "GET", "/sessions/nonsense").status_code == 404
        assert ask(crowd, "GET", "/sessions/99-abcdef.nonsense").status_code == 410
    for _ in range(2):
        assert ask(crowd, "PUT", f"/sessions/{session}/files/a", content=bytes(65 << 20)).status_code == 413


def test_an_interrupt_reaches_the_cell_and_a_client_that_leaves_ends_it(crowd: Server, session: str) -> None:
    answers: list[dict[str, Any]] = []
    for _ in range(4):
        running = threading.Thread(target=lambda: answers.append(run(crowd, session, "import time\ntime.sleep(5)")))
        running.start()
        while running.is_alive():
            time.sleep(0.1)
            ask(crowd, "POST", f"/sessions/{session}/interrupt")
        running.join()
        assert answers.pop()["error"]["name"] == "KeyboardInterrupt"
        with (
            httpx.Client(base_url=crowd.client.base_url, timeout=0.5) as impatient,
            pytest.raises(httpx.ReadTimeout),
        ):
            impatient.post(f"/sessions/{session}/eval", json={"input": "while True: pass"})
        begin = time.monotonic()
        run(crowd, session, "1")
        assert time.monotonic() - begin < 3, "the cell of the client that left still ran"


def test_sessions_of_a_killed_worker_are_gone_and_the_others_stay(crowd: Server) -> None:
    made = [opened(crowd) for _ in range(SESSIONS)]
    children = Path(f"/proc/{crowd.process.pid}/task/{crowd.process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    codes = Counter[int]()
    while time.monotonic() < deadline and (410 not in codes or 503 in codes):  # 503 while it restarts
        time.sleep(0.5)
        codes = Counter(ask(crowd, "GET", f"/sessions/{name}").status_code for name in made)
    assert set(codes) == {200, 410}
    assert codes[410] in {2, 3}
    gone = next(name for name in made if ask(crowd, "GET", f"/sessions/{name}").status_code == 410)
    assert "its worker has restarted" in ask(crowd, "GET", f"/sessions/{gone}").json()["description"]
    for name in made:
        ask(crowd, "DELETE", f"/sessions/{name}")


def test_cells_finish_when_the_server_drains(one_runtime: Path, tmp_path: Path) -> None:
    registry = tmp_path / "runtimes.toml"
    settings = f"[server]\nworkers = 4\nconcurrency = 4\nuids = {list(UIDS)}\nsessions = 4\ndrain = 20.0\n"
    registry.write_text(one_runtime.read_text().replace("[server]\n", settings))
    with running_server(registry, tmp_path / "log") as server:
        made = [opened(server) for _ in range(4)]
        answers: list[dict[str, Any]] = []
        code = "import time\ntime.sleep(2)\n'finished'"
        threads = [threading.Thread(target=lambda name=name: answers.append(run(server, name, code))) for name in made]
        for each in threads:
            each.start()
        time.sleep(1)
        server.process.send_signal(signal.SIGTERM)
        for each in threads:
            each.join()
        assert [answer["result"] for answer in answers] == [{"text": "'finished'"}] * 4


def test_paths_pass_through_as_they_are(crowd: Server, session: str) -> None:
    url = crowd.client.base_url
    for _ in range(8):
        connection = http.client.HTTPConnection(url.host, url.port, timeout=PATIENCE)
        connection.request("DELETE", f"/sessions/{session}/files/..")
        answer = connection.getresponse()
        assert answer.status == 400, answer.read()
        connection.close()
    assert run(crowd, session, "1")["result"] == {"text": "1"}


def test_no_log_has_the_id_of_a_session(one_runtime: Path, tmp_path: Path) -> None:
    registry = tmp_path / "runtimes.toml"
    settings = f"[server]\nworkers = 4\nconcurrency = 4\nuids = {list(UIDS)}\nsessions = 4\n"
    registry.write_text(one_runtime.read_text().replace("[server]\n", settings))
    with running_server(registry, tmp_path / "log") as server:
        name = opened(server)
        for _ in range(8):
            run(server, name, "1")
            ask(server, "GET", f"/sessions//{name}")
    log = (tmp_path / "log").read_text()
    assert "/sessions/.../eval" in log
    assert name not in log


def test_a_worker_counts_the_address_of_a_client_that_another_passes_on(one_runtime: Path, tmp_path: Path) -> None:
    settings = f"[server]\nworkers = 2\nconcurrency = 2\nuids = {list(UIDS)}\nsessions = 4\nsessions_per_address = 1\n"
    (tmp_path / "runtimes.toml").write_text(one_runtime.read_text().replace("[server]\n", settings))
    with running_server(tmp_path / "runtimes.toml", tmp_path / "log") as server, ExitStack() as held:
        url = str(server.client.base_url)
        client = held.enter_context(httpx.Client(base_url=url, timeout=PATIENCE))  # one connection, so one worker
        first = client.post("/sessions", json={}).json()["id"]
        for number in range(2, 200):
            other = httpx.HTTPTransport(local_address=f"127.0.0.{number}")
            neighbour = held.enter_context(httpx.Client(base_url=url, transport=other, timeout=PATIENCE))
            found = neighbour.post("/sessions", json={}).json()["id"]
            if found[0] == first[0]:
                break  # now this worker is full
            neighbour.delete(f"/sessions/{found}")
        passed_on = client.post("/sessions", json={}, headers={"x-snekhouse-client": "forged"})
        assert passed_on.json()["id"][0] != first[0]
        again = client.post("/sessions", json={}, headers={"x-snekhouse-client": "forged"})
        assert again.status_code == 503
        assert "your address may have at most 1 sessions at once" in again.json()["description"]
