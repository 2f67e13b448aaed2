"""What servers and their runs have on a host, containers included: processes, cgroups, mounts and files."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PROGRAMS = re.compile(r"snekhouse|nsjail")
_SERVER = re.compile(r"[^\0]*/python[^\0]*\0[^\0]*/snekhouse\0serve\0")
_STATE = ("/run/snekhouse", "/run/user/*/snekhouse", "/tmp/snekhouse-*", "/run/snekhouse/snekhouse")


def remains() -> set[str]:
    """Name all that servers and their runs have now."""
    return {*_processes(), *_groups(), *_mounts(), *_files()}


def server_pid() -> int:
    """Find the oldest process that is a server.

    Raises:
        LookupError: There is none.
    """
    servers = [(each.born, each.pid) for each in _all() if _SERVER.match(each.command)]
    if not servers:
        raise LookupError("no server runs")
    return min(servers)[1]


class _Process:
    """A process, as proc(5) tells of it."""

    def __init__(self, folder: Path) -> None:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        self.pid = int(folder.name)
        self.is_dead = fields[0] == "Z"
        self.born = int(fields[19])
        self.command = (folder / "cmdline").read_text(errors="replace")


def _all() -> Iterator[_Process]:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            process = _Process(folder)
            if process.pid != os.getpid() and not process.is_dead:
                yield process


def _processes() -> Iterator[str]:
    for each in _all():
        program = each.command.replace("\0", " ").strip()
        if _PROGRAMS.search(program) and "hosts.inside" not in program:
            yield f"process {each.pid} born at {each.born}: {program[:100]}"


def _groups() -> Iterator[str]:
    for folder, names, _ in os.walk("/sys/fs/cgroup"):
        yield from (f"cgroup {folder}/{name}" for name in names if name.startswith("snekhouse-house-"))


def _mounts() -> Iterator[str]:
    for line in Path("/proc/1/mountinfo").read_text().splitlines():
        point = line.split()[4]
        if _PROGRAMS.search(point):
            yield f"mount {point}"


def _files() -> Iterator[str]:
    for pattern in _STATE:
        for parent in Path("/").glob(pattern.lstrip("/")):
            yield from (f"folder {each}" for each in parent.glob("house-*"))
