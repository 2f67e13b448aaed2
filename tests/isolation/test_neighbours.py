"""Neighbours: runs at the same time, and runs one after the other, leave each other nothing and see nothing."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from isolation.attacks import PREAMBLE, Prison, table
from snekhouse.registry.models import Registry

CHANNELS = {
    "a file in the home": ("open('/home/mark', 'w').write('x')", "os.stat('/home/mark')"),
    "a file in shared memory": ("open('/dev/shm/mark', 'w').write('x')", "os.stat('/dev/shm/mark')"),
    "an abstract socket": (
        "s = socket.socket(socket.AF_UNIX); s.bind('\\0mark'); s.listen()",
        "socket.socket(socket.AF_UNIX).connect('\\0mark')",
    ),
    "a socket in the home": (
        "s = socket.socket(socket.AF_UNIX); s.bind('/home/s'); s.listen()",
        "socket.socket(socket.AF_UNIX).connect('/home/s')",
    ),
    "a port": (
        "s = socket.socket(); s.bind(('127.0.0.1', 4444)); s.listen()",
        "socket.create_connection(('127.0.0.1', 4444))",
    ),
    "a named pipe": ("os.mkfifo('/dev/shm/pipe')", "os.open('/dev/shm/pipe', os.O_RDONLY | os.O_NONBLOCK)"),
    "shared memory by name": (
        "from multiprocessing import shared_memory; s = shared_memory.SharedMemory('mark', True, 99)",
        "__import__('multiprocessing.shared_memory').shared_memory.SharedMemory('mark')",
    ),
    "a process": ("[os.fork() or __import__('time').sleep(9) for _ in range(12)]", "os.kill(13, 0)"),
    "a mark in the library's folder": (
        "try: open(os.path.dirname(os.__file__) + '/mark', 'w')\nexcept OSError: pass",
        "os.stat(os.path.dirname(os.__file__) + '/mark')",
    ),
}


@pytest.mark.parametrize(("leave", "look"), CHANNELS.values(), ids=CHANNELS.keys())
def test_a_neighbour_at_the_same_time_sees_nothing(prison: Prison, leave: str, look: str) -> None:
    with ThreadPoolExecutor() as pool:
        other = pool.submit(prison.run, f"{PREAMBLE}\n{leave}\nprint('left', flush=True)\nimport time; time.sleep(0.6)")
        time.sleep(0.3)
        prison.attack(f"attempt(lambda: {look})")
        assert "left" in other.result()["stdout"]


@pytest.mark.parametrize(("leave", "look"), CHANNELS.values(), ids=CHANNELS.keys())
def test_the_next_run_finds_nothing(prison: Prison, leave: str, look: str) -> None:
    assert (
        "left"
        in prison.run(f"{PREAMBLE}\n{leave}\nprint('left')\nimport sys; sys.stdout.flush(); os._exit(0)")["stdout"]
    )
    prison.attack(f"attempt(lambda: {look})")


def test_runs_do_not_share_random_numbers(prison: Prison) -> None:
    seen = {
        prison.run("import random, uuid; print(random.random(), uuid.uuid4(), hash('x'))")["stdout"] for _ in range(20)
    }
    assert len(seen) == 20


def test_memory_comes_empty(prison: Prison) -> None:
    secret = "s3cret" * 3
    prison.run(f"x = [{secret!r} * 1000 for _ in range(5000)]\nopen('/home/x', 'w').write(''.join(x))")
    program = f"import mmap\nm = mmap.mmap(-1, 40 << 20)\nprint('open' if m.find({secret!r}.encode()) >= 0 else 'shut', 'memory')"
    prison.attack(program)


def test_a_runtime_sees_no_other_runtime(prison: Prison, registry: Registry) -> None:
    mine = registry.runtimes[prison.name]
    seen = tuple(f"{mount.target}/" for mount in mine.mounts)
    others = [each.executable for each in registry.runtimes.values() if not f"{each.executable}/".startswith(seen)]
    assert others or len(registry.runtimes) == 1
    for executable in others:
        prison.attack(f"attempt(lambda: os.stat({executable!r}), errno.ENOENT)")


@table(
    {
        "of the home": "print('open' if os.listdir('/home') else 'shut', os.listdir('/home'))",
        "of shared memory": "print('open' if os.listdir('/dev/shm') else 'shut', os.listdir('/dev/shm'))",
    }
)
def test_every_run_starts_empty(prison: Prison, program: str) -> None:
    prison.run("open('/home/left', 'w'); open('/dev/shm/left', 'w')")
    prison.attack(program)
