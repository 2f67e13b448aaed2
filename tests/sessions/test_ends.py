"""How sessions end, and what is left of them."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from conftest import SESSIONS
from leftovers import descendants, held
from serving import PATIENCE, SLOWNESS, Server, await_fork_servers, running_server
from sessions.conftest import Session, open_session

_KEYS = "session_idle = {idle}\nsession_age = {age}\n"


def _registry(small: Path, *, idle: float = 600, age: float = 86400, sessions: int = 3) -> Path:
    keys = f"sessions = {sessions}\n{_KEYS.format(idle=float(idle), age=float(age))}"
    small.write_text(small.read_text().replace("[server]\n", f"[server]\n{keys}"))
    return small


@pytest.fixture
def own(small: Path, tmp_path: Path) -> Iterator[Server]:
    """A server with three sessions."""
    with running_server(_registry(small), tmp_path / "log") as server:
        await_fork_servers(server.client)
        yield server


def test_a_server_makes_no_sessions_unless_the_registry_allows_them(small: Path, tmp_path: Path) -> None:
    with running_server(small, tmp_path / "log") as server:
        answer = server.client.post("/sessions", json={})
    assert answer.status_code == 503
    assert (
        "this server keeps no sessions; the operator can allow more with sessions in [server]"
        in answer.json()["description"]
    )


def test_there_is_a_limit_of_sessions(own: Server) -> None:
    made = [open_session(own.client) for _ in range(3)]
    answer = own.client.post("/sessions", json={})
    assert answer.status_code == 503
    assert "all 3 sessions of this server are in use; one ends after 600 s without use" in answer.json()["description"]
    assert answer.headers["Retry-After"] == "60"
    assert own.client.post(f"/sessions/{made[0].id}/branch").status_code == 503
    made[0].end()
    assert open_session(own.client).value("1") == "1"


def test_one_address_may_have_only_its_part_of_the_sessions(small: Path, tmp_path: Path) -> None:
    _registry(small)
    small.write_text(small.read_text().replace("[server]\n", "[server]\nsessions_per_address = 2\n"))
    with running_server(small, tmp_path / "log") as server:
        session = open_session(server.client)
        branch = session.branch()
        for path in ("/sessions", f"/sessions/{session.id}/branch"):
            answer = server.client.post(path, json={})
            assert answer.status_code == 503
            assert "your address may have at most 2 sessions at once" in answer.json()["description"]
        other = httpx.HTTPTransport(local_address="127.0.0.2")
        with httpx.Client(base_url=server.client.base_url, transport=other, timeout=PATIENCE) as neighbour:
            assert open_session(neighbour).value("1") == "1"
        branch.end()
        assert open_session(server.client).value("1") == "1"


def test_unknown_and_ended_sessions_are_told_apart(own: Server) -> None:
    assert own.client.get("/sessions/nonsense").status_code == 404
    assert own.client.post("/sessions/nonsense/eval", json={"input": "1"}).status_code == 404
    session = open_session(own.client)
    session.end()
    answer = own.client.post(f"/sessions/{session.id}/eval", json={"input": "1"})
    assert (answer.status_code, answer.json()["description"]) == (410, "the session was deleted")
    assert own.client.delete(f"/sessions/{session.id}").status_code == 410


@pytest.mark.alone
def test_an_ended_session_leaves_nothing(own: Server) -> None:
    def cycle() -> None:
        session = open_session(own.client)
        branch = session.branch()
        branch.run("import os\nif os.fork() == 0:\n    import time; time.sleep(60)")
        session.run("while True: pass", limits={"wall_time": 0.2})
        session.end()
        branch.end()

    cycle()
    time.sleep(1)
    before = held(own)
    for _ in range(5):
        cycle()
    deadline = time.monotonic() + 10 * SLOWNESS
    while held(own) != before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert held(own) == before


@pytest.mark.alone
def test_idle_and_old_sessions_end(small: Path, tmp_path: Path) -> None:
    with running_server(_registry(small, idle=1, age=3), tmp_path / "log") as server:
        idle, used = open_session(server.client), open_session(server.client)
        for _ in range(4):
            time.sleep(0.5)
            used.run("1")
        answer = idle.show()
        assert (answer.status_code, answer.json()["description"]) == (
            410,
            "the session was idle for 1 s (session_idle)",
        )
        deadline = time.monotonic() + 5
        while used.show().status_code == 200 and time.monotonic() < deadline:
            server.client.post(f"/sessions/{used.id}/eval", json={"input": "1"})
        assert used.show().json()["description"] == "the session was older than 3 s (session_age)"


def _with(small: Path, keys: str) -> Path:
    small.write_text(small.read_text().replace("[server]\n", f"[server]\nsessions = 6\n{keys}\n"))
    return small


def test_a_session_keeps_as_many_checkpoints_as_the_registry_says(small: Path, tmp_path: Path) -> None:
    with running_server(_with(small, "checkpoints = 3"), tmp_path / "log") as server:
        session = open_session(server.client)
        for number in range(6):
            session.run(f"x = {number}")
        assert session.show().json()["checkpoints"] == 3
        session.run("x = 'lost'; 1 / 0 ; ")
        assert session.run("while True: pass", limits={"wall_time": 0.3})["state"] == "rolled_back"
        for expected in ("5", "4", "3"):
            assert server.client.post(f"/sessions/{session.id}/rollback").status_code == 200
            assert session.branch().value("x") == expected
        assert server.client.post(f"/sessions/{session.id}/rollback").status_code == 400
        assert session.value("x") == "3"


def test_without_checkpoints_killed_cells_are_still_rolled_back(small: Path, tmp_path: Path) -> None:
    with running_server(_with(small, "checkpoints = 0"), tmp_path / "log") as server:
        session = open_session(server.client)
        session.run("x = 1")
        session.run("x = 2")
        assert session.run("x = 3; import os; os._exit(7)")["returncode"] == 7
        assert session.value("x") == "2"
        assert server.client.post(f"/sessions/{session.id}/rollback").status_code == 400


BIG = "import os; x = os.urandom(1) * (24 << 20)"


def test_the_longest_idle_session_ends_when_all_have_too_much_memory(small: Path, tmp_path: Path) -> None:
    with running_server(_with(small, 'session_memory = "64MiB"'), tmp_path / "log") as server:
        first, second = open_session(server.client), open_session(server.client)
        first.run(BIG)
        second.run(BIG)
        branch = second.branch()
        first.run("x = 1")  # now the second and its branch are idle for the longest time
        first.run(BIG)
        third = open_session(server.client)
        third.run(BIG)
        for ended in (second, branch):
            deadline = time.monotonic() + PATIENCE
            while (answer := ended.show()).status_code == 200 and time.monotonic() < deadline:
                time.sleep(0.05)
            assert answer.json()["description"] == (
                "all sessions together had more than 67108864 bytes (session_memory)"
            )
        assert first.value("len(x)") == third.value("len(x)") == str(24 << 20)
        metrics = server.client.get("/metrics").text
        (told,) = (line for line in metrics.splitlines() if line.startswith("snekhouse_sessions_memory_bytes "))
        assert 40 << 20 < float(told.split()[1]) < 64 << 20


def test_memory_that_grows_while_no_cell_runs_is_seen(small: Path, tmp_path: Path) -> None:
    with running_server(_with(small, 'session_memory = "40MiB"'), tmp_path / "log") as server:
        quiet, growing = open_session(server.client), open_session(server.client)
        growing.run(
            "import os, time\nif os.fork() == 0:\n    time.sleep(0.5)\n    x = bytearray(60 << 20)\n    time.sleep(60)"
        )
        deadline = time.monotonic() + PATIENCE
        while quiet.show().status_code == 200 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert "session_memory" in quiet.show().json()["description"]


def test_a_reload_that_changes_the_runtime_ends_its_sessions(own: Server, small: Path) -> None:
    session = open_session(own.client)
    small.write_text(f"{small.read_text()}\n[defaults]\nloopback = true\n")
    deadline = time.monotonic() + PATIENCE
    while (answer := session.show()).status_code == 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert answer.json()["description"] == "the runtime of the session was prepared again"
    assert open_session(own.client).value("1") == "1"


def test_a_reload_that_changes_nothing_of_the_runtime_keeps_its_sessions(own: Server, small: Path) -> None:
    session = open_session(own.client)
    session.run("x = 1")
    small.write_text(small.read_text().replace("sessions = 3", "sessions = 5"))
    time.sleep(2)
    assert session.value("x") == "1"


def _end_in_a_cell(server: Server, session: Session) -> httpx.Response:
    """End a session while a cell runs; return the answer to the cell."""
    with ThreadPoolExecutor() as pool, httpx.Client(base_url=server.client.base_url, timeout=PATIENCE) as other:
        cell = pool.submit(other.post, f"/sessions/{session.id}/eval", json={"input": "import time; time.sleep(5)"})
        time.sleep(0.5)
        session.end()
        return cell.result()


def test_deleting_a_session_ends_the_cell_that_runs(own: Server) -> None:
    begin = time.monotonic()
    answer = _end_in_a_cell(own, open_session(own.client))
    assert (answer.status_code, answer.json()["description"]) == (410, "the session was deleted")
    assert time.monotonic() - begin < 3 * SLOWNESS
    assert own.client.post("/eval", json={"input": "print(1)"}).json()["stdout"] == "1\n"


def test_a_client_that_goes_away_rolls_its_cell_back(own: Server) -> None:
    session = open_session(own.client)
    session.run("x = 1")
    with httpx.Client(base_url=own.client.base_url, timeout=0.5) as impatient, pytest.raises(httpx.ReadTimeout):
        Session(impatient, session.id).run("x = 2\nwhile True: pass")
    assert session.value("x") == "1"
    assert session.show().json()["execution_count"] == 2


@pytest.mark.alone
def test_the_end_of_the_server_ends_all_sessions(small: Path, tmp_path: Path) -> None:
    with running_server(_registry(small), tmp_path / "log") as server:
        sessions = [open_session(server.client) for _ in range(3)]
        sessions[0].run("import os\nif os.fork() == 0:\n    import time; time.sleep(60)")
        before = descendants(server.process.pid)
    deadline = time.monotonic() + 10
    while (left := [pid for pid in before if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(before) > len(sessions)
    assert not left


@pytest.mark.alone
def test_evaluations_go_on_beside_many_idle_sessions(session_server: Server) -> None:
    made = [open_session(session_server.client) for _ in range(SESSIONS // 2)]
    for session in made:
        session.run(
            "import os\nif os.fork() == 0:\n    while True: pass"
        )  # it uses all the CPU time that an idle session may use
    begin = time.monotonic()
    for _ in range(10):
        assert session_server.client.post("/eval", json={"input": "print(1)"}).json()["stdout"] == "1\n"
    assert time.monotonic() - begin < 10 * SLOWNESS
    for session in made:
        session.end()


def _descriptors(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


@pytest.mark.alone
def test_sessions_that_end_by_exit_or_in_a_cell_leave_no_descriptors(own: Server) -> None:
    def cycle() -> None:
        open_session(own.client).run("exit()")
        session = open_session(own.client)
        branch = session.branch()
        assert _end_in_a_cell(own, session).status_code == 410
        assert branch.value("1") == "1"
        branch.end()

    cycle()
    time.sleep(1)
    before = _descriptors(own)
    for _ in range(5):
        cycle()
    deadline = time.monotonic() + 5 * SLOWNESS
    while _descriptors(own) > before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _descriptors(own) <= before


@pytest.mark.parametrize("end", ["time", "delete"])
def test_a_process_name_that_is_not_text_hurts_nobody(own: Server, end: str) -> None:
    session = open_session(own.client)
    session.run("import ctypes; ctypes.CDLL(None).prctl(15, bytes([255, 254]), 0, 0, 0)")
    if end == "time":
        answer = session.run("while True: pass", limits={"wall_time": 0.3})
        assert (answer["status"], answer["state"]) == ("timeout", "rolled_back")
    session.end()
    assert own.client.post("/eval", json={"input": "print(1)"}).json()["stdout"] == "1\n"
    assert open_session(own.client).value("1") == "1"


def test_an_interrupt_after_a_client_has_gone_does_nothing(own: Server) -> None:
    session = open_session(own.client)
    for _ in range(3):
        with httpx.Client(base_url=own.client.base_url, timeout=0.3) as impatient, pytest.raises(httpx.ReadTimeout):
            Session(impatient, session.id).run("while True: pass")
        assert own.client.post(f"/sessions/{session.id}/interrupt").status_code == 204
    assert session.value("1") == "1"


def test_deleting_a_session_in_a_cell_leaves_its_branch(own: Server) -> None:
    session = open_session(own.client)
    session.run("import threading; go = threading.Event(); x = 1")
    branch = session.branch()
    session.run("t = threading.Thread(target=go.wait, daemon=True); t.start()")
    assert _end_in_a_cell(own, session).status_code == 410
    assert branch.value("x") == "1"


@pytest.mark.alone
def test_only_so_many_requests_wait_for_a_session(own: Server) -> None:
    session = open_session(own.client)
    with ThreadPoolExecutor(20) as pool, httpx.Client(base_url=own.client.base_url, timeout=PATIENCE) as other:
        url, body = f"/sessions/{session.id}/eval", {"input": "import time; time.sleep(0.5)"}
        codes = [each.result().status_code for each in [pool.submit(other.post, url, json=body) for _ in range(20)]]
    assert sorted(set(codes)) == [200, 503]
    assert session.value("1") == "1"


@pytest.mark.alone
def test_more_sessions_than_a_program_may_open_files(small: Path, tmp_path: Path) -> None:
    """A fork server has a descriptor for each fork, and `limits.open_files` is 256."""
    with running_server(_registry(small, sessions=300), tmp_path / "log") as server:
        await_fork_servers(server.client)
        made = [open_session(server.client) for _ in range(280)]
        assert made[0].value("import resource; resource.getrlimit(resource.RLIMIT_NOFILE)") == "(256, 256)"
        assert server.client.post("/eval", json={"input": "print(1)"}).json()["stdout"] == "1\n"
        assert server.client.get("/runtimes").json()["runtimes"][0]["start"] == "fork"
        for session in made:
            session.end()


def test_the_log_has_no_ids_of_sessions(own: Server) -> None:
    session = open_session(own.client)
    session.run("1")
    session.end()
    own.client.get(f"/%73essions/{session.id}")
    own.client.get(f"/sessions%2F{session.id}")
    assert session.id not in own.log.read_text()
    assert "/sessions/.../eval" in own.log.read_text()


def test_a_session_without_enough_memory_is_refused_with_the_limit(own: Server) -> None:
    answer = own.client.post("/sessions", json={"limits": {"memory": 100_000}})
    assert answer.status_code == 400
    assert answer.json()["description"].startswith("limits.memory: 100000 bytes are not enough for a session")


def test_a_page_of_another_origin_may_end_a_session(small: Path, tmp_path: Path) -> None:
    registry = _registry(small)
    registry.write_text(registry.read_text().replace("[server]\n", '[server]\norigins = ["https://page.example"]\n'))
    with running_server(registry, tmp_path / "log") as server:
        headers = {"Origin": "https://page.example", "Access-Control-Request-Method": "DELETE"}
        answer = server.client.options("/sessions/x", headers=headers)
        assert answer.status_code == 200
        assert "DELETE" in answer.headers["access-control-allow-methods"]
