"""What runs may leave of themselves on the host."""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from serving import Server


def held(server: Server) -> dict[str, Any]:
    """Everything that a server and its runs hold, by what it is."""
    own = Path(f"/proc/{server.process.pid}")
    state = state_of(server)
    return {
        "processes": len(descendants(server.process.pid)),  # fork servers have another run in waiting after each
        "descriptors": len(list((own / "fd").iterdir())),
        "mounts": len((own / "mountinfo").read_text().splitlines()),
        "cgroups": len(groups(state.name)),
        "files": sorted(map(str, state.rglob("*"))),
    }


def groups(service: str) -> list[str]:
    """Name all cgroups of a server, by the name of its state folder."""
    walk = os.walk("/sys/fs/cgroup")  # unlike rglob, it does not mind groups that go meanwhile
    tops = [Path(folder, name) for folder, names, _ in walk for name in names if name == f"snekhouse-{service}"]
    return sorted([*map(str, tops), *(str(top / name) for top in tops for name in next(os.walk(top))[1])])


def descendants(pid: int) -> set[int]:
    """Find all processes that a process has started, and that those have."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(FileNotFoundError, ProcessLookupError):
            parent = re.findall(r"^PPid:\t(\d+)", status.read_text(), re.MULTILINE)[0]
            parents[int(status.parent.name)] = int(parent)
    found: set[int] = set()
    wave = {pid}
    while wave:
        wave = {child for child, parent in parents.items() if parent in wave}
        found |= wave
    return found


def guests(first: int, last: int) -> dict[str, int]:
    """Find all that runs with host ids of a range have started and that is not dead: process id, and host id.

    What a fork server forked ahead is none yet: it is in no run's group.
    """
    found = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(FileNotFoundError, ProcessLookupError):
            text = status.read_text()
            user = int(re.findall(r"^Uid:\t(\d+)", text, re.MULTILINE)[0])
            is_in_run = re.search(r"/snekhouse-[^/]+/\d+$", (status.parent / "cgroup").read_text(), re.MULTILINE)
            if first <= user <= last and is_in_run and "State:\tZ" not in text:
                found[status.parent.name] = user
    return found


def state_of(server: Server) -> Path:
    """Find the state folder of a server: it keeps a lock in it."""
    for descriptor in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            link = descriptor.readlink()
            if link.name == "lock" and link.parent.name.startswith("house-"):
                return Path(f"/proc/{server.process.pid}/root{link.parent}")  # which may be in a container
    raise LookupError("the server has no state folder")
