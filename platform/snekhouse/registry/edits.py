"""What tools do to a person's registry: append a table, remove one, compare. All other bytes stay as they are."""

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
    """A registry's file with a table more, which is not written yet.

    Attributes:
        path: The file.
        addition: What is to be appended to it.
        registry: What the file would say then.
    """

    path: Path
    addition: bytes
    registry: Registry

    def write(self) -> None:
        """Append to the file, at once; all that is there stays as it is, byte for byte.

        Raises:
            RegistryError: It cannot be written.
        """
        try:
            with self.path.open("ab", buffering=0) as file:
                file.write(self.addition)
        except OSError as error:
            problem = Problem(
                str(self.path), "", f"cannot be written: {error.strerror}", "allow it, or edit it by hand"
            )
            raise RegistryError([problem]) from error


def appended(path: Path, table: str) -> Draft:
    """Try out a table at the end of a registry's file.

    Args:
        path: The file.
        table: TOML.

    Raises:
        RegistryError: The file cannot be read, or makes no registry with that table.
    """
    before = path.read_bytes()
    gap = b"\n" if before.endswith(b"\n") or not before else b"\n\n"
    addition = gap + table.encode()
    return Draft(path, addition, parse(before + addition, str(path)))


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A registry's file with a table less, which is not written yet.

    Attributes:
        path: The file.
        content: What it would hold.
    """

    path: Path
    content: bytes

    def write(self) -> None:
        """Replace the file; its readers see the old one or the new one, whole.

        Raises:
            RegistryError: It cannot be written.
        """
        target = self.path.resolve()  # a link stays a link
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            draft.write_bytes(self.content)
            shutil.copymode(target, draft)
            draft.replace(target)
        except OSError as error:
            draft.unlink(missing_ok=True)
            message = f"cannot be written: {error.strerror}"
            raise RegistryError([Problem(str(self.path), "", message, "allow it, or edit it by hand")]) from error


def removed(path: Path, name: str, *, default: str = "") -> Rewrite:
    """Take the tables of a runtime out of a registry's file; comments outside of them stay.

    Args:
        path: The file, which is a registry.
        name: Of the runtime.
        default: The new default; empty to leave it as it is.

    Raises:
        RegistryError: It is the default and there is no new one; what is left is not a registry; or the runtime is
            written in a way that only a person can edit.
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
    registry = parse(content, str(path))  # tells what is wrong with what is left
    if name in registry.runtimes or tomllib.loads(text.removeprefix("\ufeff")) != parsed:
        message = "is not written as tables of its own" if not default else "or default is written in an unusual way"
        raise RegistryError([Problem(str(path), _key(name), message, "remove it by hand")])
    return Rewrite(path, content)


def _key(name: str) -> str:
    return f'runtimes."{name}"'


_HEADER = re.compile(r"\s*(\[.*\])\s*(?:#.*)?$")
_DEFAULT = re.compile(r"""^(\s*default\s*=\s*)(?:"[^"\n]*"|'[^'\n]*')""", re.MULTILINE)


def _lines_without(lines: Iterable[str], table: list[str]) -> Iterator[str]:
    """Leave out a table and those below it, up to its last key: comments after that stand before the next table."""
    is_inside, held = False, list[str]()
    for line in lines:
        if keys := _table_named(line):
            yield from held if not is_inside else _tail(held)
            held, is_inside = [], keys[: len(table)] == table
        held.append(line)
    yield from held if not is_inside else _tail(held)


def _tail(lines: Sequence[str]) -> Sequence[str]:
    """Keep the comments at the end of a table that is left out: after an empty line, or else after its last key."""
    end = max(index for index, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")) + 1
    blank = next((index for index in range(end, len(lines)) if not lines[index].strip()), end)
    kept = lines[blank:]
    return kept if any(line.strip() for line in kept) else ()


def _table_named(line: str) -> list[str]:
    """Read the header of a table as its keys; empty for any other line."""
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
    """Write out what a registry says of a runtime, over its defaults, in values that TOML and JSON have."""
    return runtime.model_dump(mode="json", exclude={"name"}, exclude_none=True)


@dataclass(frozen=True, slots=True)
class Change:
    """One key that two registries have different values for.

    Attributes:
        key: E.g. ``runtimes."3.12".limits.memory``.
        before: Its value in the one; None where that lacks it.
        after: In the other.
    """

    key: str
    before: Any
    after: Any

    def __str__(self) -> str:
        """Return a line: ``+ key = value``, ``- key = value`` or ``~ key = before -> after``; of a table, its name."""
        if self.before is None:
            return f"+ {self.key}{_shown(self.after)}"
        if self.after is None:
            return f"- {self.key}{_shown(self.before)}"
        return f"~ {self.key} = {self.before!r} -> {self.after!r}"


def _shown(value: Any) -> str:
    return "" if isinstance(value, Mapping) else f" = {value!r}"


def differences(before: Mapping[str, Any], after: Mapping[str, Any], above: str = "") -> Iterator[Change]:
    """Tell two trees of tables apart, key by key; what only one of them has is told as a whole.

    Args:
        before: The one.
        after: The other.
        above: What stands before their keys.
    """
    for key in dict.fromkeys((*before, *after)):
        dotted = above + (key if key.isidentifier() else f'"{key}"')
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, f"{dotted}.")
        elif old != new:
            yield Change(dotted, old, new)
