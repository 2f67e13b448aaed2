"""What tools do to a person's registry: append to it, and tell it from another. They never rewrite it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def changes(before: Mapping[str, Any], after: Mapping[str, Any], above: str = "") -> Iterator[Change]:
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
            yield from changes(old, new, f"{dotted}.")
        elif old != new:
            yield Change(dotted, old, new)
