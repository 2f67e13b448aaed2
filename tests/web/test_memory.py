"""What the server itself holds in memory while large bodies pass through it."""

import base64
import os
from pathlib import Path

import httpx
import pytest

from serving import Server

pytestmark = pytest.mark.alone


class Memory:
    """Resident memory of a process, in bytes (proc_pid_status(5), proc_pid_clear_refs(5))."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        (self._folder / "clear_refs").write_text("5")
        self._idle = self._read("VmRSS")

    def growth(self) -> int:
        """By how much it grew at most since the beginning."""
        return self._read("VmHWM") - self._idle

    def _read(self, key: str) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024


@pytest.fixture
def memory(server: Server) -> Memory:
    """The server's memory, idle."""
    server.client.post("/eval", json={"input": ""})
    return Memory(server.process.pid)


BLOB = os.urandom(40 << 20)
PROGRAM = "import sys\nwith open('blob', 'r+b') as blob: blob.write(b'+')\nprint(len(sys.argv[1]))"


def test_40_mib_of_files_in_and_out_with_8_mb_of_input_take_less_than_3_times_the_body(
    client: httpx.Client, memory: Memory
) -> None:
    files = [{"path": "blob", "content": base64.b64encode(BLOB).decode()}]
    body = {"args": ["-c", PROGRAM], "input": "x" * 8_000_000, "files": files}
    response = client.post("/eval", json=body)
    assert response.json()["status"] == "ok", response.json()["message"]
    assert response.json()["stdout"] == "8000000\n"
    (file,) = response.json()["files"]
    assert base64.b64decode(file["content"]) == b"+" + BLOB[1:]
    assert file["size"] == len(BLOB)
    assert memory.growth() < 3 * len(response.request.content)


def test_40_mib_of_files_out_take_less_than_3_times_their_answer(client: httpx.Client, memory: Memory) -> None:
    program = "for n in range(40):\n  with open(f'{n:02}', 'wb') as file: file.write(bytes([n]) * (1 << 20))"
    response = client.post("/eval", json={"input": program})
    files = response.json()["files"]
    assert [base64.b64decode(file["content"]) for file in files] == [bytes([n]) * (1 << 20) for n in range(40)]
    assert memory.growth() < 3 * len(response.content)
