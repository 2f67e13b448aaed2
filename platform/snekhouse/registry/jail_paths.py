"""Paths in a jail: the paths that belong to the jail itself, and checks for mounts and tmpfs that conflict.

Like `cross_check`, it reads the parsed file and skips values of the wrong type.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ByteSize, TypeAdapter, ValidationError

from snekhouse.registry.environment import DEFAULT_ENV
from snekhouse.registry.mistakes import Location, Mistake
from snekhouse.registry.models import HOME, SHM, Limits
from snekhouse.registry.root import PLACES, is_of_system
from snekhouse.registry.values import Size, as_table, normal_path

_HIDDEN_BELOW = (HOME, SHM, "/proc", "/snekhouse")
"""Paths that belong to the jail: a mount at or below such a path would hide it, or would be hidden."""

_OWN_PATHS = ("/", "/dev", "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")

_SIZE: TypeAdapter[ByteSize] = TypeAdapter(Size)


def own_place(target: str) -> str | None:
    """Return the path of the jail itself that a mount at `target` conflicts with; None if there is no conflict."""
    below = (place for place in _HIDDEN_BELOW if f"{target}/".startswith(f"{place}/"))
    return target if target in _OWN_PATHS else next(below, None)


@dataclass(frozen=True, slots=True)
class _Place:
    """A mount at a path of a jail.

    Attributes:
        target: The path, in its normal form.
        location: Where the file has the mount; empty if the mount does not come from `mounts`.
        tmpfs: The size as it is written; None for a mount of the host.
    """

    target: str
    location: Location = ()
    tmpfs: object = None


def check_form(location: Location, mount: Mapping[str, Any]) -> Iterator[Mistake]:
    """Find a mount that has neither `source` nor `tmpfs`, or both.

    Args:
        location: Where the file has the mount.
        mount: The table, as it is written.
    """
    if "tmpfs" not in mount:
        if "source" not in mount:
            yield Mistake((*location, "source"), "is missing", "add it, or tmpfs")
        return
    if "target" not in mount and "source" not in mount:
        yield Mistake((*location, "target"), "is missing", "add the path of the tmpfs in the jail")
    if "source" in mount:
        yield Mistake((*location, "source"), "cannot be combined with tmpfs", "remove one of them")
    for key in ("writable", "mandatory"):
        if mount.get(key) is False:
            yield Mistake((*location, key), "must be true for a tmpfs", "remove it, or tmpfs")


def check_tmpfs(name: str, table: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[Mistake]:
    """Find the tmpfs of a runtime that conflict with another mount, or that are larger than its memory.

    Args:
        name: Name of the runtime.
        table: Table of the runtime.
        defaults: The table `[defaults]`.
    """
    places = _places(name, table, defaults)
    limits = {"memory": Limits().memory, **as_table(defaults.get("limits")), **as_table(table.get("limits"))}
    memory = _size(limits["memory"])
    for place in places:
        if place.tmpfs is None:
            continue
        size = _size(place.tmpfs)
        if size and memory and size > memory:
            message = f"is larger than limits.memory ({memory.human_readable()}), which includes it (runtime {name})"
            yield Mistake((*place.location, "tmpfs"), message, "write a smaller size, or raise limits.memory")
        for other in places:
            if relation := _relation(place, other):
                message = f"the tmpfs {place.target!r} {relation} {other.target!r}, another mount of {name}"
                yield Mistake((*place.location, "target"), message, "choose a target that does not overlap")


def _relation(tmpfs: _Place, other: _Place) -> str:
    """Describe how a tmpfs and another mount are nested, once for each pair; empty if they are not nested."""
    if tmpfs.target.startswith(f"{other.target}/"):
        return "is below"
    return "would hide" if other.target.startswith(f"{tmpfs.target}/") and other.tmpfs is None else ""


def _places(name: str, table: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[_Place]:
    """List the mounts in the jails of a runtime: its root, the defaults', its own and its packages."""
    found = {place: _Place(place) for place in (PLACES if table.get("root", defaults.get("root")) else ())}
    inherited = _mounted(("defaults",), defaults)
    if "root" in table:
        inherited = (place for place in inherited if not is_of_system(place.target))
    for place in (*inherited, *_mounted(("runtimes", name), table)):
        found[place.target] = place
    base = {**DEFAULT_ENV, **as_table(defaults.get("env")), **as_table(table.get("env"))}["PYTHONUSERBASE"]
    if isinstance(base, str) and base.startswith("/"):
        found.setdefault(normal_path(base), _Place(normal_path(base)))
    return list(found.values())


def _mounted(table: Location, settings: Mapping[str, Any]) -> Iterator[_Place]:
    mounts = settings.get("mounts")
    for index, mount in enumerate(mounts if isinstance(mounts, list) else ()):
        target = as_table(mount).get("target", as_table(mount).get("source"))
        if isinstance(target, str) and target.startswith("/") and not own_place(normal_path(target)):
            yield _Place(normal_path(target), (*table, "mounts", index), mount.get("tmpfs"))


def _size(written: object) -> ByteSize | None:
    try:
        return _SIZE.validate_python(written)
    except ValidationError:
        return None
