"""From a TOML file to a registry: reading, validating, merging, and cross-checking; every mistake is told at once."""

import difflib
import hashlib
import os
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from snekhouse.errors import Problem, RegistryError
from snekhouse.registry.mistakes import dotted, explain, without_mistakes
from snekhouse.registry.models import (
    DEFAULT_ENV,
    HOME,
    SHM,
    File,
    Mount,
    Registry,
    Runtime,
    RuntimeTable,
    Settings,
)


def load(path: Path) -> Registry:
    """Load a registry.

    Args:
        path: A TOML file; docs/reference/registry.md lists its keys.

    Raises:
        RegistryError: It cannot be used; holds every problem found.
    """
    source = str(path)
    data = _read(path)
    file = _validate(_parse(source, data), source)
    runtimes = {name: _merge(name, table, file.defaults) for name, table in file.runtimes.items()}
    return Registry(
        source=source,
        digest=hashlib.sha256(data).hexdigest(),
        default=_default(file),
        server=file.server,
        runtimes=runtimes,
        executables=_executables(runtimes),
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        remedy = "name another with --registry, or write one with `snekhouse runtimes discover`"
        raise RegistryError([Problem(str(path), "", f"cannot be read: {error.strerror}", remedy)]) from error


def _parse(source: str, data: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RegistryError([Problem(source, "", f"is not TOML: {error}", "mend the syntax there")]) from error


def _validate(parsed: dict[str, Any], source: str) -> File:
    """Validate, and cross-check what can be: also the rest of a file that has mistakes."""
    try:
        file = File.model_validate(parsed)
    except ValidationError as error:
        problems = list(explain(error, File, source))
        with suppress(ValidationError):
            problems += _cross_check(File.model_validate(without_mistakes(parsed, error)), source)
        raise RegistryError(problems) from error
    if problems := list(_cross_check(file, source)):
        raise RegistryError(problems)
    return file


def _merge(name: str, table: RuntimeTable, defaults: Settings) -> Runtime:
    """Lay a runtime's table over the defaults: key by key; mounts append, and an equal target replaces."""
    own = {key: getattr(table, key) for key in table.model_fields_set}
    mounts = {mount.target: mount for mount in (*defaults.mounts, *table.mounts)}
    merged = {
        **{key: getattr(defaults, key) for key in defaults.model_fields_set},
        **own,
        "name": name,
        "limits": defaults.limits.model_copy(update=table.limits.model_dump(include=table.limits.model_fields_set)),
        "files": defaults.files.model_copy(update=table.files.model_dump(include=table.files.model_fields_set)),
        "env": {**DEFAULT_ENV, **defaults.env, **table.env},
        "mounts": tuple(mounts.values()),
    }
    return Runtime(**merged)


def _default(file: File) -> str:
    """Resolve the default to a runtime's name; it may be omitted where there is but one."""
    for name, table in file.runtimes.items():
        if file.default is None or file.default == name or file.default in table.aliases:
            return name
    raise AssertionError("checked before")


def _executables(runtimes: dict[str, Runtime]) -> dict[str, str]:
    """Map every path that may name a runtime; links are resolved now, never for a client. Declared paths win."""
    declared = {
        path: name for name, runtime in runtimes.items() for path in (runtime.executable, *runtime.executable_names)
    }
    resolved = {os.path.realpath(runtime.executable): name for name, runtime in runtimes.items()}
    return resolved | declared


def _cross_check(file: File, source: str) -> Iterator[Problem]:
    """Find what no table shows by itself."""
    if not file.runtimes:
        yield Problem(source, "runtimes", "lists no runtime", 'add a table [runtimes."3.14"]')
        return
    yield from _check_default(file, source)
    yield from _check_names(file, source)
    yield from _check_executables(file, source)
    yield from _check_mounts(file.defaults.mounts, source, ("defaults",))
    for name, table in file.runtimes.items():
        yield from _check_mounts(table.mounts, source, ("runtimes", name))


def _check_default(file: File, source: str) -> Iterator[Problem]:
    known = [*file.runtimes, *(alias for table in file.runtimes.values() for alias in table.aliases)]
    if file.default is None and len(file.runtimes) > 1:
        yield Problem(source, "default", "is missing", f"name one of: {', '.join(file.runtimes)}")
    elif file.default is not None and file.default not in known:
        near = difflib.get_close_matches(file.default, known, 1)
        remedy = f"did you mean {near[0]!r}?" if near else f"name one of: {', '.join(known)}"
        yield Problem(source, "default", f"there is no runtime {file.default!r}", remedy)


def _check_names(file: File, source: str) -> Iterator[Problem]:
    owners: dict[str, str] = {}
    for name, table in file.runtimes.items():
        for index, alias in enumerate(table.aliases):
            key = dotted(("runtimes", name, "aliases", index))
            if alias in file.runtimes:
                yield Problem(source, key, f"the alias {alias!r} hides the runtime of that name", "remove the alias")
            elif alias in owners:
                message = f"{alias!r} is an alias of {owners[alias]!r} already"
                yield Problem(source, key, message, "remove one of them")
            owners.setdefault(alias, name)


def _check_executables(file: File, source: str) -> Iterator[Problem]:
    owners: dict[str, str] = {}
    for name, table in file.runtimes.items():
        for index, path in enumerate(table.executable_names):
            key = dotted(("runtimes", name, "executable_names", index))
            if owners.setdefault(path, name) != name:
                message = f"{path!r} names the runtime {owners[path]!r} already"
                yield Problem(source, key, message, "remove one of them")


_RESERVED = {"/", HOME, SHM, "/dev", "/snekhouse", "/proc"}


def _check_mounts(mounts: tuple[Mount, ...], source: str, table: tuple[str, ...]) -> Iterator[Problem]:
    for index, mount in enumerate(mounts):
        if mount.target in _RESERVED:
            key = dotted((*table, "mounts", index, "target"))
            yield Problem(source, key, f"{mount.target} is the jail's own", "choose another target")
