"""The interpreters of another root file system: where they are looked for, and what one is."""

from contextlib import suppress
from pathlib import Path
from typing import Protocol

from snekhouse.registry.discovery.interpreters import SYSTEM_FOLDERS, Interpreter, is_program, names_interpreter
from snekhouse.registry.root import beneath, is_of_system


class Answer(Protocol):
    """What an interpreter said of itself in a jail."""

    @property
    def implementation(self) -> str:
        """`platform.python_implementation()`."""

    @property
    def version(self) -> str:
        """In full, e.g. ``3.14.0rc1``."""

    @property
    def free_threaded(self) -> bool:
        """Whether it was built without the global interpreter lock."""


def candidates_in_root(root: str) -> tuple[str, ...]:
    """List the programs in a root that may be interpreters, by their paths inside it, each once.

    Nothing is run; links are followed inside the root.

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
        answer: What it said of itself.
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
    """Resolve a candidate to the program, by its path inside the root; None where a jail would not see that."""
    with suppress(OSError):
        real = beneath(root, path)
        inside = str("/" / real.relative_to(root))
        return inside if is_of_system(inside) and is_program(real) else None
    return None
