"""The interpreters of another root file system: where to look for them, and how to describe one."""

from contextlib import suppress
from pathlib import Path
from typing import Protocol

from snekhouse.registry.discovery.interpreters import SYSTEM_FOLDERS, Interpreter, is_program, names_interpreter
from snekhouse.registry.root import beneath, is_of_system


class Answer(Protocol):
    """What an interpreter reported about itself in a jail."""

    @property
    def implementation(self) -> str:
        """`platform.python_implementation()`."""

    @property
    def version(self) -> str:
        """The full version, e.g. ``3.14.0rc1``."""

    @property
    def free_threaded(self) -> bool:
        """Whether it was built without the global interpreter lock."""


def candidates_in_root(root: str) -> tuple[str, ...]:
    """List the paths inside a root of programs that may be interpreters, each once.

    No program is run; links are followed inside the root.

    Args:
        root: The folder on the host.
    """
    found = []
    for folder in SYSTEM_FOLDERS:
        with suppress(OSError):
            names = sorted(path.name for path in beneath(root, folder).iterdir() if names_interpreter(path.name))
            found += [program for name in names if (program := _program(root, f"{folder}/{name}"))]
    return tuple(dict.fromkeys(found))


def interpreter_in_root(root: str, executable: str, answer: Answer) -> Interpreter:
    """Describe an interpreter of a root.

    Args:
        root: The folder on the host.
        executable: Its path inside the root.
        answer: What it reported about itself.
    """
    return Interpreter(
        source=beneath(root, executable),
        executable=Path(executable),
        implementation=answer.implementation.lower(),
        version=answer.version,
        free_threaded=answer.free_threaded,
        prefix=Path(root),
        mounts=(),
        root=root,
    )


def _program(root: str, path: str) -> str | None:
    """Resolve a candidate to the program's path inside the root; return None if a jail would not see that path."""
    with suppress(OSError):
        real = beneath(root, path)
        inside = str("/" / real.relative_to(root))
        return inside if is_of_system(inside) and is_program(real) else None
    return None
