"""Watching the registry's file for changes, and loading it again."""

import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import anyio
from watchfiles import Change, awatch

from snekhouse.registry.loading import load
from snekhouse.registry.models import Registry

_log = logging.getLogger(__name__)

FIXED = ("bind", "workers", "uids", "allow_degraded", "log", "state")
"""Keys of `[server]` that take effect only when the server starts."""


def reload(served: Registry) -> tuple[Registry, tuple[str, ...]]:
    """Load the file of a registry again, for the server that serves it.

    Args:
        served: The registry with which the server started.

    Returns:
        The new registry, with the fixed keys of the old one; and the fixed keys that the file has changed.

    Raises:
        RegistryError: The file cannot be used.
    """
    fresh = load(Path(served.source))
    fixed = {key: getattr(served.server, key) for key in FIXED}
    kept = tuple(f"server.{key}" for key, value in fixed.items() if getattr(fresh.server, key) != value)
    return fresh.model_copy(update={"server": fresh.server.model_copy(update=fixed)}), kept


_SETTLE_TIME_S = 0.1
"""Seconds without a change after which a file counts as completely written."""

_POLL_INTERVAL_S = 0.5
"""Seconds between checks: not every file system reports changes. To stop watching may take as long."""


async def file_changes(path: Path, known: str) -> AsyncIterator[None]:
    """Yield each time that the content of a file has changed and is completely written.

    Args:
        path: The file.
        known: SHA-256 of the content that was loaded, in hexadecimal.
    """
    async for _ in _wakeups(path):
        found = _digest(path)
        while found != known:
            known = found
            await anyio.sleep(_SETTLE_TIME_S)
            found = _digest(path)
            if found == known:
                yield


async def _wakeups(path: Path) -> AsyncIterator[None]:
    """Yield each time the file must be checked: when it or its folder changes, and at every poll interval."""
    try:
        async for _ in awatch(
            *_places(path),
            recursive=False,
            debounce=200,
            watch_filter=_filter_for(path),
            rust_timeout=int(_POLL_INTERVAL_S * 1000),
            yield_on_timeout=True,
        ):
            yield
    except (OSError, RuntimeError) as error:  # for example, the system has no watches left
        _log.warning("cannot watch %s; checking it every %g s instead: %s", path, _POLL_INTERVAL_S, error)
    while True:
        await anyio.sleep(_POLL_INTERVAL_S)
        yield


def _filter_for(path: Path) -> Callable[[Change, str], bool]:
    """Make a filter for changes of a file, and of the links by which Kubernetes replaces a whole folder."""
    names = {path.name, path.resolve().name}
    return lambda _, changed: (name := Path(changed).name) in names or name.startswith("..")


def _places(path: Path) -> Iterable[Path]:
    """List what to watch: the folders (the file may be replaced), and the file (it may have other names)."""
    return dict.fromkeys(each for each in (path.parent, path.resolve().parent, path) if each.exists())


def _digest(path: Path) -> str:
    """Hash the content of a file; return an empty string if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
