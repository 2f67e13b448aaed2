"""Edits of a registry that a person wrote: append a table, remove one, compare. All other bytes stay as they are."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from snekhouse.errors import Problem, RegistryError
from snekhouse.registry.file import exclusive, replace_file
from snekhouse.registry.loading import parse
from snekhouse.registry.models import Registry, Runtime


@dataclass(frozen=True, slots=True)
class Draft:
    """A registry's file with one more table, not yet written.

    Attributes:
        path: The file.
        table: The table, as TOML.
        content: The file with the table at its end.
        registry: The registry that the file would then be.
    """

    path: Path
    table: str
    content: bytes
    registry: Registry

    def write(self) -> None:
        """Append the table to the file; the bytes before it stay as they are, those of other commands included.

        Raises:
            RegistryError: The file cannot be written, or has changed and is not a registry with that table any more.
        """
        with exclusive(self.path):
            replace_file(self.path, appended(self.path, self.table).content, _REMEDY)


def appended(path: Path, table: str) -> Draft:
    """Check that a registry's file is valid with one more table at its end.

    Args:
        path: The file.
        table: TOML.

    Raises:
        RegistryError: The file cannot be read, or is not a registry with that table.
    """
    before = path.read_bytes()
    gap = b"\n" if before.endswith(b"\n") or not before else b"\n\n"
    content = before + gap + table.encode()
    return Draft(path, table, content, parse(content, str(path)))


_REMEDY = "make it writable, or edit it by hand"


def remove(path: Path, name: str, *, default: str = "") -> None:
    """Remove the tables of a runtime from a registry's file; comments outside of them stay.

    Args:
        path: The file, a valid registry.
        name: Name of the runtime.
        default: The new default runtime; empty to leave it as it is.

    Raises:
        RegistryError: The runtime is the default and no new default is named, the rest of the file is not a registry,
            the file has the runtime in a form that only a person can edit, or it cannot be written.
    """
    with exclusive(path):
        replace_file(path, _without(path, path.read_bytes(), name, default), _REMEDY)


def _without(path: Path, before: bytes, name: str, default: str) -> bytes:
    """Return the content of a registry's file without the tables of a runtime."""
    parsed = tomllib.loads(before.decode("utf-8-sig"))
    table = parsed["runtimes"].pop(name)
    if not default and parsed.get("default", name) in {name, *table.get("aliases", ())}:
        message, remedy = "is the default runtime", "name the new default with --default"
        raise RegistryError([Problem(str(path), _key(name), message, remedy)])
    text = "".join(_lines_without(before.decode().splitlines(keepends=True), ["runtimes", name]))
    if default:
        parsed["default"] = default
        text = _DEFAULT.sub(lambda found: found[1] + tomli_w.dumps({"d": default})[4:].rstrip(), text, count=1)
    content = text.encode()
    registry = parse(content, str(path))  # raises if the rest is not a registry
    if name in registry.runtimes or tomllib.loads(text.removeprefix("\ufeff")) != parsed:
        message = f"{'it, or the key default, ' if default else ''}has a form that this command cannot edit"
        raise RegistryError([Problem(str(path), _key(name), message, "remove it by hand")])
    return content


def _key(name: str) -> str:
    return f'runtimes."{name}"'


_HEADER = re.compile(r"\s*(\[.*\])\s*(?:#.*)?$")
_DEFAULT = re.compile(r"""^(\s*default\s*=\s*)(?:"[^"\n]*"|'[^'\n]*')""", re.MULTILINE)


def _lines_without(lines: Iterable[str], table: list[str]) -> Iterator[str]:
    """Leave out a table and its subtables, each up to its last key: later comments belong to the next table."""
    is_inside, section = False, list[str]()
    for line in lines:
        if keys := _table_named(line):
            yield from section if not is_inside else _tail(section)
            section, is_inside = [], keys[: len(table)] == table
        section.append(line)
    yield from section if not is_inside else _tail(section)


def _tail(lines: Sequence[str]) -> Sequence[str]:
    """Return the comments at the end of a table: those after an empty line, or else those after its last key."""
    end = max(index for index, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")) + 1
    blank = next((index for index in range(end, len(lines)) if not lines[index].strip()), end)
    kept = lines[blank:]
    return kept if any(line.strip() for line in kept) else ()


def _table_named(line: str) -> list[str]:
    """Return the keys in the header of a table; an empty list for any other line."""
    found = _HEADER.match(line)
    try:
        parsed: Any = tomllib.loads(found[1]) if found else {}
    except tomllib.TOMLDecodeError:
        return []
    keys = []
    while isinstance(parsed, list | dict) and parsed:
        if isinstance(parsed, list):
            parsed = parsed[0]
            continue
        ((key, parsed),) = parsed.items()
        keys.append(key)
    return keys


def settings(runtime: Runtime) -> dict[str, Any]:
    """Return the settings of a runtime, merged with the defaults, as values that TOML and JSON have."""
    return runtime.model_dump(mode="json", exclude={"name"}, exclude_none=True)


@dataclass(frozen=True, slots=True)
class Change:
    """One key whose values differ between two registries.

    Attributes:
        key: E.g. ``runtimes."3.12".limits.memory``.
        before: Its value in the first; None if the first lacks it.
        after: Its value in the second; None if the second lacks it.
    """

    key: str
    before: Any
    after: Any

    def __str__(self) -> str:
        """Return ``+ key = value``, ``- key = value`` or ``~ key = before -> after``; for a table only its name."""
        if self.before is None:
            return f"+ {self.key}{_assigned(self.after)}"
        if self.after is None:
            return f"- {self.key}{_assigned(self.before)}"
        return f"~ {self.key} = {self.before!r} -> {self.after!r}"


def _assigned(value: Any) -> str:
    return "" if isinstance(value, Mapping) else f" = {value!r}"


def differences(before: Mapping[str, Any], after: Mapping[str, Any], above: str = "") -> Iterator[Change]:
    """Compare two trees of tables key by key; report a table that only one of them has as a whole.

    Args:
        before: The first.
        after: The second.
        above: Prefix of their keys.
    """
    for key in dict.fromkeys((*before, *after)):
        dotted = above + (key if key.isidentifier() else f'"{key}"')
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, f"{dotted}.")
        elif old != new:
            yield Change(dotted, old, new)
