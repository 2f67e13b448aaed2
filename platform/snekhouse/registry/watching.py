"""A registry that is served, and its file, which people change meanwhile."""

import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import anyio
from watchfiles import Change, awatch

from snekhouse.registry.loading import load
from snekhouse.registry.models import Registry

_log = logging.getLogger(__name__)

FIXED = ("bind", "workers", "uids", "allow_degraded", "log", "state")
"""Keys of `[server]` that stay as they are until the server starts again."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """A registry that was loaded again.

    Attributes:
        registry: With the fixed keys as they are served.
        kept: Those that say something else in the file.
    """

    registry: Registry
    kept: tuple[str, ...]


def reload(served: Registry) -> Reloaded:
    """Load the file of a registry again, for the server that serves it.

    Args:
        served: As it was when the server started.

    Raises:
        RegistryError: It cannot be used.
    """
    fresh = load(Path(served.source))
    fixed = {key: getattr(served.server, key) for key in FIXED}
    kept = tuple(f"server.{key}" for key, value in fixed.items() if getattr(fresh.server, key) != value)
    registry = fresh.model_copy(update={"server": fresh.server.model_copy(update=fixed)})
    return Reloaded(registry, kept)


_SETTLE_TIME_S = 0.1
"""Seconds without a change after which a file is taken to be written."""

_POLL_INTERVAL_S = 0.5
"""Seconds after which it is looked at anyway: not every file system tells of changes. Stopping may take as long."""


async def file_changes(path: Path, known: str) -> AsyncIterator[None]:
    """Tell each time that a file has other bytes than before, however an editor put them there, and is at rest.

    Args:
        path: The file.
        known: SHA-256 of its bytes as they are known, in hexadecimal.
    """
    async for _ in _looks(path):
        found = _digest(path)
        while found != known:
            known = found
            await anyio.sleep(_SETTLE_TIME_S)
            found = _digest(path)
            if found == known:
                yield


async def _looks(path: Path) -> AsyncIterator[None]:
    """Tell when to look at a file: when something happens to it or beside it, and every few seconds."""
    try:
        async for _ in awatch(
            *_places(path),
            recursive=False,
            debounce=200,
            watch_filter=_concerning(path),
            rust_timeout=int(_POLL_INTERVAL_S * 1000),
            yield_on_timeout=True,
        ):
            yield
    except (OSError, RuntimeError) as error:  # the system's watches are used up, for one
        _log.warning("%s cannot be watched, and is looked at every %g s instead: %s", path, _POLL_INTERVAL_S, error)
    while True:
        await anyio.sleep(_POLL_INTERVAL_S)
        yield


def _concerning(path: Path) -> Callable[[Change, str], bool]:
    """Tell changes of a file, or of the links by which Kubernetes changes a whole folder, from others beside it."""
    names = {path.name, path.resolve().name}
    return lambda _, changed: (name := Path(changed).name) in names or name.startswith("..")


def _places(path: Path) -> Iterable[Path]:
    """List what to watch: folders see files that take another's place; the file, writes to it by another name."""
    return dict.fromkeys(each for each in (path.parent, path.resolve().parent, path) if each.exists())


def _digest(path: Path) -> str:
    """Hash what a file holds; what cannot be read is as good as empty."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
