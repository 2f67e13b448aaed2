"""The server's group and, below it, one for each run; the same for both versions of cgroups."""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from snekhouse.host.cgroups.files import write
from snekhouse.registry.models import Limits


@dataclass(frozen=True, slots=True)
class GroupUsage:
    """What a run used, by the counters of its group; None where this host does not count it.

    Attributes:
        memory: Peak in bytes, tmpfs and page cache included.
        cpu_time: Seconds, user and system, of all processes.
        oom_kills: How many processes the kernel killed for want of memory.
        refused_forks: How often the kernel refused a process or thread above the limit.
    """

    memory: int | None = None
    cpu_time: float | None = None
    oom_kills: int = 0
    refused_forks: int = 0


class Layout(Protocol):
    """What differs between the versions: which folders a group has, and which files hold limits and counters."""

    @property
    def walls(self) -> frozenset[str]:
        """Which of ``memory``, ``pids`` and ``cpu`` this host can limit."""

    @property
    def tasks_file(self) -> str | None:
        """The file of a group by which a thread moves itself in, if there is one that is cheap."""

    @property
    def limits_swap(self) -> bool:
        """Whether memory in swap is limited as well."""

    def claim(self) -> None:
        """Make the place below which the server's group goes ready for groups with limits."""

    def folders(self, name: str) -> tuple[str, ...]:
        """Name the folders that together are the group `name`."""

    def prepare(self, name: str) -> None:
        """Let children of the group `name` have limits."""

    def limit(self, name: str, limits: Limits) -> None:
        """Write the limits of the group `name`."""

    def limit_sockets(self, name: str, most: int) -> None:
        """Limit buffers of network sockets of the group `name` to `most` bytes, where they do not count as memory."""

    def usage(self, name: str) -> GroupUsage:
        """Read the counters of the group `name`."""


class RunGroup:
    """The group of one run.

    Attributes:
        task_files: Descriptors through which a process of one thread joins by writing ``0`` to each. Empty where the
            version has no such way: then `add` is the way.
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
        """Move a process in, by its pid as the server sees it, unless it joined by itself.

        What it starts from then on is born inside.

        Raises:
            OSError: The process is gone, or the group refuses it.
        """
        if not self.task_files:
            for folder in self._layout.folders(self._name):
                write(f"{folder}/cgroup.procs", str(pid))

    def limit(self, limits: Limits) -> None:
        """Set other limits than those that it was made with.

        Raises:
            OSError: The kernel refused one.
        """
        self._layout.limit(self._name, limits)

    def limit_sockets(self, most: int) -> None:
        """Limit the buffers of its network sockets, which are empty as long as there is no interface.

        Args:
            most: Bytes, where they do not count as memory of the run anyway.

        Raises:
            OSError: The kernel refused.
        """
        self._layout.limit_sockets(self._name, most)

    def usage(self) -> GroupUsage:
        """Read what the run has used so far."""
        return self._layout.usage(self._name)


class Cgroups:
    """The server's own group, from which each run gets one of its own."""

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
        """Make a group with these limits for one run; it is removed on leaving, when all in it must be dead.

        Raises:
            OSError: The kernel refused the group or one of its limits.
        """
        self._runs += 1
        name = f"{self._name}/{self._runs}"
        with _made(self._layout, name), ExitStack() as held:
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
    """Hold the server's group while the server lives.

    Args:
        layout: The version of cgroups found on this host.
        name: The group's name, of this server alone.

    Raises:
        OSError: The kernel refused.
    """
    layout.claim()
    with _made(layout, name):
        layout.prepare(name)
        try:
            yield Cgroups(layout, name)
        finally:
            sweep(layout.folders(name))


def sweep(folders: Iterable[str]) -> None:
    """Kill what is left in a server's groups, and remove them with their children.

    Blocks for a moment where something is left: for the start and the end of a server.

    Args:
        folders: Those of the server's group, one for each hierarchy.
    """
    for folder in map(Path, folders):
        if folder.is_dir():
            for group in (*(path for path in folder.iterdir() if path.is_dir()), folder):
                _clear(group)


@contextmanager
def _made(layout: Layout, name: str) -> Iterator[None]:
    made: list[str] = []
    try:
        for folder in layout.folders(name):
            os.mkdir(folder)  # noqa: PTH102 - paths are strings here, which is quicker
            made.append(folder)
        yield
    finally:
        for folder in reversed(made):
            with suppress(OSError):  # still in use, or already swept: the server's end sweeps again
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
            time.sleep(_KILL_PAUSE)
        else:
            return


_KILL_ROUNDS = 100
_KILL_PAUSE = 0.01
"""Seconds until a killed process has left its group, as a rule."""


def _kill_all(folder: Path) -> None:
    """Kill every process of a group: at once by cgroup.kill (v2, Linux 5.14), else one by one."""
    if (folder / "cgroup.kill").exists():
        (folder / "cgroup.kill").write_text("1")
        return
    for pid in (folder / "cgroup.procs").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
