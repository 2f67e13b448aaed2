"""Loading a registry: read a TOML file, check it, merge its tables, and report all mistakes together."""

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ByteSize, ValidationError

from snekhouse.errors import Problem, RegistryError
from snekhouse.registry.cross_check import cross_check
from snekhouse.registry.environment import DEFAULT_ENV
from snekhouse.registry.mistakes import Location, Mistake, mistakes_of
from snekhouse.registry.models import (
    ADDRESS_SPACE_BESIDE_MEMORY,
    ADDRESS_SPACE_OF_THREAD,
    Limits,
    Mount,
    MountTable,
    Registry,
    RegistryFile,
    Runtime,
    RuntimeTable,
    Settings,
    Tmpfs,
)
from snekhouse.registry.root import is_of_system, resolved_inside
from snekhouse.registry.values import as_table

_Table = TypeVar("_Table", bound=BaseModel)


def load(path: Path) -> Registry:
    """Load a registry.

    Args:
        path: A TOML file; docs/reference/registry.md lists its keys.

    Raises:
        RegistryError: The file cannot be used; the error holds every problem found.
    """
    return parse(_read(path), str(path))


def parse(data: bytes, source: str) -> Registry:
    """Parse the bytes of a file into a registry.

    Args:
        data: TOML.
        source: The file, as the person named it.

    Raises:
        RegistryError: As for `load`.
    """
    file = _check(_parse(source, data), source)
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
        return tomllib.loads(data.decode("utf-8-sig"))  # some editors write a byte order mark
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RegistryError([Problem(source, "", f"is not UTF-8 (line {line})", "save the file as UTF-8")]) from error
    except (ValueError, RecursionError) as error:  # tomllib raises both too: numbers too long, lists too deep
        remedy = next((remedy for words, remedy in _SYNTAX.items() if words in str(error)), "correct the syntax")
        raise RegistryError([Problem(source, "", f"is not TOML: {error}", remedy)]) from error


_SYNTAX = {
    "Cannot mutate immutable namespace": "the file has a value for it already; write a value or tables, not both",
}
"""Remedies for errors of `tomllib`, by words in them: other errors name the mistake itself."""


def _check(parsed: dict[str, Any], source: str) -> RegistryFile:
    """Validate each table, then check across tables; raise the mistakes in the order of the file."""
    mistakes = [*_name_defaults(parsed), *_quote_names(parsed)]
    try:
        file = RegistryFile.model_validate(parsed)
    except ValidationError as error:
        file = None
        mistakes += mistakes_of(error, RegistryFile)
    mistakes += cross_check(parsed)
    if file is None or mistakes:
        mistakes.sort(key=lambda mistake: _position(mistake.location, parsed))
        raise RegistryError([mistake.in_file(source) for mistake in mistakes])
    return file


def _name_defaults(parsed: dict[str, Any]) -> list[Mistake]:
    """Read a table ``[default]`` as ``[defaults]``, so that its content is checked too."""
    if not isinstance(parsed.get("default"), dict):
        return []
    parsed.setdefault("defaults", parsed["default"])
    parsed["default"] = next(iter(as_table(parsed.get("runtimes"))), None)
    if parsed["default"] is None:
        del parsed["default"]
    return [Mistake(("default",), "is a table, but must be the name of a runtime", "rename the table to [defaults]")]


def _quote_names(parsed: dict[str, Any]) -> list[Mistake]:
    """Read ``[runtimes.3.12]``, in TOML a table "12" in a table "3", as the runtime "3.12", and check it as well."""
    runtimes = parsed.get("runtimes")
    if not isinstance(runtimes, dict):
        return []
    mistakes = []
    for major, table in list(runtimes.items()):
        minors = [key for key in table if key[:1].isdigit()] if major.isdigit() and isinstance(table, dict) else []
        for minor in minors:
            name = f"{major}.{minor}"
            runtimes.setdefault(name, table.pop(minor))
            mistakes.append(Mistake(("runtimes", name), "needs quotes", f'write [runtimes."{name}"]'))
        if minors and not table:
            del runtimes[major]
    return mistakes


def _position(location: Location, parsed: Any) -> tuple[int, ...]:
    """Return the position of a location in the file, for sorting; a missing key comes last in its table."""
    position: list[int] = []
    for part in location:
        if isinstance(parsed, Mapping):
            position.append(list(parsed).index(part) if part in parsed else len(parsed))
            parsed = parsed.get(part)
        elif isinstance(parsed, list) and isinstance(part, int):
            position.append(part)
            parsed = parsed[part]
    return tuple(position)


def _merge(name: str, table: RuntimeTable, defaults: Settings) -> Runtime:
    """Merge a runtime's table over the defaults, key by key. A mount replaces an inherited one with the same target."""
    mounts = {mount.target: mount for mount in (*_inherited_mounts(table, defaults), *table.mounts)}
    merged = {
        **_written(defaults),
        **_written(table),
        "name": name,
        "limits": _limits(defaults.limits, table.limits),
        "files": _over(defaults.files, table.files),
        "env": {**DEFAULT_ENV, **defaults.env, **table.env},
        "mounts": tuple(Mount(**_written(mount)) for mount in mounts.values() if mount.source),
        "tmpfs": tuple(Tmpfs(target=mount.target, size=mount.tmpfs) for mount in mounts.values() if mount.tmpfs),
    }
    return Runtime(**merged)


def _inherited_mounts(table: RuntimeTable, defaults: Settings) -> tuple[MountTable, ...]:
    """List the mounts that a runtime takes from the defaults: if it has a root, without those of the host's system."""
    if table.root is None:
        return defaults.mounts
    return tuple(mount for mount in defaults.mounts if not is_of_system(mount.target))


def _limits(*tables: Limits) -> Limits:
    """Merge limits; if a table raises `memory` or `processes` but not `address_space`, raise it with them."""
    limits = Limits()
    for table in tables:
        before, limits = limits, _over(limits, table)
        is_raised = limits.memory > before.memory or limits.processes > before.processes
        if is_raised and "address_space" not in table.model_fields_set:
            space = max(limits.address_space, _needed_address_space(limits))
            limits = limits.model_copy(update={"address_space": ByteSize(space)})
    return limits


def _needed_address_space(limits: Limits) -> int:
    """Return the default for this memory, and 72 MiB more for each process above the default number."""
    more_threads = max(0, limits.processes - Limits().processes)
    return limits.memory + ADDRESS_SPACE_BESIDE_MEMORY + more_threads * ADDRESS_SPACE_OF_THREAD


def _over(below: _Table, above: _Table) -> _Table:
    return below.model_copy(update=_written(above))


def _written(table: BaseModel) -> dict[str, Any]:
    return {key: getattr(table, key) for key in table.model_fields_set}


def _default(file: RegistryFile) -> str:
    """Resolve the default to a runtime's name; a registry with one runtime may omit it."""
    return next(name for name, table in file.runtimes.items() if file.default in {None, name, *table.aliases})


def _executables(runtimes: dict[str, Runtime]) -> dict[str, str]:
    """Map every path that may name a runtime; links are resolved here, never during a request.

    If runtimes share a path, the first in the file that lists it gets it. If none lists it, the first whose link leads
    there gets it.
    """
    listed = {
        path: name
        for name, runtime in reversed(runtimes.items())
        for path in (runtime.executable, *runtime.executable_names)
    }
    resolved = {resolved_inside(runtime.root, runtime.executable): name for name, runtime in reversed(runtimes.items())}
    return resolved | listed
