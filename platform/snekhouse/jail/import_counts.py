"""The modules of packages that programs of a runtime import several times, and that a generation sets aside."""

from collections import Counter
from collections.abc import Collection, Container, Iterable

import anyio

_MIN_EVALUATIONS = 2
"""How many evaluations must import a module before it is set aside."""

_MAX_LOSSES = 2
"""How many lost generations it takes to give up."""

_MAX_MODULES = 64
"""How many modules are counted: the first ones that programs import. So this is also the most that are set aside."""


class ImportCounts:
    """Counts which modules programs import from packages.

    Programs choose only among the modules of installed packages. Other modules, such as their own, are never imported
    ahead.

    Attributes:
        left_out: Why modules are not set aside although programs import them, by module.
    """

    def __init__(self) -> None:
        self._packages: Container[str] = ()
        self._evaluations: Counter[str] = Counter()
        self._is_more_wanted = anyio.Event()
        self._losses = 0
        self.left_out: dict[str, str] = {}

    def begin(self, packages: Container[str]) -> None:
        """Begin with another fork server.

        Args:
            packages: The modules of the packages that are installed now; equal to the previous ones if no package has
                changed.
        """
        if packages != self._packages:
            self._packages, self._losses = packages, 0
            self._evaluations = Counter({name: count for name, count in self._evaluations.items() if name in packages})
        self.left_out.clear()

    def note(self, modules: Iterable[str]) -> None:
        """Count the modules of packages that the program of an evaluation imports."""
        for name in modules:
            if name in self._packages and (name in self._evaluations or len(self._evaluations) < _MAX_MODULES):
                self._evaluations[name] += 1
                if self._evaluations[name] == _MIN_EVALUATIONS:
                    self._is_more_wanted.set()

    async def more_wanted(self, beyond: Collection[str]) -> tuple[str, ...]:
        """Wait until there are modules to set aside that are not in `beyond`; return all, most frequent first."""
        while not set(wanted := self._wanted()).difference(beyond):
            self._is_more_wanted = anyio.Event()
            await self._is_more_wanted.wait()
        return wanted

    def leave_out(self, module: str, reason: str) -> None:
        """Do not set a module aside while this fork server runs."""
        self.left_out[module] = reason

    def lose(self) -> None:
        """Record that a generation was lost or did not start; after two, set no more aside until packages change."""
        self._losses += 1

    def _wanted(self) -> tuple[str, ...]:
        if self._losses >= _MAX_LOSSES:
            return ()
        counts = self._evaluations.most_common()
        return tuple(name for name, count in counts if count >= _MIN_EVALUATIONS and name not in self.left_out)


def top_of(module: str) -> str:
    """Return the name of the top-level module that contains a module."""
    return module.partition(".")[0]
