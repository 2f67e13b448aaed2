"""The server's group and, below it, one group for each run; the same for both versions of cgroups."""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from snekhouse.errors import HostError
from snekhouse.host.cgroups.files import write
from snekhouse.registry.models import Limits

CFS_PERIOD_US = 100_000
"""Microseconds of the CFS period, over which a CPU quota counts; the kernel's default."""


@dataclass(frozen=True, slots=True)
class GroupUsage:
    """The counters of a run's group; None for a counter that this host does not have.

    Attributes:
        memory: Peak in bytes, tmpfs and page cache included.
        cpu_time: Seconds, user and system, of all processes.
        oom_kills: How many processes the kernel killed because memory ran out.
        refused_forks: How often the kernel refused to start a process or thread above the limit.
    """

    memory: int | None = None
    cpu_time: float | None = None
    oom_kills: int = 0
    refused_forks: int = 0


class Layout(Protocol):
    """The differences between the versions: a group's folders, and the files of its limits and counters."""

    @property
    def walls(self) -> frozenset[str]:
        """Which of ``memory``, ``pids`` and ``cpu`` this host can limit."""

    @property
    def tasks_file(self) -> str | None:
        """The file of a group through which a thread moves itself into it; None if there is none."""

    @property
    def limits_swap(self) -> bool:
        """Whether memory in swap is limited as well."""

    def claim(self) -> None:
        """Prepare the parent of the server's group, so that groups below it can have limits."""

    def folders(self, name: str) -> tuple[str, ...]:
        """Return the folders that together are the group `name`."""

    def prepare(self, name: str) -> None:
        """Prepare the group `name`, so that its children can have limits."""

    def limit(self, name: str, limits: Limits) -> None:
        """Write the limits of the group `name`."""

    def limit_cpus(self, name: str, cpus: float) -> None:
        """Limit the CPUs that the group `name` may keep busy."""

    def limit_sockets(self, name: str, size: int) -> None:
        """Limit the socket buffers of the group `name` to `size` bytes, where they do not count as memory."""

    def usage(self, name: str) -> GroupUsage:
        """Read the counters of the group `name`."""

    def memory(self, name: str) -> int:
        """Return the memory of the group `name` in bytes; 0 if this host does not measure it."""


class RunGroup:
    """The group of one run.

    Attributes:
        task_files: Descriptors of the `tasks` files, to which a process with one thread writes ``0`` to join. Empty on
            v2, where `add` moves the process instead.
    """

    def __init__(self, layout: Layout, name: str, task_files: tuple[int, ...]) -> None:
        self._layout = layout
        self._name = name
        self.task_files = task_files

    @property
    def walls(self) -> frozenset[str]:
        """Which of ``memory``, ``pids`` and ``cpu`` are limited."""
        return self._layout.walls

    def add(self, pid: int) -> None:
        """Move a process into the group, unless it joins by itself. Processes that it starts later join too.

        Args:
            pid: The id of the process on the host.

        Raises:
            OSError: The process is gone, or the group refuses it.
        """
        if not self.task_files:
            for folder in self._layout.folders(self._name):
                write(f"{folder}/cgroup.procs", str(pid))

    def processes(self) -> tuple[int, ...]:
        """List the ids on the host of all processes in the group."""
        with open(f"{self._layout.folders(self._name)[0]}/cgroup.procs", encoding="ascii") as file:  # noqa: PTH123 - faster
            return tuple(map(int, file))

    def limit(self, limits: Limits) -> None:
        """Replace the limits of the group.

        Raises:
            OSError: The kernel refused a limit.
        """
        self._layout.limit(self._name, limits)

    def limit_cpus(self, cpus: float) -> None:
        """Replace the limit of CPUs that may be busy at once, if this host can limit CPUs.

        Raises:
            OSError: The kernel refused the limit.
        """
        self._layout.limit_cpus(self._name, cpus)

    def limit_sockets(self, size: int) -> None:
        """Limit the buffers of the run's network sockets. Without a network interface the run cannot fill them.

        Args:
            size: Bytes; without effect on v2, where buffers count as memory.

        Raises:
            OSError: The kernel refused the limit.
        """
        self._layout.limit_sockets(self._name, size)

    def usage(self) -> GroupUsage:
        """Read what the run has used so far."""
        return self._layout.usage(self._name)

    def memory(self) -> int:
        """Return the bytes that the run holds now; 0 if this host does not measure them."""
        return self._layout.memory(self._name)


class Cgroups:
    """The server's group, below which each run gets one."""

    def __init__(self, layout: Layout, name: str) -> None:
        self._layout = layout
        self._name = name
        self._runs = 0

    @property
    def walls(self) -> frozenset[str]:
        """Which of ``memory``, ``pids`` and ``cpu`` are limited."""
        return self._layout.walls

    @contextmanager
    def run(self, limits: Limits) -> Iterator[RunGroup]:
        """Make a group for one run, and remove it on leaving. All its processes must have ended by then.

        Raises:
            OSError: The kernel refused the group or one of its limits.
        """
        self._runs += 1
        name = f"{self._name}/{self._runs}"
        with _group_folders(self._layout, name), ExitStack() as held:
            self._layout.limit(name, limits)
            yield RunGroup(self._layout, name, self._open_task_files(name, held))

    def _open_task_files(self, name: str, held: ExitStack) -> tuple[int, ...]:
        if self._layout.tasks_file is None:
            return ()
        task_files = []
        for folder in self._layout.folders(name):
            task_files.append(os.open(f"{folder}/{self._layout.tasks_file}", os.O_WRONLY | os.O_CLOEXEC))
            held.callback(os.close, task_files[-1])
        return tuple(task_files)


@contextmanager
def server_group(layout: Layout, name: str) -> Iterator[Cgroups]:
    """Make the server's group, and remove it on leaving.

    Args:
        layout: The version of cgroups found on this host.
        name: The group's name, which no other server has.

    Raises:
        HostError: The kernel refused the group.
    """
    with ExitStack() as held:
        try:
            layout.claim()
            held.enter_context(_group_folders(layout, name))
            layout.prepare(name)
        except OSError as error:
            raise HostError(f"the server's cgroup cannot be made: {error}") from error
        try:
            yield Cgroups(layout, name)
        finally:
            sweep(layout.folders(name))


def sweep(folders: Iterable[str]) -> None:
    """Kill the processes in a server's groups, and remove the groups.

    This blocks while processes end, so only the start and the end of a server may call it.

    Args:
        folders: The folders of the server's group, one for each hierarchy.
    """
    for folder in map(Path, folders):
        if folder.is_dir():
            for group in (*(path for path in folder.iterdir() if path.is_dir()), folder):
                _clear(group)


@contextmanager
def _group_folders(layout: Layout, name: str) -> Iterator[None]:
    made: list[str] = []
    try:
        for folder in layout.folders(name):
            os.mkdir(folder)  # noqa: PTH102 - paths are strings here, which is quicker
            made.append(folder)
        yield
    finally:
        for folder in reversed(made):
            with suppress(OSError):  # still in use, or removed already: the server sweeps again at its end
                os.rmdir(folder)  # noqa: PTH106


def _clear(folder: Path) -> None:
    for _ in range(_KILL_ROUNDS):
        with suppress(FileNotFoundError, ProcessLookupError):
            _kill_all(folder)
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(_KILL_PAUSE_S)
        else:
            return


_KILL_ROUNDS = 100
_KILL_PAUSE_S = 0.01
"""Seconds between two attempts to remove a group; killed processes have usually left it by then."""


def _kill_all(folder: Path) -> None:
    """Kill every process of a group: all together by cgroup.kill (v2, Linux 5.14), else one by one."""
    if (folder / "cgroup.kill").exists():
        (folder / "cgroup.kill").write_text("1")
        return
    for pid in (folder / "cgroup.procs").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
