"""A registry for the interpreters that were found, written for a person to go on with."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from snekhouse.errors import Problem, RegistryError
from snekhouse.registry.discovery import Interpreter
from snekhouse.registry.models import Mount

_HEADER = """\
# What `snekhouse runtimes discover` found on this machine. It is yours now: edit it as you like;
# discover does not write over it unless told to (--force). docs/reference/registry.md lists every key.

"""


def draft_registry(interpreters: Sequence[Interpreter], *, degraded: str = "") -> str:
    """Write a registry of interpreters as TOML.

    Args:
        interpreters: What was found, the newest first; at least one.
        degraded: Which walls this host lacks; then the registry allows it to, and says so. Empty when none.
    """
    names = _names(interpreters)
    default = next((name for name, found in names.items() if _is_plain(found)), next(iter(names)))
    parts = [
        _HEADER,
        tomli_w.dumps({"default": default}),
        "\n",
        tomli_w.dumps({"server": {"bind": "127.0.0.1:8060"}}),
    ]
    if degraded:
        comment = "".join(f"# {line}\n" for line in degraded.splitlines())
        parts += ["# This host cannot build every wall:\n", comment, tomli_w.dumps({"allow_degraded": True})]
    for name, found in names.items():
        table = _table(name, found, names, is_default=name == default)
        parts += [
            "\n",
            f"# {found.implementation} {found.version}\n",
            tomli_w.dumps({"runtimes": {name: table}}),
        ]
    return "".join(parts)


def write_registry(path: Path, text: str, *, force: bool) -> None:
    """Write the file at once, whole.

    Args:
        path: Where.
        text: The registry.
        force: Whether a file that is there may be replaced.

    Raises:
        RegistryError: There is one, or the folder cannot be written to.
    """
    if path.exists() and not force:
        raise RegistryError([Problem(str(path), "", "is there already", "replace it with --force, or use --output")])
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            file.write(text)
        os.chmod(file.name, 0o644)  # noqa: PTH101 - a name is what tempfile gives
        os.replace(file.name, path)  # noqa: PTH105
    except OSError as error:
        raise RegistryError([Problem(str(path), "", f"cannot be written: {error.strerror}")]) from error


def _is_plain(found: Interpreter) -> bool:
    return found.final and not found.free_threaded and found.implementation == "cpython"


def _names(interpreters: Sequence[Interpreter]) -> Mapping[str, Interpreter]:
    """Name the newest patch of each version by the version alone, the others in full, twins with a number."""
    names: dict[str, Interpreter] = {}
    for found in interpreters:
        kind = "" if found.implementation == "cpython" else found.implementation
        threads = "t" if found.free_threaded else ""
        short = f"{kind}{found.version_info[0]}.{found.version_info[1]}{threads}"
        full = f"{kind}{found.version}{threads}"
        numbered = (f"{full}-{number}" for number in range(2, len(interpreters) + 2))
        names[next(name for name in (short, full, *numbered) if name not in names)] = found
    return names


def _table(name: str, found: Interpreter, names: Mapping[str, Interpreter], *, is_default: bool) -> dict[str, Any]:
    aliases = [alias for alias in (found.version,) if alias not in names and _is_plain(found)]
    paths = [f"/snekbin/python/{name}/bin/python"]
    if is_default:
        aliases += ["3", "latest"]
        paths.append("/snekbin/python/default/bin/python")
    return {
        "executable": found.executable,
        "executable_names": [path for path in paths if path != found.executable],
        "aliases": aliases,
        "mounts": [_mount(mount) for mount in found.mounts],
    }


def _mount(mount: Mount) -> dict[str, Any]:
    said: dict[str, Any] = {"source": mount.source}
    if mount.target != mount.source:
        said["target"] = mount.target
    if not mount.mandatory:
        said["mandatory"] = False
    return said
