"""Memory where there are no cgroups: the server looks at it, ends runs above their limit, and says who enforces what."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from isolation.attacks import Prison
from serving import server_of

ALL = "umount --recursive /sys/fs/cgroup"
MEMORY = f"umount /sys/fs/cgroup/memory || {ALL}"
"""How to hide all cgroups, and that of memory alone, which only v1 has apart."""


def without_cgroups(hide: str) -> tuple[str, ...]:
    """Write the command for a server that finds some cgroups less: root hides them, others have none."""
    server = (sys.executable, "-m", "snekhouse")
    return ("unshare", "--mount", "sh", "-c", f'{hide}; exec "$0" "$@"', *server) if os.geteuid() == 0 else server


pytestmark = [pytest.mark.own_server, pytest.mark.alone]


@pytest.fixture(scope="module", params=["fork", "cold"])
def watched(
    request: pytest.FixtureRequest, one_runtime: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prison]:
    """A runtime of a server that finds no cgroups."""
    mounts = 'mounts = [{ target = "/tmp", tmpfs = "60MiB" }, '
    runtimes = one_runtime.read_text().replace("mounts = [", mounts)
    text = f'{runtimes}\n[defaults]\nstart = "{request.param}"\n'
    with server_of(text, tmp_path_factory.mktemp("watched"), request.param, without_cgroups(ALL)) as server:
        yield Prison(server.client, "only")


SLEEP = "\nimport time; time.sleep(5)"
TOO_MUCH = {
    "one process": "x = b'x' * (200 << 20)" + SLEEP,
    "many small objects": "x = []\nwhile True: x.append(object())",
    "several processes": (
        "import os\nfor _ in range(5):\n  if not os.fork():\n    x = b'x' * (20 << 20)\n    break" + SLEEP
    ),
    "processes that another process left": (
        "import os\nfor _ in range(5):\n  if not os.fork():\n    if os.fork(): os._exit(0)\n"
        "    os.setsid(); x = b'x' * (20 << 20)\n    break" + SLEEP
    ),
    "a child of a thread": (
        "import os, threading\ndef grow():\n  if not os.fork():\n    x = b'x' * (100 << 20)" + SLEEP.replace("\n", "\n    ")
        + "\nthreading.Thread(target=grow).start()" + SLEEP
    ),
    "files": "open('x', 'wb').write(bytes(40 << 20)); open('/dev/shm/x', 'wb').write(bytes(38 << 20))" + SLEEP,
    "files of another folder": "open('/tmp/x', 'wb').write(bytes(58 << 20)); x = b'x' * (20 << 20)" + SLEEP,
    "a file that has no name any more": (
        "import os\nf = open('x', 'wb'); os.remove('x'); f.write(bytes(40 << 20)); f.flush()\nx = b'x' * (40 << 20)" + SLEEP
    ),
    "memory that processes share": (
        "import mmap\nm = mmap.mmap(-1, 100 << 20)\nfor n in range(0, 100 << 20, 4096): m[n] = 1" + SLEEP
    ),
}  # fmt: skip


@pytest.mark.parametrize("program", TOO_MUCH.values(), ids=TOO_MUCH.keys())
def test_a_run_above_its_memory_is_ended(watched: Prison, program: str) -> None:
    answer = watched.run(program)
    assert (answer["status"], answer["returncode"]) == ("out_of_memory", 137), answer
    assert answer["message"] == "more than 73400320 bytes of memory (limits.memory): killed"
    assert answer["usage"]["wall_time"] < 4


WITHIN = {
    "one process": "x = b'x' * (45 << 20)",
    "processes that share what the first one has": "import os\nx = b'x' * (40 << 20)\nfor _ in range(2): os.fork()",
    "a file that is mapped": (
        "import mmap\nf = open('x', 'w+b'); f.truncate(40 << 20); m = mmap.mmap(f.fileno(), 40 << 20)\n"
        "for n in range(0, 40 << 20, 4096): m[n] = 1"
    ),
    "address space": "import mmap\nm = mmap.mmap(-1, 400 << 20)",
}


@pytest.mark.parametrize("program", WITHIN.values(), ids=WITHIN.keys())
def test_a_run_within_its_memory_is_not(watched: Prison, program: str) -> None:
    answer = watched.run(program + "\nimport time; time.sleep(0.1)")
    assert answer["status"] == "ok", answer


@pytest.mark.parametrize("start", ["fork", "cold"])
def test_where_only_the_cgroup_of_memory_is_missing_files_that_nobody_counts_are_refused(
    start: str, one_runtime: Path, tmp_path: Path
) -> None:
    text = f'{one_runtime.read_text()}\n[defaults]\nstart = "{start}"\n'
    with server_of(text, tmp_path, start, without_cgroups(MEMORY)) as server:
        answer = Prison(server.client, "only").run("import os\nos.write(os.memfd_create('x'), bytes(200 << 20))")
    assert answer["limits"]["enforced_by"]["memory"] == "server"
    assert answer["error"]["name"] == "OSError", answer
    assert "Function not implemented" in answer["error"]["value"]


def test_a_lower_limit_of_a_request_holds(watched: Prison) -> None:
    limits = {"memory": 30 << 20}
    assert watched.run("x = b'x' * (15 << 20)", limits=limits)["status"] == "ok"
    assert watched.run("x = b'x' * (45 << 20)" + SLEEP, limits=limits)["status"] == "out_of_memory"


def test_the_answer_says_who_enforces_each_limit(watched: Prison) -> None:
    limits = watched.run("pass")["limits"]
    assert limits["memory"] == 70 << 20
    assert limits["cpus"] is None
    assert limits["enforced_by"] == {
        "wall_time": "server", "memory": "server", "address_space": "kernel", "processes": "kernel", "cpus": None,
        "output": "server",
    }  # fmt: skip
    (listed,) = watched.client.get("/runtimes").json()["runtimes"]
    assert listed["limits"] == limits


def test_with_cgroups_the_kernel_enforces_them(prison: Prison) -> None:
    limits = prison.run("pass")["limits"]
    assert limits["cpus"] == 1.0
    assert {limits["enforced_by"][name] for name in ("memory", "processes", "cpus")} == {"kernel"}
