"""How long a process takes to join a group of cgroups v2: moved by another, by itself, or forked into it."""

import ctypes
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

_GROUP = Path("/sys/fs/cgroup/snekhouse-trial")
_ROUNDS = 50
_CLONE3 = 435
"""clone3(2) on all architectures."""
_CLONE_INTO_CGROUP = 1 << 33
_SIGCHLD = 17


class _CloneArguments(ctypes.Structure):
    """struct clone_args of clone3(2)."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            *("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls"),
            *("set_tid", "set_tid_size", "cgroup"),
        )
    )


def main() -> None:
    """Print the median of each way, in milliseconds, with the fork or clone that it needs."""
    _GROUP.mkdir()
    try:
        ways: dict[str, Callable[[], int]] = {
            "fork": _forked,
            "moved": _moved,
            "moves itself": _moves_itself,
            "clone3": partial(_cloned, 0),
            "CLONE_INTO_CGROUP": partial(_cloned, _CLONE_INTO_CGROUP),
        }
        print(", ".join(f"{name} {_median_ms(way):.2f}" for name, way in ways.items()))
    finally:
        _GROUP.rmdir()


def _median_ms(way: Callable[[], int]) -> float:
    times = []
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        pid = way()
        times.append(1000 * (time.perf_counter() - begin))
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    return statistics.median(times)


def _forked() -> int:
    return os.fork() or _wait_forever()


def _moved() -> int:
    pid = os.fork() or _wait_forever()
    (_GROUP / "cgroup.procs").write_text(str(pid))
    return pid


def _moves_itself() -> int:
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        (_GROUP / "cgroup.procs").write_text("0")
        os.write(writing, b"x")
        _wait_forever()
    os.read(reading, 1)
    os.close(reading)
    os.close(writing)
    return pid


def _cloned(flags: int) -> int:
    folder = os.open(_GROUP, os.O_RDONLY | os.O_DIRECTORY)
    arguments = _CloneArguments(flags=flags, exit_signal=_SIGCHLD, cgroup=folder)
    pid = int(ctypes.CDLL(None).syscall(_CLONE3, ctypes.byref(arguments), ctypes.sizeof(arguments)))
    os.close(folder)
    return pid or _wait_forever()


def _wait_forever() -> int:
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main()
