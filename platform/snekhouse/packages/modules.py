"""The modules of the packages in a folder."""

import os
from dataclasses import dataclass, field
from pathlib import Path

_SUFFIXES = {".py", ".pyc", ".so"}


@dataclass(frozen=True, slots=True)
class PackageModules:
    """Tells whether a name is that of a module, by the names of files and folders.

    Each folder is listed once: programs choose the names, and this runs on the event loop.

    Attributes:
        folder: The folder of packages, as `site.getusersitepackages` names it; it need not exist.
        changed: When it last changed, in nanoseconds.
    """

    folder: Path
    changed: int
    _listings: dict[Path, frozenset[str]] = field(default_factory=dict, compare=False, repr=False)

    def __contains__(self, name: object) -> bool:
        """Tell whether there is a module of this dotted name; modules that code creates while it runs are not found."""
        if not isinstance(name, str):
            return False
        folder = self.folder
        *parents, last = name.split(".")
        for parent in parents:
            if parent not in self._modules_in(folder):
                return False
            folder /= parent
        return last in self._modules_in(folder)

    def _modules_in(self, folder: Path) -> frozenset[str]:
        if folder not in self._listings:
            self._listings[folder] = _listed(folder)
        return self._listings[folder]


def _listed(folder: Path) -> frozenset[str]:
    """List the modules in a folder; none if it is a file, as of a module that contains no others, or is missing."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir() or Path(entry.name).suffix in _SUFFIXES]
    except OSError:
        return frozenset()
    # An extension module has tags before its suffix, as in NAME.cpython-314-x86_64-linux-gnu.so.
    stems = {name.partition(".")[0] for name in names if not name.endswith((".dist-info", ".egg-info", ".libs"))}
    return frozenset(filter(str.isidentifier, stems - {"__pycache__"}))
