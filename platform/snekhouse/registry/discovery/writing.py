"""A registry of discovered interpreters: name them, render TOML, and write the file."""

import textwrap
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import tomli_w

from snekhouse.errors import Problem, RegistryError
from snekhouse.registry.discovery.interpreters import Interpreter
from snekhouse.registry.file import replace_file
from snekhouse.registry.models import Mount

_HEADER = """\
# The Python interpreters of this machine, found by `snekhouse runtimes discover`.
# You can edit this file: only `discover --force` replaces it.
# Check an edit with `snekhouse runtimes check --registry FILE`.
"""
_SERVER = {"bind": "127.0.0.1:8060", "sessions": 20}
"""Settings of a server that only this machine reaches; the page at ``/`` opens sessions."""
_SNEKBOX_PATH = "/snekbin/python/{}/bin/python"
"""The path by which clients of snekbox name an interpreter."""


def render_registry(interpreters: Iterable[Interpreter], *, allow_degraded_reason: str | None) -> str:
    """Render a registry that serves interpreters to this machine only.

    A runtime is named by its minor version ("3.12", "3.13t" for a free-threaded build, "pypy3.10"). If several would
    have the same name, the newest gets it, and the others get their full version.
    The default is the newest stable CPython.

    Args:
        interpreters: The interpreters to serve; at least one.
        allow_degraded_reason: Which walls this host lacks, a text for people; None if it lacks none.

    Returns:
        TOML text.
    """
    names = _named(interpreters)
    default = max(names, key=lambda name: _suitability(names[name]))
    runtimes = {name: _discovered(name, names, default) for name in names}
    parts = [
        _HEADER,
        tomli_w.dumps({"default": default}),
        tomli_w.dumps({"server": _SERVER}) + _degraded(allow_degraded_reason),
        tomli_w.dumps({"runtimes": runtimes}),
    ]
    return "\n".join(parts)


def _named(interpreters: Iterable[Interpreter]) -> dict[str, Interpreter]:
    """Name interpreters, the newest first, then by path, so that each discovery gives the same names."""
    names: dict[str, Interpreter] = {}
    taken: set[str] = set()
    for interpreter in sorted(sorted(interpreters, key=lambda each: each.source), key=_version_order, reverse=True):
        name = next(name for name in _possible_names(interpreter) if name not in taken)
        names[name] = interpreter
        taken |= {name, _full_name(interpreter)}  # this alias goes to the first of that version
    return names


def _possible_names(interpreter: Interpreter) -> Iterator[str]:
    full = _full_name(interpreter)
    return chain((_short_name(interpreter), full), (f"{full}-{number}" for number in count(2)))


def _short_name(interpreter: Interpreter) -> str:
    major, minor, _ = interpreter.release
    return _name(interpreter, f"{major}.{minor}")


def _full_name(interpreter: Interpreter) -> str:
    return _name(interpreter, interpreter.version)


def _name(interpreter: Interpreter, version: str) -> str:
    family = "" if interpreter.implementation == "cpython" else interpreter.implementation
    return family + version + ("t" if interpreter.free_threaded else "")


def _version_order(interpreter: Interpreter) -> tuple[Any, ...]:
    """Return a key that sorts by version; within a minor version CPython comes last, so first in reverse order."""
    major, minor, micro = interpreter.release
    is_cpython = interpreter.implementation == "cpython"
    kind, serial = interpreter.prerelease or ("release", 0)  # "release" sorts after "a", "b" and "rc"
    return major, minor, is_cpython, not interpreter.free_threaded, micro, kind, serial


def _suitability(interpreter: Interpreter) -> tuple[Any, ...]:
    """Return a key that sorts the best default runtime last."""
    is_cpython = interpreter.implementation == "cpython"
    return is_cpython, not interpreter.free_threaded, interpreter.prerelease is None, _version_order(interpreter)


def render_runtime(name: str, interpreter: Interpreter, *, aliases: Sequence[str], taken: Container[str]) -> str:
    """Render the table of one runtime.

    Args:
        name: Its name.
        interpreter: Its interpreter.
        aliases: Its other names.
        taken: Paths of executables that name other runtimes.

    Returns:
        TOML text.
    """
    return tomli_w.dumps({"runtimes": {name: _table(interpreter, aliases, [_SNEKBOX_PATH.format(name)], taken)}})


def _discovered(name: str, names: Mapping[str, Interpreter], default: str) -> dict[str, Any]:
    interpreter = names[name]
    aliases = ["3", "latest"] if name == default else []
    if name == _short_name(interpreter):
        aliases.append(_full_name(interpreter))
    paths = [_SNEKBOX_PATH.format(each) for each in ([name, "default"] if name == default else [name])]
    return _table(interpreter, aliases, paths, {str(each.executable) for each in names.values()})


_ENV = {"pypy": {"PYPY_GC_NURSERY": "4M"}}
"""Variables that an implementation needs in a jail: without this one, PyPy warns that it cannot read /proc."""


def _table(
    interpreter: Interpreter, aliases: Sequence[str], paths: Sequence[str], taken: Container[str]
) -> dict[str, Any]:
    moved = [str(interpreter.source)] if interpreter.source != interpreter.executable else []
    start = {} if interpreter.implementation == "cpython" else {"start": "cold"}
    root = {"root": interpreter.root} if interpreter.root else {}
    mounts = {"mounts": [_mount(mount) for mount in interpreter.mounts]} if interpreter.mounts else {}
    env = _env(interpreter)
    return (
        start
        | {
            "executable": str(interpreter.executable),
            "aliases": list(aliases),
            "executable_names": [path for path in (*paths, *moved) if path not in taken],
        }
        | root
        | mounts
        | ({"env": env} if env else {})
    )


def _env(interpreter: Interpreter) -> dict[str, str]:
    library_path = ":".join(map(str, interpreter.library_path))
    return ({"LD_LIBRARY_PATH": library_path} if library_path else {}) | _ENV.get(interpreter.implementation, {})


def _mount(mount: Mount) -> dict[str, Any]:
    target = {} if mount.target == mount.source else {"target": str(mount.target)}
    return {"source": str(mount.source)} | target | ({} if mount.mandatory else {"mandatory": False})


def _degraded(reason: str | None) -> str:
    if reason is None:
        return ""
    # TOML does not allow control characters in a comment; a line break would end it.
    printable = "".join(char if char.isprintable() else " " for char in reason)
    sentence = f"Serve although this host lacks walls: {printable}"
    return textwrap.fill(sentence, 110, initial_indent="# ", subsequent_indent="# ") + "\nallow_degraded = true\n"


def write_registry(path: Path, text: str, *, force: bool) -> None:
    """Write a registry to a file, atomically.

    Args:
        path: The file, in a folder that exists.
        text: The result of `render_registry`.
        force: Whether to replace a file that exists.

    Raises:
        RegistryError: The file exists, or cannot be written.
    """
    if path.is_dir():
        raise RegistryError([Problem(str(path), "", "is a folder", "name a file in it")])
    if path.exists() and not force:
        remedy = "replace it with --force, or name another file with --output"
        raise RegistryError([Problem(str(path), "", "already exists", remedy)])
    replace_file(path, text.encode(), "name a file in a folder that exists and that you may write to")
