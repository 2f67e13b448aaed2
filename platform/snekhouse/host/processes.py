"""The processes of a jail, seen from the host (proc_pid_stat(5), pid_namespaces(7))."""

import os
import signal
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress


def descendants(pid: int) -> Iterator[int]:
    """List a process and its descendants; one that ends meanwhile may be missing."""
    found = [pid]
    while found:
        parent = found.pop()
        yield parent
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):  # noqa: PTH208 - faster, and called often
                found += map(int, proc_text(f"/proc/{parent}/task/{thread}/children").split())


def proc_text(path: str) -> str:
    """Read a file of a process, in which names may be any bytes; empty if the process is gone."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:  # noqa: PTH123 - as above
            return file.read()
    except OSError:
        return ""


class JailProcesses:
    """The processes of one jail, which has its own PID namespace.

    A process id may belong to another process at any time. So each process is opened first (pidfd_open(2)), and then
    its namespace is compared.

    Attributes:
        first: The id of its first process on the host.
    """

    def __init__(self, first: int) -> None:
        """Open the PID namespace of a jail.

        Args:
            first: The id on the host of its first process, which must not have been reaped.

        Raises:
            OSError: The process is gone, or the host does not let this process look at it.
        """
        self.first = first
        # While this descriptor is open, no other namespace can have its inode number.
        self._namespace = os.open(f"/proc/{first}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the descriptor of the namespace."""
        os.close(self._namespace)

    def open(self, pid: int) -> int:
        """Open a process of the jail (pidfd_open(2)); the caller closes the descriptor.

        Raises:
            OSError: The process is gone, or is not of this jail.
        """
        process = os.pidfd_open(pid)
        try:
            if not os.path.samestat(os.stat(f"/proc/{pid}/ns/pid"), os.fstat(self._namespace)):  # noqa: PTH116 - faster
                raise ProcessLookupError(f"the process {pid} is not in the jail")
            signal.pidfd_send_signal(process, 0)  # it still exists, so the namespace that was read is its own
        except OSError:
            os.close(process)
            raise
        return process

    def kill(self, listed: Iterable[int], *, since: int = 0, keep: Container[int] = ()) -> bool:
        """Kill processes of the jail, but not its first one; return whether there were any to kill.

        Args:
            listed: Process ids; those of other jails are left alone.
            since: Kill only those that started then or later (`start_time`).
            keep: Process ids not to kill. They may have started in the same clock tick (10 ms) as `since`.
        """
        found = False
        for pid in listed:
            if pid == self.first or pid in keep or not _is_alive(pid) or start_time(pid) < since:
                continue
            found = True  # also if it is gone by now: it may have started others
            with suppress(OSError):
                process = self.open(pid)
                try:
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                finally:
                    os.close(process)
        return found


def start_time(pid: int) -> int:
    """Return when a process started, in clock ticks after the start of the host; 0 if the process is gone."""
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def _is_alive(pid: int) -> bool:
    fields = _stat(pid)
    return bool(fields) and (
        fields[0] not in "ZX" or int(fields[17]) > 1
    )  # Z with more threads: only the main thread has ended


def _stat(pid: int) -> list[str]:
    """Return the fields after the name of the command, which may contain spaces: state first."""
    return proc_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
