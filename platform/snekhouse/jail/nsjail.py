"""The NsJail process: how it is started, waited for and killed, and what its log says."""

import fcntl
import logging
import os
import re
import resource
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path

import anyio

from snekhouse.host.ids import NOBODY, HostIdPool, HostIds
from snekhouse.jail.channel import Channel, opened_channel
from snekhouse.jail.start import GuestExit, Stdio

_log = logging.getLogger(__name__)

CONTROL_FD = 3
"""The bootstrap's descriptor of its end of the control socket; runtimes/bootstrap.py names it as well."""

_LOG_FD = 4
_LOG_LIMIT = 64 * 1024
"""Bytes of NsJail's log that are read, from its end."""

_LINE = re.compile(r"^\[([DIWEF])\]\[[^\]]*\](?:\[\d+\])?(?: \S+\(\):\d+)? (.*)$", re.MULTILINE)
"""A line of the log: [level][timestamp][pid]? function():line? message"""

_SIGNALED = re.compile(r"terminated with signal: \S+ \((\d+)\)")


class NsJail:
    """A running NsJail.

    Attributes:
        channel: The channel to the guest or the fork server in its jail.
    """

    def __init__(self, pid: int, channel: Channel, log: int) -> None:
        self._pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._log = log
        self._exit: GuestExit | None = None
        self.channel = channel

    async def ended(self) -> None:
        """Wait until NsJail and all processes in its jail have ended."""
        await anyio.wait_readable(self._pidfd)

    async def end(self) -> GuestExit:
        """Kill every process in the jail and reap NsJail, even if the task is cancelled."""
        if self._exit is None:
            signal.pidfd_send_signal(self._pidfd, signal.SIGTERM)  # NsJail then kills its jail
            with anyio.move_on_after(_TERM_TIMEOUT_S, shield=True) as grace:
                await self._wait()
            if grace.cancelled_caught:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)  # its jail dies with it: PR_SET_PDEATHSIG
                with anyio.CancelScope(shield=True):
                    await self._wait()
        assert self._exit is not None  # noqa: S101 - `_wait` has set it
        return self._exit

    async def _wait(self) -> None:
        await self.ended()
        _, status, usage = os.wait4(self._pid, os.WNOHANG)  # noqa: ASYNC222 - it has ended: nothing to wait for
        self._exit = self._read_exit(os.waitstatus_to_exitcode(status), usage)

    def close(self) -> None:
        """Close the descriptor of the process, which must have ended."""
        os.close(self._pidfd)

    def _read_exit(self, code: int, usage: resource.struct_rusage) -> GuestExit:
        log = os.pread(self._log, _LOG_LIMIT, max(0, os.fstat(self._log).st_size - _LOG_LIMIT))
        text = log.decode(errors="replace")
        _log.debug("nsjail ended", extra={"pid": self._pid, "code": code, "nsjail_log": text})
        signaled = _SIGNALED.findall(text)
        return GuestExit(
            code=code if code >= 0 else 128 - code,
            signal=int(signaled[-1]) if signaled else None,
            cpu_time=usage.ru_utime + usage.ru_stime,
            complaint=_complaint(text),
        )


def _complaint(log: str) -> str:
    """Return the first error in NsJail's log, or the warning just before it; empty for none."""
    lines: list[tuple[str, str]] = _LINE.findall(log)
    for (level_before, before), (level, message) in pairwise([("", ""), *lines]):
        if level in "EF":  # later errors are its consequences; a warning just before it names the cause
            return before if level_before == "W" else message
    return ""


@asynccontextmanager
async def started(binary: Path, options: Sequence[str], command: Sequence[str], stdio: Stdio) -> AsyncIterator[NsJail]:
    """Start NsJail; kill every process in its jail and reap it on leaving.

    Args:
        binary: The NsJail binary.
        options: Its configuration: see `options` and `fork_server_options`.
        command: The command to run inside.
        stdio: Descriptors for the program's standard input, output and error.

    Raises:
        OSError: The host is out of processes or descriptors.
    """
    passed = ("--log_fd", str(_LOG_FD), "--pass_fd", str(CONTROL_FD))
    with ExitStack() as held:
        channel, other = held.enter_context(opened_channel())
        log = os.memfd_create("nsjail-log", os.MFD_CLOEXEC)
        held.callback(os.close, log)
        pid = _spawn([str(binary), *options, *passed, "--", *command], (*stdio, other.fileno(), log))
        other.close()
        jail = NsJail(pid, channel, log)
        held.callback(jail.close)
        try:
            yield jail
        finally:
            await jail.end()


def options(profile: Path, host_ids: HostIds, time_limit: int | None = None) -> tuple[str, ...]:
    """Return the options for a profile and a run's host ids. The program gets the ids that are mapped first.

    Args:
        profile: The profile.
        host_ids: The ids.
        time_limit: Seconds, instead of the profile's time limit.
    """
    other = () if time_limit is None else ("--time_limit", str(time_limit))
    user, group = f"{NOBODY}:{host_ids.user}:1", f"{NOBODY}:{host_ids.group}:1"
    return ("--user", user, "--group", group, "--config", str(profile), *other)


def fork_server_options(profile: Path, ids: HostIdPool) -> tuple[str, ...]:
    """Return the options for the profile of a fork server, and for the host ids of it and its runs."""
    users = (part for mapping in ids.users for part in ("--user", mapping))
    groups = (part for mapping in ids.groups for part in ("--group", mapping))
    return (*users, *groups, "--config", str(profile))


_TERM_TIMEOUT_S = 2.0
"""Seconds that NsJail has to end after SIGTERM, before SIGKILL."""


def _spawn(argv: list[str], descriptors: tuple[int, ...]) -> int:
    """Start a process that has only `descriptors`, as its descriptors 0, 1, 2, ...

    posix_spawn shares the server's memory until the exec; fork would copy its page tables.
    """
    # Copy all descriptors to numbers above the targets first: a dup2 must not overwrite the source of a later one.
    with ExitStack() as held:
        actions = []
        for target, fd in enumerate(descriptors):
            parked = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, len(descriptors))
            held.callback(os.close, parked)
            actions.append((os.POSIX_SPAWN_DUP2, parked, target))
        # A separate process group: Ctrl-C at the server's terminal must not end NsJail.
        return os.posix_spawn(
            argv[0], argv, {}, file_actions=actions, setpgroup=0, setsigdef=_ALL_SIGNALS, setsigmask=()
        )


_ALL_SIGNALS = tuple(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
