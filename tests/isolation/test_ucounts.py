"""What the kernel counts for a user or for the whole host, and not for a cgroup.

A run that takes all it can leaves its neighbours and root on the host what they need.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from system_calls import syscalls

from crowds import until
from isolation.attacks import PREAMBLE, Prison
from leftovers import descendants
from serving import Server

pytestmark = pytest.mark.alone

NUMBERS = syscalls()

HOG = """
import signal
if pid := os.fork():
    os.waitpid(pid, 0)
    os._exit(0)
{take}
held, count = [], 0
try:
    while count < 100_000:
        held.append(take())
        count += 1
except (OSError, StopIteration, MemoryError, ValueError):
    pass
print(count, flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""
"""Takes in a process that is not the first of its jail, which nobody can stop."""


@dataclass(frozen=True)
class Resource:
    """Something that there is only so much of.

    Attributes:
        take: Defines a function that takes some more of it, and raises when there is no more.
        need: What an ordinary program does with it; fails where there is none left.
        refused: Whether jails have none of it at all.
        most: How much a run can take.
    """

    take: str
    need: str
    refused: bool = False
    most: int = 100_000


def refused(name: str, arguments: str, need: str = "", setup: str = "") -> Resource:
    """Tell of something that jails cannot have, by a system call that would take it."""
    code = f"{setup}\ncall({NUMBERS.get(name)}, {arguments})"
    return Resource(f"def take(): return call({NUMBERS.get(name)}, {arguments})", need or code, refused=True)


EPOLL = "import select\nout = os.pipe()[1]\n"
SIGQUEUE = f"""
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [40])
info = bytes([40, 0, 0, 0, 0, 0, 0, 0]) + b'\\xff\\xff\\xff\\xff' + bytes(116)  # SI_QUEUE
def take(): return call({NUMBERS.get("rt_sigqueueinfo")}, os.getpid(), 40, info)
"""
TIMERS = """
timer = ctypes.c_void_p()
def take():
    if _libc.timer_create(0, None, ctypes.byref(timer)): raise BlockingIOError
"""
PIPES = "import fcntl\ndef take():\n  ends = os.pipe()\n  fcntl.fcntl(ends[1], 1031, 1 << 20)\n  return ends\n"
IN_FLIGHT = """
import socket
sockets = [socket.socketpair() for _ in range(100)]
full = iter(sockets * 10)
def take():
    one = next(full)[0]
    one.setblocking(False)
    return socket.send_fds(one, [b'x'], [one.fileno()] * 253)
"""

RESOURCES = {
    "inotify instances": refused("inotify_init1", "0"),
    "fanotify groups": refused("fanotify_init", "0, 0"),
    "user namespaces": refused("unshare", "0x10000000"),
    "mount namespaces": refused("unshare", "0x20000"),
    "network namespaces": refused("unshare", "0x40000000"),
    "PID namespaces": refused("unshare", "0x20000000"),
    "IPC namespaces": refused("unshare", "0x8000000"),
    "UTS namespaces": refused("unshare", "0x4000000"),
    "cgroup namespaces": refused("unshare", "0x2000000"),
    "time namespaces": refused("unshare", "0x80"),
    "message queues": refused("mq_open", "b'snekhouse-test', 0o102, 0o600, 0"),
    "keys": refused("add_key", "b'user', b'x', b'y', 1, -2"),
    "asynchronous I/O": refused("io_setup", "1, (ctypes.c_long * 1)()"),
    "epoll watches": Resource(
        f"{EPOLL}polls = [select.epoll() for _ in range(100)]\nouts = [os.dup(out) for _ in range(100)]\n"
        "pairs = iter([(poll, each) for poll in polls for each in outs])\n"
        "def take():\n  poll, each = next(pairs)\n  poll.register(each, select.EPOLLOUT)",
        f"{EPOLL}poll = select.epoll()\nfor _ in range(100): poll.register(os.dup(out))",
    ),
    "pending signals": Resource(SIGQUEUE, f"{SIGQUEUE}\nfor _ in range(100): take()", most=256),
    "timers": Resource(TIMERS, f"{TIMERS}\nfor _ in range(100): take()", most=256),
    "pages of pipes": Resource(
        PIPES,
        f"{PIPES}take()\nassert fcntl.fcntl(os.pipe()[1], 1032) == 1 << 16",  # two pages where a user has too many
    ),
    "descriptors in flight": Resource(
        IN_FLIGHT, "import socket\npair = socket.socketpair()\nsocket.send_fds(pair[0], [b'x'], [0] * 100)"
    ),
    "processes": Resource(
        "import time\ndef take(): return os.fork() or time.sleep(60)",
        "for _ in range(5): os.fork() or os._exit(0)",
        most=15,
    ),
    "locked memory": Resource(
        f"page = ctypes.create_string_buffer(1 << 20)\nplaces = iter(range(ctypes.addressof(page), ctypes.addressof(page) + (1 << 20), 4096))\n"
        f"def take(): return call({NUMBERS.get('mlock')}, next(places), 4096)",
        f"page = ctypes.create_string_buffer(8192)\ncall({NUMBERS.get('mlock')}, ctypes.addressof(page), 4096)",
        most=17,
    ),
    "open files": Resource("def take(): return os.dup(1)", "for _ in range(100): os.dup(1)", most=256),
    "locks of files": Resource(
        "import fcntl\nfile = open('x', 'w')\nstarts = iter(range(0, 20_000, 2))\n"
        "def take(): return fcntl.lockf(file, fcntl.LOCK_EX, 1, next(starts))",
        "import fcntl, tempfile\nfor n in range(100): fcntl.lockf(tempfile.TemporaryFile(), fcntl.LOCK_EX)",
    ),
}


@contextmanager
def hogging(server: Server, prison: Prison, resource: Resource) -> Iterator[None]:
    """Have a run take all that it can of a resource, and hold it meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(prison.run, PREAMBLE + HOG.format(take=resource.take))
        until(lambda: answer.done() or bool(stopped(server)))
        try:
            assert not answer.done(), answer.result()
            yield
        finally:
            for pid in stopped(server):
                os.kill(pid, signal.SIGCONT)
        check_taken(answer.result(), resource)


def stopped(server: Server) -> list[int]:
    """Find processes of runs that have stopped themselves."""
    found = []
    for pid in descendants(server.process.pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            if "State:\tT" in Path(f"/proc/{pid}/status").read_text():
                found.append(pid)
    return found


def check_taken(answer: dict[str, Any], resource: Resource) -> None:
    count = int(answer["stdout"].split()[0])
    assert (count == 0) if resource.refused else (0 < count <= resource.most)


def on_host(program: str) -> None:
    """Run a program as root on the host."""
    command = [sys.executable, "-c", PREAMBLE + program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=RESOURCES.keys())
def test_a_run_that_takes_all_it_can_leaves_others_what_they_need(
    server: Server, prison: Prison, resource: Resource
) -> None:
    with hogging(server, prison, resource):
        on_host(resource.need)
        if not resource.refused:
            answer = prison.run(PREAMBLE + resource.need)
            assert (answer["returncode"], answer["stdout"]) == (0, "")


@pytest.fixture
def huge_pages() -> Iterator[None]:
    """Some huge pages that the host has reserved."""
    setting = Path("/proc/sys/vm/nr_hugepages")
    before = setting.read_text()
    try:
        setting.write_text(str(int(before) + 4))
    except OSError as error:
        pytest.skip(f"this host cannot reserve huge pages: {error}")
    yield
    setting.write_text(before)


@pytest.mark.usefixtures("huge_pages")
@pytest.mark.parametrize(
    "take",
    [
        "def take(): return mmap.mmap(-1, 2 << 20, flags=0x40022)",
        "def take():\n  file = os.memfd_create('x', 4)\n  os.ftruncate(file, 2 << 20)\n  return mmap.mmap(file, 2 << 20)",
    ],
    ids=["mapped", "in a file"],
)
def test_a_run_leaves_the_host_the_huge_pages_that_it_has_reserved(server: Server, prison: Prison, take: str) -> None:
    touched = f"import mmap\n{take}\nagain = take\ndef take():\n  page = again()\n  page[0] = 1\n  return page\n"
    with hogging(server, prison, Resource(touched, "", refused=True)):
        on_host("import mmap\nfor _ in range(4):\n  page = mmap.mmap(-1, 2 << 20, flags=0x40022)\n  page[0] = 1")
