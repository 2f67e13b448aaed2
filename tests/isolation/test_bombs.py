"""Bombs: whatever is used up is the run's own share, the answer comes in time, and the next run is not worse off."""

import time

import pytest

from isolation.attacks import Prison
from serving import SLOWNESS

pytestmark = pytest.mark.alone

BOMBS = {
    "forks": "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass",
    "forks that end": "import os\nwhile True:\n  try: os.fork() or os._exit(0)\n  except OSError: pass",
    "threads": "import threading, time\nwhile True:\n  try: threading.Thread(target=time.sleep, args=(9,)).start()\n  except RuntimeError: pass",
    "execs": "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'import os, sys; os.execv(sys.executable, "
    "[sys.executable, *sys.orig_argv[1:]])'])",
    "memory": "x = []\nwhile True: x.append(bytes(1 << 20))",
    "memory at once": "x = b'x' * (600 << 20)",
    "memory in small pieces": "x = []\nwhile True: x.append(object())",
    "mapped memory": "import mmap\nm = []\nwhile True:\n  m.append(mmap.mmap(-1, 1 << 20)); m[-1][:] = b'x' * (1 << 20)",
    "memory of many processes": (
        "import os, time\nfor _ in range(12): os.fork() or [bytes(20 << 20).find(b'x'), bytearray(b'x' * (20 << 20)), time.sleep(9)]\n"
        "time.sleep(9)"
    ),
    "files in memory": "import os\nfd = [os.memfd_create(str(n)) for n in range(100)]\nwhile True:\n  for f in fd: os.write(f, bytes(1 << 20))",
    "the home": "f = open('x', 'wb', 0)\nwhile True: f.write(b'x' * (1 << 20))",
    "shared memory": "f = open('/dev/shm/x', 'wb', 0)\nwhile True: f.write(b'x' * (1 << 20))",
    "the home and shared memory": (
        "import itertools\nfs = [open('x', 'wb', 0), open('/dev/shm/x', 'wb', 0)]\n"
        "for f in itertools.cycle(fs):\n  try: f.write(b'x' * (1 << 20))\n  except OSError: pass"
    ),
    "inodes of the home": "for n in range(10 ** 9): open(f'{n}', 'w').close()",
    "inodes of shared memory": "import os\nfor n in range(10 ** 9): os.symlink('x', f'/dev/shm/{n}')",
    "folders": "import os\nwhile True: os.mkdir('d'); os.chdir('d')",
    "names": "import os\nfor n in range(10 ** 9): os.link(__file__, str(n)) if n else open('0', 'w')",
    "descriptors": "x = []\nwhile True: x.append(open('/dev/null'))",
    "pipes": "import os\np = []\nwhile True:\n  p.append(os.pipe()); os.set_blocking(p[-1][1], False); os.write(p[-1][1], bytes(1 << 16))",
    "large pipes": "import fcntl, os\np = []\nwhile True:\n  p.append(os.pipe()); fcntl.fcntl(p[-1][1], 1031, 1 << 20); os.write(p[-1][1], bytes(1 << 20))",
    "buffers of sockets": (
        "import socket\ns = []\nwhile True:\n  s.append(socket.socketpair()); s[-1][0].setblocking(False)\n"
        "  try:\n    while True: s[-1][0].send(bytes(1 << 16))\n  except BlockingIOError: pass"
    ),
    "descriptors in flight": (
        "import socket\nwhile True:\n  a, b = socket.socketpair(); a.setblocking(False)\n"
        "  try:\n    while True: socket.send_fds(a, [b'x'], [a.fileno(), b.fileno()] * 100)\n  except OSError: pass"
    ),
    "signals": "import os, signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [40])\nwhile True: os.kill(os.getpid(), 40)",
    "timers": "import ctypes\nlibc = ctypes.CDLL(None)\nwhile True: libc.timer_create(0, None, ctypes.byref(ctypes.c_void_p()))",
    "inotify": (
        "import ctypes, os\nlibc = ctypes.CDLL(None)\nos.makedirs('d')\nfor n in range(10 ** 9):\n  libc.inotify_init()\n"
        "  os.path.exists('d')"
    ),
    "epoll": "import select\nx = []\nwhile True: x.append(select.epoll())",
    "locks": "import fcntl\nf = open('x', 'w')\nn = 0\nwhile True: fcntl.lockf(f, fcntl.LOCK_EX, 1, n); n += 2",
    "locks of many files": (
        "import fcntl, itertools, os\nfor _ in range(3): os.fork()\nfs = [open(f'{os.getpid()}-{n}', 'w') for n in range(240)]\n"
        "for n in itertools.count(step=2):\n  for f in fs: fcntl.lockf(f, fcntl.LOCK_EX, 1, n)"
    ),
    "names that are not there": "import os\nfor n in range(10 ** 9): os.path.exists(f'{os.__file__}/../{n:0200}')",
    "the stack": "import sys\nsys.setrecursionlimit(10 ** 9)\nf = lambda: f()\nf()",
    "the stack of a thread": "import threading, sys\nsys.setrecursionlimit(10 ** 9)\nf = lambda: f()\nthreading.Thread(target=f).start()",
    "the processor": "import threading\nfor _ in range(12): threading.Thread(target=lambda: [None for _ in iter(int, 1)]).start()",
    "a number": "x = 9 ** 9 ** 9",
    "a pattern": "import re\nre.match('(a+)+b', 'a' * 99)",
    "compilation": "eval('(' * 10 ** 6)",
    "arguments": "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'pass', *['x' * 100000] * 19])",
    "extended attributes": (
        "import os\nopen('x', 'w')\nfor n in range(10 ** 9):\n  try: os.setxattr('x', f'user.{n}', bytes(60000))\n"
        "  except OSError as error: print(error.errno); break"
    ),
    "sleep": "import time\ntime.sleep(10 ** 6)",
    "stopping itself": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\nos.fork() or os.kill(os.getpid(), signal.SIGSTOP)\nos.wait()",
}

FLOODS = {
    "of output": "import os\nwhile True: os.write(1, b'x' * 65536)",
    "of errors": "import os\nwhile True: os.write(2, b'x' * 65536)",
    "of lines": "while True: print()",
    "of many processes": "import os\nfor _ in range(6): os.fork()\nwhile True: os.write(1, b'x' * 4096)",
    "after the end": "import os, time\nif os.fork(): os._exit(0)\nwhile True: os.write(1, b'x' * 65536)",
    "into its input": "import os\nwhile True:\n  try: os.write(0, b'x')\n  except OSError: os._exit(7)",
    "of descriptors for output": "import os\nfor _ in range(200): os.dup(1)\nwhile True: os.write(99, b'x' * 65536)",
}


@pytest.mark.parametrize("program", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_hits_its_own_run_alone(prison: Prison, program: str) -> None:
    begin = time.monotonic()
    answer = prison.run(program, limits={"wall_time": 1.0})
    assert time.monotonic() - begin < 5 * SLOWNESS
    assert answer["status"] != "internal_error", answer["message"]
    memory = answer["usage"]["memory"]
    assert memory is None or memory <= answer["limits"]["memory"]
    begin = time.monotonic()
    assert prison.run("print(1)")["stdout"] == "1\n"
    assert time.monotonic() - begin < 1 * SLOWNESS


def test_names_that_are_not_there_count_as_memory_of_the_run_and_are_given_up_at_its_limit(prison: Prison) -> None:
    program = (
        "import os\nnew = os.path.dirname(os.__file__) + '/' + os.urandom(8).hex()\n"
        "for n in range({}): os.path.exists(f'{{new}}{{n:0180}}')"
    )
    most = 80_000 if SLOWNESS < 3 else 40_000  # a slow machine has no time for more than the limit holds
    few, many = (prison.run(program.format(count), limits={"memory": 24 << 20}) for count in (10, most))
    assert (few["status"], many["status"]) == ("ok", "ok")
    if few["usage"]["memory"] is not None:
        assert many["usage"]["memory"] - few["usage"]["memory"] > 10 << 20


@pytest.mark.parametrize("program", FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_is_cut_at_its_limit(prison: Prison, program: str) -> None:
    begin = time.monotonic()
    answer = prison.run(program, limits={"wall_time": min(2.0 * SLOWNESS, 6.0), "output": 100_000})
    assert len(answer["stdout"]) <= 100_000
    assert answer["status"] in {"output_limit", "error", "ok"}
    assert time.monotonic() - begin < 3 * SLOWNESS
