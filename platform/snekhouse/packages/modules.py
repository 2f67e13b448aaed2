"""The modules of the packages in a folder."""

from dataclasses import dataclass, field
from pathlib import Path

_SUFFIXES = {".py", ".pyc", ".so"}

_REMEMBERED = 4096
"""How many answers are remembered. There must be a limit, because programs choose the names."""


@dataclass(frozen=True, slots=True)
class PackageModules:
    """Tells whether a name is that of a module, by the names of files and folders.

    Attributes:
        folder: The folder of packages, as `site.getusersitepackages` names it; it need not exist.
        changed: When it last changed, in nanoseconds.
    """

    folder: Path
    changed: int
    _answers: dict[str, bool] = field(default_factory=dict, compare=False, repr=False)

    def __contains__(self, name: object) -> bool:
        """Tell whether there is a module of this dotted name; modules that code creates while it runs are not found."""
        if not isinstance(name, str):
            return False
        if name not in self._answers:
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            self._answers[name] = self._look_for(name)
        return self._answers[name]

    def _look_for(self, name: str) -> bool:
        *parents, last = name.split(".")
        if not all(map(str.isidentifier, (*parents, last))):
            return False
        folder = self.folder.joinpath(*parents)
        try:
            # An extension module has tags before its suffix, as in NAME.cpython-314-x86_64-linux-gnu.so.
            return (folder / last).is_dir() or any(file.suffix in _SUFFIXES for file in folder.glob(f"{last}.*"))
        except OSError:
            return False
