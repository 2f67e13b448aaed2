"""Measure what two options of a runtime cost a forked evaluation: tmpfs, and the loopback interface.

    .venv/bin/python benchmarks/options.py

Processes do what a forked evaluation does before its program: they create namespaces and mounts, and bring up the
interface. The kernel measures the CPU time of each process (getrusage(2)), so other load does not count. Work that
kernel threads do after the end of a process does not count either.
"""

import ctypes
import os
import socket
import statistics
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

ROUNDS = 1000

CLONE_NEWUSER, CLONE_OTHERS = 0x10000000, 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 1 << 14, 1 << 18
SIOCSIFFLAGS, IFF_UP = 0x8914, 1

LIBC = ctypes.CDLL(None, use_errno=True)


def called(name: str, *arguments: int | bytes | None) -> None:
    """Call a function of the C library, and raise OSError if it fails."""
    if getattr(LIBC, name)(*arguments):
        raise OSError(ctypes.get_errno(), name)


def mount(places: Path, count: int) -> None:
    """Mount a number of tmpfs besides the two for the home and shared memory, as an evaluation does."""
    for number in range(_ALWAYS + count):
        folder = os.fsencode(places / str(number))
        options = b"size=16777216,nr_inodes=4096,mode=1777"
        called("mount", b"tmpfs", folder, b"tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options)


_ALWAYS = 2


def raise_loopback(places: Path) -> None:
    """Bring the loopback interface up, as an evaluation does."""
    mount(places, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as carrier:
        request = b"lo".ljust(16, b"\0") + IFF_UP.to_bytes(2, "little") + bytes(22)
        called("ioctl", carrier.fileno(), SIOCSIFFLAGS, request)


def timed(work: Callable[[], None]) -> float:
    """Run a function in a process with new namespaces, and return the CPU time of the process in milliseconds."""
    pid = os.fork()
    if not pid:
        called("unshare", CLONE_NEWUSER | CLONE_OTHERS)
        called("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
        work()
        os._exit(0)
    _, status, usage = os.wait4(pid, 0)
    assert status == 0
    return (usage.ru_utime + usage.ru_stime) * 1e3


def main() -> None:
    """Measure the options in turns, and print a table in Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        places = Path(folder)
        for number in range(6):
            (places / str(number)).mkdir()
        works: Mapping[str, Callable[[], None]] = {
            "no tmpfs, no loopback": partial(mount, places, 0),
            "one tmpfs": partial(mount, places, 1),
            "four tmpfs": partial(mount, places, 4),
            "loopback": partial(raise_loopback, places),
        }
        times = [[timed(work) for work in works.values()] for _ in range(ROUNDS)]
    medians = dict(zip(works, map(statistics.median, zip(*times, strict=True)), strict=True))
    print("| option | CPU, ms | more, ms |\n| --- | --: | --: |")
    for option, median in medians.items():
        print(f"| {option} | {median:.2f} | {median - medians['no tmpfs, no loopback']:.2f} |")


if __name__ == "__main__":
    main()
