"""A thousand evaluations of every kind leave nothing behind."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from leftovers import held
from serving import Server, running_server

pytestmark = pytest.mark.alone

EVALUATIONS = 1000

KINDS: tuple[dict[str, Any], ...] = (
    {"input": "print(1)"},
    {"input": "1/0"},
    {"input": "open('x', 'w').write('y')", "files": [{"path": "a/b", "content": "eA=="}]},
    {"input": "import os; os.abort()"},
    {"input": "while True: print('x' * 9999)"},
    {"input": "while True: pass", "limits": {"wall_time": 0.05}},
    {"input": "x = b'x' * (200 << 20)"},
    {"input": "import os, time\nif not os.fork():\n  os.setsid()\n  time.sleep(60)"},
    {"input": "import sys; print(1, file=sys.stderr)", "separate_stderr": True, "stdin": "x"},
    {"input": "", "files": [{"path": "d/x"}, {"path": "d"}]},
    {"args": ["-V"]},
    {"input": "\0"},
)


@pytest.fixture
def state() -> Iterator[Path]:
    """A folder for the server's state and temporary files, which jails may pass through."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.timeout(300)
def test_a_thousand_evaluations_leave_nothing_behind(
    registry_path: Path, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "runtimes.toml"
    own.write_text(registry_path.read_text().replace("[server]", f'[server]\nstate = "{state}"', 1))
    monkeypatch.setenv("TMPDIR", str(state))
    with running_server(own, tmp_path / "log") as server:
        evaluate_all(server, 4 * len(KINDS))  # threads and connections that stay are there from now on
        before = held(server)
        evaluate_all(server, EVALUATIONS)
        after = held(server)
    assert after == before
    assert [path.name for path in state.iterdir()] == ["lock"]  # of nobody: servers take turns by it


def evaluate_all(server: Server, count: int) -> None:
    with ThreadPoolExecutor(4) as pool, httpx.Client(base_url=server.client.base_url, timeout=60) as client:

        def evaluate(number: int) -> int:
            return client.post("/eval", json=KINDS[number % len(KINDS)]).status_code

        assert set(pool.map(evaluate, range(count))) == {200}
