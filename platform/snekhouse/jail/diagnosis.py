"""Why a jail did not start its program, in terms of the registry: the key, what is wrong, the remedy."""

import mmap
import os
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path

from snekhouse.jail.start import GuestExit
from snekhouse.registry.discovery.mounts import loader_of
from snekhouse.registry.models import Mount, Runtime
from snekhouse.registry.root import MAX_LINKS
from snekhouse.registry.user_base import seen
from snekhouse.shortening import MESSAGE_SIZE, shortened


def diagnose(runtime: Runtime, guest_exit: GuestExit, printed: Sequence[str]) -> str:
    """Explain a jail that did not start.

    Args:
        runtime: The runtime.
        guest_exit: How NsJail ended.
        printed: Lines that the loader or the interpreter printed.

    Returns:
        ``key: what is wrong; the remedy``, with the key relative to the runtime's table; or NsJail's own error, if no
        key explains the failure.
    """
    found = _missing_source(runtime) or _unusable_executable(runtime) or _lacking(printed)
    return shortened(found or _ended(runtime, guest_exit, printed), MESSAGE_SIZE)


def _missing_source(runtime: Runtime) -> str:
    for mount in runtime.mounts:
        if mount.mandatory and not os.path.lexists(mount.source):
            remedy = "correct the path, or write mandatory = false"
            return f"mounts: the source {mount.source!r} does not exist on this host; {remedy}"
    return ""


def _unusable_executable(runtime: Runtime) -> str:
    path, file = _followed(runtime.executable, seen(runtime))
    named = repr(runtime.executable) + (
        f" (a link to {path!r})" if path != posixpath.normpath(runtime.executable) else ""
    )
    if file is None:
        return f"executable: no mount contains {named}; correct the path, or add a mount that contains it"
    if not file.exists():
        on_host = "" if str(file) == path else f" (on the host: {str(file)!r})"
        return f"executable: {named} does not exist{on_host}; correct the path"
    if not file.is_file():
        return f"executable: {named} is not a file; write the path of the interpreter itself"
    if not file.stat().st_mode & 0o001:
        return f"executable: users other than its owner may not execute {named}; run chmod o+rx {file}"
    return _unusable_program(runtime, named, file)


def _unusable_program(runtime: Runtime, named: str, file: Path) -> str:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content[:2] == b"#!":
            return f"executable: {named} is a script; write the path of the interpreter itself"
        if all(content.find(mark) < 0 for mark in _PYTHON_MARKS):
            return f"executable: {named} is not a Python interpreter; write the path of one"
    loader = loader_of(file)
    if loader and not _exists(str(loader), runtime):
        inside, _ = _followed(str(loader), seen(runtime))  # a link in the jail may lead out of all mounts
        target = f', target = "{inside}"' if inside != str(loader) else ""
        source = os.path.realpath(loader) if target else loader
        remedy = f'add {{ source = "{source}"{target} }} to mounts'
        return f"mounts: the loader {str(loader)!r} of the interpreter is not in the jail; {remedy}"
    return ""


_PYTHON_MARKS = (b"Py_", b"pypy")
"""Names that an interpreter defines, or takes from its shared library."""

MOUNT_LIBRARY = "add the folder that contains it (PREFIX/lib/pythonX.Y) to mounts, or install it"
"""The remedy for a standard library that is not in the jail."""

_LIBRARY = re.compile(r"error while loading shared libraries: (\S+): cannot open shared object file")


def _lacking(printed: Sequence[str]) -> str:
    text = "\n".join(printed)
    if found := _LIBRARY.search(text):
        remedy = "add the folder that contains it to mounts"
        return f"mounts: the interpreter needs {found[1]} (cannot open shared object file); {remedy}"
    last = printed[-1] if printed else ""
    if (
        last.startswith("ModuleNotFoundError")
        or "No module named 'encodings'" in text
        or "can't find the library" in text
    ):
        return f"mounts: the interpreter does not find its standard library; {MOUNT_LIBRARY}"
    return ""


def _ended(runtime: Runtime, guest_exit: GuestExit, printed: Sequence[str]) -> str:
    last = f" ({printed[-1]})" if printed else ""
    if guest_exit.complaint:
        hint = "; snekhouse doctor shows the cause" if _REFUSED.search(guest_exit.complaint) else ""
        return f"the jail did not start: {_without_internals(guest_exit.complaint)}{last}{hint}"
    if guest_exit.signal is None:
        remedy = "write the path of CPython 3.6 or later, or of PyPy"
        wrong = f"{runtime.executable!r} ended with exit code {guest_exit.code} before it ran a program{last}"
        return f"executable: {wrong}; {remedy}"
    return f"the jail did not start: the interpreter was ended by signal {guest_exit.signal}{last}"


_REFUSED = re.compile(r"Operation not permitted|Permission denied")

_INTERNAL_ROOT = re.compile(r"'[^']*/nsjail\.[^'/]*root/*")


def _without_internals(complaint: str) -> str:
    """Remove the folder in which NsJail builds a jail: `'/run/user/nsjail.0.root//usr'` is ``/usr`` inside."""
    return _INTERNAL_ROOT.sub("'/", complaint)


def _exists(path: str, runtime: Runtime) -> bool:
    _, file = _followed(path, seen(runtime))
    return file is not None and file.exists()


def _followed(path: str, mounts: Sequence[Mount]) -> tuple[str, Path | None]:
    """Resolve a path and its links as in the jail; return the path there, and the file on the host, if there is one."""
    for _ in range(MAX_LINKS):
        path = posixpath.normpath(path)
        files = ((prefix, _on_host(prefix, mounts)) for prefix in _prefixes(path))
        link = next(((prefix, file) for prefix, file in files if file and file.is_symlink()), None)
        if link is None:
            break
        prefix, file = link
        path = posixpath.join(posixpath.dirname(prefix), file.readlink()) + path[len(prefix) :]
    return path, _on_host(path, mounts)


def _prefixes(path: str) -> list[str]:
    """List the folders above a path, the highest first, and the path itself."""
    parts = path.strip("/").split("/")
    return ["/" + "/".join(parts[: count + 1]) for count in range(len(parts))]


def _on_host(path: str, mounts: Sequence[Mount]) -> Path | None:
    """Return the host's file for a path in the jail, with the links of the mount's source resolved."""
    around = [mount for mount in mounts if f"{path}/".startswith(f"{mount.target.rstrip('/')}/")]
    if not around:
        return None
    nearest = max(around, key=lambda mount: len(mount.target))
    return Path(os.path.realpath(nearest.source) + path[len(nearest.target.rstrip("/")) :])
