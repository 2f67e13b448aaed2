"""Memory where there are no cgroups: the server looks at it, ends runs above their limit, and says who enforces what."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from isolation.attacks import Prison
from serving import await_templates, running_server

WITHOUT_CGROUPS = (
    "unshare", "--mount", "sh", "-c", 'umount --recursive /sys/fs/cgroup; exec "$0" "$@"', sys.executable, "-m", "snekhouse",
)  # fmt: skip

pytestmark = [pytest.mark.own_server, pytest.mark.alone]


@pytest.fixture(scope="module", params=["fork", "cold"])
def watched(
    request: pytest.FixtureRequest, one_runtime: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prison]:
    """A runtime of a server that finds no cgroups: root hides them, others have none."""
    folder = tmp_path_factory.mktemp("watched")
    registry = folder / "runtimes.toml"
    mounts = 'mounts = [{ target = "/tmp", tmpfs = "60MiB" }, '
    runtimes = one_runtime.read_text().replace("mounts = [", mounts)
    registry.write_text(f'{runtimes}\n[defaults]\nstart = "{request.param}"\n')
    command = WITHOUT_CGROUPS if os.geteuid() == 0 else WITHOUT_CGROUPS[-3:]
    assert shutil.which(command[0])
    with running_server(registry, folder / "log", command=command) as server:
        if request.param == "fork":
            await_templates(server.client)
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
    assert answer["message"] == "more memory than 73400320 bytes (limits.memory): killed"
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
