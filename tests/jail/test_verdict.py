"""How a run ended, from what the kernel, NsJail and the clock say."""

import signal

import pytest

from snekhouse.evaluation import ProgramError, Result, Status
from snekhouse.host.cgroups import GroupUsage
from snekhouse.jail.start import GuestExit
from snekhouse.jail.verdict import StopReason, judge, probable_limit
from snekhouse.registry.models import Limits

LIMITS = Limits()


def verdict(
    code: int, number: int | None = None, stop_reason: StopReason | None = None, counters: GroupUsage | None = None
) -> Result:
    return judge(GuestExit(code, number, cpu_time=0.0), LIMITS, counters or GroupUsage(), stop_reason)


def test_an_exit_code_is_the_programs_own() -> None:
    assert verdict(0) == Result(Status.OK, 0)
    assert verdict(3) == Result(Status.ERROR, 3)
    assert verdict(137) == Result(Status.ERROR, 137)  # the program called exit(137); no signal ended it


@pytest.mark.parametrize(
    ("number", "name"),
    [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGKILL, "SIGKILL"), (40, f"SIGRTMIN+{40 - signal.SIGRTMIN}")],
)
def test_a_signal_has_its_name(number: int, name: str) -> None:
    ended = verdict(128 + number, number)
    assert (ended.status, ended.returncode, ended.signal) == (Status.SIGNALED, 128 + number, name)


@pytest.mark.parametrize(
    ("stop_reason", "status", "returncode"),
    [
        (StopReason.TIME, Status.TIMEOUT, 137),
        (StopReason.OUTPUT, Status.OUTPUT_LIMIT, 143),
        (StopReason.MEMORY, Status.OUT_OF_MEMORY, 137),
    ],
)
def test_a_limit_that_the_server_enforces_decides_whatever_the_exit_was(
    stop_reason: StopReason, status: Status, returncode: int
) -> None:
    for code, number in ((0, None), (1, None), (137, signal.SIGKILL)):
        ended = verdict(code, number, stop_reason)
        assert (ended.status, ended.returncode) == (status, returncode)
        assert "limits." in ended.message


def test_sigkill_is_a_lack_of_memory_only_where_the_kernel_counted_one() -> None:
    assert verdict(137, signal.SIGKILL).status is Status.SIGNALED
    assert verdict(137, signal.SIGKILL, counters=GroupUsage(oom_kills=1)).status is Status.OUT_OF_MEMORY
    assert verdict(139, signal.SIGSEGV, counters=GroupUsage(oom_kills=1)).status is Status.SIGNALED


def test_limits_that_the_kernel_enforced_on_the_way_are_named() -> None:
    counters = GroupUsage(oom_kills=1, refused_forks=2)
    ended = verdict(1, counters=counters)
    assert ended.status is Status.ERROR
    assert "limits.processes" in ended.message
    assert "limits.memory" in ended.message
    assert verdict(0, counters=counters) == Result(Status.OK, 0)  # the program coped


@pytest.mark.parametrize(
    ("name", "value", "is_told"),
    [
        ("MemoryError", "", True),
        ("_ArrayMemoryError", "Unable to allocate 8.00 GiB for an array with shape (1073741824,)", True),
        ("OSError", "[Errno 12] Cannot allocate memory", True),
        ("OSError", "[Errno 12] Out of memory", True),
        ("ImportError", "libx.so: failed to map segment: Cannot allocate memory", True),
        ("RuntimeError", "can't start new thread", True),
        ("OSError", "[Errno 28] No space left on device", False),
        ("ValueError", "memory", False),
    ],
)
def test_an_exception_for_want_of_memory_names_the_address_space(name: str, value: str, is_told: bool) -> None:
    told = probable_limit(ProgramError(name, value, 1), LIMITS, counts_processes=True)
    assert ("(limits.address_space)" in told) is is_told


def test_a_thread_may_be_refused_by_the_other_limit_where_nothing_counts_it() -> None:
    error = ProgramError("RuntimeError", "can't start new thread", 1)
    assert probable_limit(error, LIMITS, counts_processes=False) == ""
