"""Sessions for long: cells, kills, branches, expiry, reloads, and the end of the server by SIGKILL."""

import random
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from leftovers import descendants, held
from serving import PATIENCE, Server, await_fork_servers, running_server

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]

_SESSIONS, _CELLS, _CLIENTS = 200, 20_000, 8
_KEYS = "sessions = 250\nqueue = 500\nsession_idle = 30.0\n"


@dataclass
class _Kept:
    """A session, and what its answers have said: its number, and how many cells have increased the count."""

    id: str
    number: int
    count: int = 0


def _make(client: httpx.Client, number: int, outcomes: Counter[str]) -> _Kept | None:
    answer = client.post("/sessions", json={})
    outcomes[f"create {answer.status_code}"] += 1
    if answer.status_code != 201:
        assert answer.status_code == 503, answer.text
        return None
    session = _Kept(answer.json()["id"], number)
    found = _run(client, session, f"number, count = {number}, 0")
    return session if found else None


def _run(client: httpx.Client, session: _Kept, code: str, wall_time: float = 3.0) -> dict[str, object] | None:
    body = {"input": code, "limits": {"wall_time": wall_time}}
    answer = client.post(f"/sessions/{session.id}/eval", json=body)
    if answer.status_code in {410, 503}:
        return None
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _step(client: httpx.Client, session: _Kept, outcomes: Counter[str]) -> _Kept | None:
    """Do something with a session; return it, unless it has ended."""
    kind = random.choices(["count", "time", "crash", "memory", "branch", "end"], [80, 4, 5, 4, 5, 2])[0]
    if kind == "end":
        client.delete(f"/sessions/{session.id}")
        return None
    if kind == "branch":
        made = client.post(f"/sessions/{session.id}/branch")
        outcomes[f"branch {made.status_code}"] += 1
        if made.status_code == 201:
            branch = _Kept(made.json()["id"], session.number, session.count)
            _count(client, branch, outcomes)
            client.delete(f"/sessions/{branch.id}")
        return session
    if kind != "count":
        death = {"time": "while True: pass", "crash": "import os; os.abort()", "memory": "b = bytearray(200 << 20)"}[
            kind
        ]
        found = _run(client, session, f"count = -1\n{death}", 0.2)
        outcomes[f"{kind} {found['state'] if found else 'gone'}"] += 1
        if found:
            assert found["state"] == "rolled_back", found
        return session if found else None
    return _count(client, session, outcomes)


def _count(client: httpx.Client, session: _Kept, outcomes: Counter[str]) -> _Kept | None:
    found = _run(client, session, "count += 1\n(number, count)")
    outcomes[f"count {found['state'] if found else 'gone'}"] += 1
    if found is None:
        return None
    assert found["state"] == "kept", found
    session.count += 1
    assert found["result"] == {"text": f"({session.number}, {session.count})"}, found
    return session


def test_no_session_is_lost_or_answers_with_the_state_of_another(small: Path, tmp_path: Path, scale: float) -> None:
    small.write_text(small.read_text().replace("[server]\n", f"[server]\n{_KEYS}"))
    outcomes: Counter[str] = Counter()
    with running_server(small, tmp_path / "log") as server:
        await_fork_servers(server.client)
        before = _settled(server)
        steps = max(50, int(_CELLS * scale) // _CLIENTS)
        with ThreadPoolExecutor(_CLIENTS) as pool:
            for each in [pool.submit(_client, server, index, steps, outcomes) for index in range(_CLIENTS)]:
                each.result()
            small.write_text(f"{small.read_text()}\n[defaults]\nloopback = true\n")  # ends all that are left
            time.sleep(5)
        after = _settled(server)
        print(f"\n{dict(sorted(outcomes.items()))}\nbefore {_sizes(before)}, after {_sizes(after)}")
        assert server.client.post("/eval", json={"input": "print(1)"}).json()["stdout"] == "1\n"
        assert _sizes(after)["cgroups"] == _sizes(before)["cgroups"]
        assert _sizes(after)["descriptors"] <= _sizes(before)["descriptors"] + 2 * _CLIENTS
        for number in range(20):
            _make(server.client, number, outcomes)
        left = descendants(server.process.pid)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        deadline = time.monotonic() + 20
        while (alive := [pid for pid in left if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not alive


def _client(server: Server, index: int, steps: int, outcomes: Counter[str]) -> None:
    with httpx.Client(base_url=server.client.base_url, timeout=PATIENCE) as client:
        sessions: list[_Kept] = []
        for step in range(steps):
            if len(sessions) < _SESSIONS // _CLIENTS:
                made = _make(client, index * 1_000_000 + step, outcomes)
                sessions += [made] if made else []
                continue
            place = random.randrange(len(sessions))
            kept = _step(client, sessions[place], outcomes)
            sessions[place : place + 1] = [kept] if kept else []


def _settled(server: Server) -> dict[str, object]:
    time.sleep(2)
    return held(server)


def _sizes(found: dict[str, object]) -> dict[str, int]:
    return {name: value if isinstance(value, int) else len(value) for name, value in found.items()}  # type: ignore[arg-type]
