"""Checks across the tables of a registry: names, executables and mounts that contradict each other.

The checks read the parsed file, not the models, so that one mistake does not hide another. They skip values of the
wrong type, because the models report these.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from snekhouse.registry.jail_paths import check_form, check_tmpfs, own_place
from snekhouse.registry.mistakes import Location, Mistake, nearest
from snekhouse.registry.root import PLACES
from snekhouse.registry.values import as_table, normal_path

_Tables = dict[str, dict[str, Any]]


def cross_check(parsed: Mapping[str, Any]) -> Iterator[Mistake]:
    """Find values that contradict each other.

    Args:
        parsed: The file, as `tomllib` parsed it.
    """
    runtimes = _tables(parsed.get("runtimes"))
    yield from _check_default(parsed, runtimes)
    yield from _check_uids(as_table(parsed.get("server")), runtimes)
    yield from _check_aliases(runtimes)
    yield from _check_executable_names(runtimes)
    defaults = as_table(parsed.get("defaults"))
    yield from _check_mounts(("defaults",), defaults, defaults.get("root"))
    for name, table in runtimes.items():
        yield from _check_mounts(("runtimes", name), table, table.get("root", defaults.get("root")))
        yield from _check_build(("runtimes", name, "build"), table)
    yield from _check_tmpfs(runtimes, defaults)


def _check_default(parsed: Mapping[str, Any], runtimes: _Tables) -> Iterator[Mistake]:
    default = parsed.get("default")
    aliases = [alias for table in runtimes.values() for _, alias in _texts(table, "aliases")]
    if parsed.get("runtimes", {}) == {}:
        yield Mistake(("runtimes",), "lists no runtime", 'add a table [runtimes."3.14"]')
    elif default is None and len(runtimes) > 1:
        yield Mistake(("default",), "is missing", f"name one of: {', '.join(runtimes)}")
    elif isinstance(default, str) and default not in (known := [*runtimes, *aliases]):
        yield Mistake(
            ("default",),
            f"there is no runtime {default!r}",
            nearest(default, known, f"name one of: {', '.join(known)}"),
        )


def _check_uids(server: Mapping[str, Any], runtimes: _Tables) -> Iterator[Mistake]:
    """Find a range of ids that is too small for all evaluations, spare forks and fork servers at once."""
    concurrency, workers = server.get("concurrency") or os.cpu_count() or 1, server.get("workers", 1)
    sessions = server.get("sessions", 0)
    if not isinstance(concurrency, int) or not isinstance(workers, int) or not isinstance(sessions, int):
        return
    if workers > concurrency > 0:
        message = f"{workers} is more than concurrency, which is {concurrency}"
        yield Mistake(("server", "workers"), message, f"write {concurrency} or fewer, or raise concurrency")
    match server:
        case {"uids": [int(first), int(last)]}:
            needed = ids_needed(concurrency, workers, len(runtimes), sessions)
            if first < last < first + needed - 1:
                message = (
                    f"has {last - first + 1} ids; {needed} are needed: {concurrency + sessions} for evaluations and "
                    f"sessions, and for each worker {_SPARE_FORKS} for each runtime and 1 for fork servers"
                )
                yield Mistake(("server", "uids"), message, f"end the range at {first + needed - 1} or later")


def ids_needed(concurrency: int, workers: int, runtimes: int, sessions: int) -> int:
    """Count the host ids that evaluations, sessions, spare forks and fork servers need at once."""
    return concurrency + sessions + (_SPARE_FORKS * runtimes + 1) * workers


_SPARE_FORKS = 8
"""Spare forks of a runtime: one for each of three generations of its fork server, one more while a new
third generation replaces the old one, and as many again while another fork server replaces this one."""


def _check_aliases(runtimes: _Tables) -> Iterator[Mistake]:
    owners: dict[str, str] = {}
    for name, table in runtimes.items():
        for index, alias in _texts(table, "aliases"):
            location = ("runtimes", name, "aliases", index)
            if alias in runtimes:
                yield Mistake(location, f"the alias {alias!r} is also the name of a runtime", "remove the alias")
            elif alias in owners:
                yield Mistake(location, f"{alias!r} is already an alias of {owners[alias]!r}", "remove one of them")
            owners.setdefault(alias, name)


def _check_executable_names(runtimes: _Tables) -> Iterator[Mistake]:
    """Find executable names of more than one runtime; runtimes that differ in limits may share an `executable`."""
    executables = {
        str(table["executable"]): name for name, table in reversed(runtimes.items()) if "executable" in table
    }
    owners: dict[str, str] = {}
    for name, table in runtimes.items():
        for index, path in _texts(table, "executable_names"):
            location = ("runtimes", name, "executable_names", index)
            if owners.setdefault(path, name) != name:
                yield Mistake(location, f"{path!r} already names the runtime {owners[path]!r}", "remove one of them")
            elif executables.get(path, name) != name:
                message = f"{path!r} is the executable of the runtime {executables[path]!r}"
                yield Mistake(location, message, "remove it here")


def _check_mounts(table: Location, settings: Mapping[str, Any], root: object) -> Iterator[Mistake]:
    mounts = settings.get("mounts")
    for index, mount in enumerate(mounts if isinstance(mounts, list) else ()):
        if isinstance(mount, dict):
            yield from check_form((*table, "mounts", index), mount)
        key = "target" if "target" in as_table(mount) else "source"
        target = as_table(mount).get(key)
        if not isinstance(target, str) or not target.startswith("/"):
            continue
        location = (*table, "mounts", index, key)
        if place := own_place(normal_path(target)):
            message = f"the target {target!r} conflicts with the jail's own {place}"
            yield Mistake(location, message, "choose another target")
        elif isinstance(root, str) and normal_path(target) in PLACES:
            message = f"the target {target!r} conflicts with the root {root}, which provides it"
            yield Mistake(location, message, "remove the mount, or root")


def _check_tmpfs(runtimes: _Tables, defaults: Mapping[str, Any]) -> Iterator[Mistake]:
    """Find tmpfs that do not fit a runtime; report a tmpfs of the defaults once."""
    found: dict[Location, Mistake] = {}
    for name, table in runtimes.items():
        for mistake in check_tmpfs(name, table, defaults):
            found.setdefault(mistake.location, mistake)
    yield from found.values()


def _check_build(location: Location, table: Mapping[str, Any]) -> Iterator[Mistake]:
    build = table.get("build")
    if not isinstance(build, dict):
        return
    if "image" in build:
        for key in ("version", "sha256", "configure"):
            if key in build:
                yield Mistake((*location, key), "cannot be combined with image", f"remove {key}, or image")
        return
    for key in ("version", "sha256"):
        if key not in build:
            yield Mistake((*location, key), "is missing", "add it, or set image")


def _tables(value: object) -> _Tables:
    return {name: as_table(table) for name, table in as_table(value).items()}


def _texts(table: Mapping[str, Any], key: str) -> Iterator[tuple[int, str]]:
    items = table.get(key)
    if isinstance(items, list):
        yield from ((index, item) for index, item in enumerate(items) if isinstance(item, str))
