"""What a program leaves running, or open, when it ends: nothing of it is there when its answer is."""

import time

import pytest

from isolation.attacks import Prison
from leftovers import held
from serving import Server

pytestmark = pytest.mark.alone

FORK = "import os, signal, time\nif os.fork(): {parent}\nelse: {child}"
WAIT = "time.sleep(0.2)"
FOREVER = "time.sleep(60)"

LEAVES = {
    "a child": FORK.format(parent=WAIT, child=FOREVER),
    "an orphan": "import os, time\nif not os.fork():\n  if not os.fork(): time.sleep(60)\n  os._exit(0)\ntime.sleep(0.2)",
    "a daemon": "import os, time\nif not os.fork():\n  os.setsid()\n  if not os.fork(): time.sleep(60)\n  os._exit(0)\ntime.sleep(0.2)",
    "a daemon without descriptors": (
        "import os, time\nif not os.fork():\n  os.setsid(); os.closerange(0, 256)\n  if not os.fork(): time.sleep(60)\n"
        "  os._exit(0)\ntime.sleep(0.2)"
    ),
    "a stopped child": FORK.format(parent=WAIT, child="os.kill(os.getpid(), signal.SIGSTOP)"),
    "one that ignores SIGTERM": FORK.format(
        parent=WAIT,
        child="[signal.signal(s, signal.SIG_IGN) for s in range(1, 32) if s not in (9, 19)]; time.sleep(60)",
    ),
    "one that holds the output": FORK.format(parent=WAIT, child="os.dup(1); os.dup(2); time.sleep(60)"),
    "one that keeps on forking": (
        "import os, time\nif not os.fork():\n  end = time.time() + 60\n  while time.time() < end:\n"
        "    try:\n      if os.fork(): os._exit(0)\n    except OSError: pass\ntime.sleep(0.2)"
    ),
    "a thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    "a traced-looking child": FORK.format(
        parent="os.kill(os.getpid(), signal.SIGKILL) or time.sleep(0.2)", child=FOREVER
    ),
    "a child of an abort": FORK.format(parent="time.sleep(0.1) or os.abort()", child=FOREVER),
    "open files without names": "import os\nheld = [os.open('/dev/shm', os.O_TMPFILE | os.O_RDWR) for _ in range(99)]",
    "a mapped file": "import mmap\nf = open('x', 'w+b'); f.truncate(1 << 20); m = mmap.mmap(f.fileno(), 0); m[:] = b'x' * (1 << 20)",
    "a queue of signals": (
        "import os, signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [40])\nfor _ in range(999): os.kill(os.getpid(), 40)"
    ),
    "descriptors in flight": (
        "import socket\na, b = socket.socketpair()\nfor _ in range(50): socket.send_fds(a, [b'x'], [0, 1, 2])"
    ),
}


@pytest.fixture(scope="module", autouse=True)
def _other_generations(server: Server, evaluations: Prison) -> None:
    """Wait until the fork server has its other generations: the first program that imports begins one."""
    evaluations.run("import json")
    known = 0
    while (processes := held(server)["processes"]) != known:
        known = processes
        time.sleep(1.0)


@pytest.mark.parametrize("program", LEAVES.values(), ids=LEAVES.keys())
def test_nothing_is_left_when_the_answer_is_there(server: Server, prison: Prison, program: str) -> None:
    prison.run("")
    before = held(server)
    answer = prison.run(program)
    after = held(server)
    assert after.pop("descriptors") <= before.pop("descriptors")  # connections of other tests end meanwhile
    assert after == before
    assert answer["status"] in {"ok", "signaled"}
    assert answer["usage"]["wall_time"] < 3
    assert prison.run("print(1)")["stdout"] == "1\n"
