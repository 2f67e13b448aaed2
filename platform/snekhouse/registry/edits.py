"""Edits of a registry that a person wrote: append a table, remove one, compare. All other bytes stay as they are."""

import os
import re
import shutil
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from snekhouse.errors import Problem, RegistryError
from snekhouse.registry.loading import parse
from snekhouse.registry.models import Registry, Runtime


@dataclass(frozen=True, slots=True)
class Draft:
    """A registry's file with one more table, not yet written.

    Attributes:
        path: The file.
        addition: The bytes to append.
        registry: The registry that the file would then be.
    """

    path: Path
    addition: bytes
    registry: Registry

    def write(self) -> None:
        """Append to the file in one write; the bytes before it stay as they are.

        Raises:
            RegistryError: The file cannot be written.
        """
        try:
            with self.path.open("ab", buffering=0) as file:
                file.write(self.addition)
        except OSError as error:
            raise _not_written(self.path, error, _REMEDY) from error


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
    addition = gap + table.encode()
    return Draft(path, addition, parse(before + addition, str(path)))


def replace_file(path: Path, content: bytes, remedy: str) -> None:
    """Replace a file atomically; its permissions stay, and a link to it stays a link.

    Args:
        path: The file, in a folder that exists.
        content: Its new content.
        remedy: What to do if it cannot be written.

    Raises:
        RegistryError: The file cannot be written.
    """
    target = path.resolve()
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, draft)
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise _not_written(path, error, remedy) from error


_REMEDY = "make it writable, or edit it by hand"


def _not_written(path: Path, error: OSError, remedy: str) -> RegistryError:
    return RegistryError([Problem(str(path), "", f"cannot be written: {error.strerror}", remedy)])


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
    before = path.read_bytes()
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
    replace_file(path, content, _REMEDY)


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
