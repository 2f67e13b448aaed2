"""The verdict on a run: a status, a return code and a sentence, from what the kernel, NsJail and the clock report.

Only the sentence of `probable_limit` comes from what the program printed.
"""

import errno
import re
import signal
from collections.abc import Iterator
from enum import Enum, auto

from snekhouse.evaluation import ProgramError, Result, Status
from snekhouse.host.cgroups import GroupUsage
from snekhouse.jail.start import GuestExit
from snekhouse.registry.models import Limits

KILLED = 128 + signal.SIGKILL
FLOODED = 128 + signal.SIGTERM
JAIL_FAILED = 255


class StopReason(Enum):
    """Why the server ended a run or a cell."""

    TIME = auto()
    OUTPUT = auto()
    MEMORY = auto()
    CHANNEL = auto()
    """The program closed the channel of its session, or sent something other than a report."""
    START = auto()
    """The cell did not start."""


def judge(guest_exit: GuestExit, limits: Limits, counters: GroupUsage, stop_reason: StopReason | None = None) -> Result:
    """Decide how a program ended; the caller adds its output, its files and what it used.

    Args:
        guest_exit: How the guest ended.
        limits: The limits that were in force.
        counters: The counters of the run's cgroup.
        stop_reason: The limit for which the server ended the run, if it did.
    """
    is_killed_for_memory = guest_exit.signal == signal.SIGKILL and counters.oom_kills
    if stop_reason or is_killed_for_memory:
        return _stopped(stop_reason or StopReason.MEMORY, limits)
    if guest_exit.signal is not None:
        name = _signal_name(guest_exit.signal)
        message = "; ".join((f"ended by signal {name}", *_limits_met(limits, counters)))
        return Result(Status.SIGNALED, 128 + guest_exit.signal, message=message, signal=name)
    if guest_exit.code:
        return Result(Status.ERROR, guest_exit.code, message="; ".join(_limits_met(limits, counters)))
    return Result(Status.OK, 0)


def _stopped(reason: StopReason, limits: Limits) -> Result:
    match reason:
        case StopReason.OUTPUT:
            message = f"more than {limits.output} bytes of output (limits.output): ended, and the output cut"
            return Result(Status.OUTPUT_LIMIT, FLOODED, message=message, signal="SIGTERM", truncated=True)
        case StopReason.TIME:
            message = f"still running after {limits.wall_time:g} s (limits.wall_time): killed"
            return Result(Status.TIMEOUT, KILLED, message=message, signal="SIGKILL")
        case StopReason.MEMORY:
            message = f"more than {limits.memory} bytes of memory (limits.memory): killed"
            return Result(Status.OUT_OF_MEMORY, KILLED, message=message, signal="SIGKILL")
        case StopReason.CHANNEL:
            message = "the program closed descriptor 3 or wrote to it, but its session needs it: killed"
            return Result(Status.ERROR, KILLED, message=message, signal="SIGKILL")
        case StopReason.START:
            return Result(Status.INTERNAL_ERROR, None, message="the cell did not start: killed")


def _limits_met(limits: Limits, counters: GroupUsage) -> Iterator[str]:
    """List the limits that the kernel enforced without ending the program; its exception may not name them."""
    if counters.refused_forks:
        yield f"more than {limits.processes} processes and threads (limits.processes): the kernel refused to start more"
    if counters.oom_kills:
        yield f"more than {limits.memory} bytes of memory (limits.memory): the kernel killed a process of the program"


def probable_limit(error: ProgramError, limits: Limits, *, counts_processes: bool) -> str:
    """Name the limit that probably caused an exception, for a limit of which the kernel counts no refusals.

    Args:
        error: The exception that ended the program.
        limits: The limits that were in force.
        counts_processes: Whether the kernel counts refused processes and threads; if it does, it refused none here.
    """
    is_thread = counts_processes and error.value == _NO_THREAD
    if not error.name.endswith("MemoryError") and not is_thread and not _NO_MEMORY.search(error.value):
        return ""
    return f"probably more than {limits.address_space} bytes of address space in a process (limits.address_space)"


_NO_THREAD = "can't start new thread"
_NO_MEMORY = re.compile(rf"\[Errno {errno.ENOMEM}\]|Cannot allocate memory")
"""How Python reports ENOMEM, and how the loader of glibc does."""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals between SIGRTMIN and SIGRTMAX have no names of their own
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
