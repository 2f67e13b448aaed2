"""Probe runtimes in their jails: those of a registry, and the interpreters of a root file system."""

from collections.abc import Sequence
from pathlib import Path

import anyio
import tomli_w

from snekhouse.errors import InterpreterError, UsageError
from snekhouse.jail.probe import Probe
from snekhouse.registry.discovery.interpreters import Interpreter
from snekhouse.registry.discovery.rooted import candidates_in_root
from snekhouse.registry.loading import parse
from snekhouse.registry.models import Registry
from snekhouse.registry.root import beneath, wrong_with_root
from snekhouse.service import RuntimeState, open_service


async def probed(registry: Registry) -> list[RuntimeState]:
    """Prepare every runtime of a registry, and return their states after all jails have ended."""
    async with open_service(registry, require_runtime=False) as service:
        await service.settled()
        return list(service.runtimes.values())


def find_in_root(root: Path, executable: str | None = None) -> tuple[Interpreter, ...]:
    """Find the interpreters of a root file system. Each runs in a jail: no program of the root runs on the host.

    Args:
        root: The folder.
        executable: Path of one interpreter inside the root; None for all in the usual folders.

    Returns:
        At least one.

    Raises:
        UsageError: The folder is not a root.
        InterpreterError: None of its interpreters works in a jail.
    """
    root = root.resolve()
    if wrong := wrong_with_root(str(root)):
        raise UsageError(wrong)
    executables = candidates_in_root(str(root)) if executable is None else (executable,)
    ready = anyio.run(probed, _registry_of(root, executables)) if executables else []
    found = [_described(root, each.runtime.executable, each.probe) for each in ready if each.probe]
    if not found:
        reasons = "".join(f"\n  {each.runtime.executable}: {each.reason}" for each in ready)
        raise InterpreterError(f"no Python interpreter of the root {root} works in a jail{reasons}")
    return tuple(found)


def _described(root: Path, executable: str, answer: Probe) -> Interpreter:
    return Interpreter(
        source=beneath(str(root), executable),
        executable=Path(executable),
        implementation=answer.implementation.lower(),
        version=answer.version,
        free_threaded=answer.free_threaded,
        prefix=root,
        mounts=(),
        root=str(root),
    )


def _registry_of(root: Path, executables: Sequence[str]) -> Registry:
    """Make a registry to probe candidates. Walls may be missing: `discover` names them in the file that it writes."""
    runtimes = {f"candidate-{number}": {"executable": each} for number, each in enumerate(executables)}
    tables = {
        "default": next(iter(runtimes)),
        "server": {"allow_degraded": True},
        "defaults": {"root": str(root), "start": "cold"},
        "runtimes": runtimes,
    }
    return parse(tomli_w.dumps(tables).encode(), str(root))
