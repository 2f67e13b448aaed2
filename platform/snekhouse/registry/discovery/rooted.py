"""The interpreters of another root file system: where to look for them."""

from contextlib import suppress

from snekhouse.registry.discovery.interpreters import SYSTEM_FOLDERS, is_program, names_interpreter
from snekhouse.registry.root import beneath, is_of_system


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


def _program(root: str, path: str) -> str | None:
    """Resolve a candidate to the program's path inside the root; return None if a jail would not see that path."""
    with suppress(OSError):
        real = beneath(root, path)
        inside = str("/" / real.relative_to(root))
        return inside if is_of_system(inside) and is_program(real) else None
    return None
