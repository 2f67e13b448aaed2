"""Attributes of a process that other processes of its jail can change (proc_pid_stat(5), ioprio_set(2)).

The server compares them before and after a case.
"""

import ctypes
import os
import platform
import re

from snekhouse.host.processes import proc_text
from snekhouse.host.system_calls import numbers

_STATUS = ("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "Cpus_allowed", "Threads", "Uid", "Gid", "Seccomp")
"""Fields of /proc/PID/status: signals that wait, are blocked, ignored or handled; CPUs; threads; ids; seccomp."""

_STAT = (2, 3, 15, 16, 17, 37, 38)
"""Fields of /proc/PID/stat after the name: group, session, priority, niceness, threads, real-time priority, policy."""

_C_LIBRARY_SIGNALS = 1 << 31 | 1 << 32
"""Signals 32 and 33, which the C library handles itself (nptl(7)); other processes cannot use them for anything."""

_IOPRIO_WHO_PROCESS = 1


def marks(pid: int) -> tuple[object, ...]:
    """Return the attributes of a process that other processes of its jail can change.

    Args:
        pid: Its id on the host.
    """
    status = dict(line.split(":", 1) for line in proc_text(f"/proc/{pid}/status").splitlines() if ":" in line)
    stat = proc_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (
        tuple(status.get(name, "").strip() for name in _STATUS),
        tuple(stat[index] for index in _STAT if index < len(stat)),
        not stat or stat[0] in "Tt",
        re.sub(r" +", " ", proc_text(f"/proc/{pid}/limits")),
        _io_priority(pid),
        _scheduling(pid),
    )


def handles_signals(pid: int) -> bool:
    """Return whether a process handles signals, so that others can make it do something."""
    match = re.search(r"^SigCgt:\s*([0-9a-f]+)$", proc_text(f"/proc/{pid}/status"), re.MULTILINE)
    return match is None or int(match[1], 16) & ~_C_LIBRARY_SIGNALS != 0


def shares_memory(pid: int) -> bool:
    """Return whether a process can write to memory that its copies share with it (proc_pid_maps(5))."""
    lines = proc_text(f"/proc/{pid}/maps").splitlines()
    return not lines or any(line.split(" ", 2)[1][1:4:2] == "ws" for line in lines)


def descriptors(pid: int) -> set[int]:
    """Return the descriptors that a process has open.

    Raises:
        OSError: It is gone, or cannot be looked at.
    """
    return set(map(int, os.listdir(f"/proc/{pid}/fd")))  # noqa: PTH208 - faster


def inner_pid(pid: int) -> int:
    """Return the id of a process in the innermost PID namespace that it is in; 0 if it is gone."""
    match = re.search(r"^NSpid:.*?(\d+)$", proc_text(f"/proc/{pid}/status"), re.MULTILINE)
    return int(match[1]) if match else 0


def _scheduling(pid: int) -> bytes:
    """Read the scheduling attributes of a process (sched_setattr(2)), utilization clamps included."""
    attributes = ctypes.create_string_buffer(_SCHED_ATTR_SIZE)
    _libc.syscall(_sched_getattr, pid, attributes, _SCHED_ATTR_SIZE, 0)
    return attributes.raw


_SCHED_ATTR_SIZE = 56
"""Size of ``struct sched_attr`` with the fields of Linux 5.3."""


def _io_priority(pid: int) -> int:
    return int(_libc.syscall(_ioprio_get, _IOPRIO_WHO_PROCESS, pid))


_libc = ctypes.CDLL(None)
(_, _ioprio_get), (_, _sched_getattr) = numbers(("ioprio_get", "sched_getattr"), platform.machine())
