"""What the import of a module changes outside the imported module, where programs can see it.

The fork server executes this file. It is written for CPython 3.6 and every later one. Each class here is for one kind
of change. After each import, `Record` asks what has changed. After it has imported a module of its list, with all
that this module imports, `Record` restores the first state. When a module becomes visible, its changes are repeated.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    import aside as asides
    from aside import Aside


class Globals:
    """The global variables of modules that programs have from the start."""

    def __init__(self, aside):  # type: (Aside) -> None
        self.aside = aside
        self.first = {}  # type: dict[str, dict[str, Any]]
        self.known = {}  # type: dict[str, tuple[asides.Memory, dict[str, Any]]]

    def begin(self):  # type: () -> None
        """Note the first state."""
        self.first = {name: dict(sys.modules[name].__dict__) for name in set(sys.modules) - asides.UNWATCHED}
        self.known = {name: (asides.Memory(sys.modules[name]), names) for name, names in self.first.items()}

    def changes(self):  # type: () -> Callable[[], object] | None
        """Return a function that repeats the changes since the last call; None if there are none."""
        changed = {}  # type: dict[str, dict[str, Any]]
        for base in [base for base, (memory, _) in self.known.items() if not memory.is_same()]:
            module, names = sys.modules[base], self.known[base][1]
            new = {key: value for key, value in module.__dict__.items() if names.get(key, self) is not value}
            self.known[base] = asides.Memory(module), dict(module.__dict__)
            if new:
                changed[base] = new
        return (lambda: self.change(changed)) if changed else None

    def change(self, changed):  # type: (dict[str, dict[str, Any]]) -> None
        """Set variables of modules."""
        for base, names in changed.items():
            module = sys.modules[base]
            module.__dict__.update(names)
            self.aside.note(base, module.__name__)  # importlib changes `__name__` of _frozen_importlib, for example

    def restore(self):  # type: () -> None
        """Restore the first state."""
        for base, (memory, _) in self.known.items():
            names, first = sys.modules[base].__dict__, self.first[base]
            if not memory.is_same() or self.known[base][1] is not first:
                for key in [key for key in names if key not in first]:
                    del names[key]
                for key in [key for key in first if names.get(key, self) is not first[key]]:
                    names[key] = first[key]
                self.known[base] = asides.Memory(sys.modules[base]), first


class Filters:
    """The filters of warnings."""

    def __init__(self):  # type: () -> None
        self.module = sys.modules["_warnings"]  # type: Any
        self.first, self.known = [], []  # type: list[Any], list[Any]

    def begin(self):  # type: () -> None
        """Note the first state."""
        self.first = self.known = list(self.module.filters)

    def changes(self):  # type: () -> Callable[[], object] | None
        """Return a function that adds again the filters that are new since the last call; None if there are none."""
        now, known = list(self.module.filters), self.known
        if now == known:
            return None
        places = [place for place in range(len(now)) if now[place : place + len(known)] == known]
        self.known = now
        if places:
            return lambda: self.add(now[: places[0]], now[places[0] + len(known) :])
        return lambda: self.add([each for each in now if each not in known], [])

    def add(self, first, last):  # type: (list[Any], list[Any]) -> None
        """Add filters before all others and after all others, and let the interpreter know."""
        self.module.filters[:] = first + self.module.filters + last
        if not hasattr(self.module, "_acquire_lock"):  # before 3.14
            self.module._filters_mutated()
            return
        self.module._acquire_lock()
        try:
            self.module._filters_mutated_lock_held()
        finally:
            self.module._release_lock()

    def restore(self):  # type: () -> None
        """Restore the first state."""
        if self.module.filters != self.first:
            self.module.filters[:] = self.first
        self.known = self.first


class Environment:
    """The environment variables."""

    def __init__(self):  # type: () -> None
        self.first, self.known = {}, {}  # type: dict[bytes, bytes], dict[bytes, bytes]

    def begin(self):  # type: () -> None
        """Note the first state."""
        self.first = self.known = self.now()

    @staticmethod
    def now():  # type: () -> dict[bytes, bytes]
        """Return the variables as the module os has them."""
        return dict(sys.modules["os"].environ._data)

    def changes(self):  # type: () -> Callable[[], object] | None
        """Return a function that sets again the variables that have changed since the last call; None if none have."""
        before, now = self.known, self.now()
        new = {key: now.get(key) for key in {*before, *now} if before.get(key) != now.get(key)}
        self.known = now
        return (lambda: self.set(new, before)) if new else None

    def set(self, new, before):  # type: (dict[bytes, bytes | None], dict[bytes, bytes]) -> None
        """Set or remove variables that still have the value that they had before."""
        environ = sys.modules["os"].environb  # type: Any
        for key, value in new.items():
            if environ.get(key) == before.get(key):
                if value is None:
                    del environ[key]
                else:
                    environ[key] = value

    def restore(self):  # type: () -> None
        """Restore the first state."""
        if self.now() != self.first:
            now = self.now()
            self.set({key: self.first.get(key) for key in {*now, *self.first}}, now)
        self.known = self.first


class LazyModules:
    """The names that lazy imports have registered (sys.lazy_modules), from Python 3.15 on."""

    def __init__(self):  # type: () -> None
        self.names = getattr(sys, "lazy_modules", set())  # type: set[str]
        self.first, self.known = set(), set()  # type: set[str], set[str]

    def begin(self):  # type: () -> None
        """Note the first state."""
        self.first = self.known = set(self.names)

    def changes(self):  # type: () -> Callable[[], object] | None
        """Return a function that adds again the names that are new since the last call; None if there are none."""
        new = self.names - self.known
        self.known = set(self.names)
        return (lambda: self.names.update(new)) if new else None

    def restore(self):  # type: () -> None
        """Restore the first state."""
        self.names.clear()
        self.names.update(self.first)
        self.known = self.first


class Loggers:
    """The loggers of the module logging, which usually is set aside itself."""

    def __init__(self):  # type: () -> None
        self.first, self.known = {}, {}  # type: dict[str, Any], dict[str, Any]

    def begin(self):  # type: () -> None
        """Note the first state."""
        manager = self.manager()
        self.first = dict(manager.loggerDict) if manager else {}
        self.known = dict(self.first)

    @staticmethod
    def manager():  # type: () -> Any
        """Return the manager of loggers; None if logging is not imported."""
        root = getattr(sys.modules.get("logging"), "root", None)
        return root.manager if root else None

    def changes(self):  # type: () -> Callable[[], object] | None
        """Return a function that brings back the loggers that are new since the last call; None if there are none."""
        manager = self.manager()
        loggers = manager.loggerDict if manager else {}
        new = {name: each for name, each in loggers.items() if self.known.get(name) is not each}
        self.known.update(new)
        return (lambda: self.bring(manager, new)) if new else None

    @staticmethod
    def bring(manager, loggers):  # type: (Any, dict[str, Any]) -> None
        """Bring loggers back, as logging.getLogger would make them."""
        for name, logger in loggers.items():
            known = manager.loggerDict.get(name)
            if not hasattr(logger, "handlers"):  # a placeholder for a parent that nobody has made
                continue
            if hasattr(known, "handlers"):  # the program has made it
                Loggers.unite(known, logger)
                continue
            manager.loggerDict[name] = logger
            if known:
                manager._fixupChildren(known, logger)
            manager._fixupParents(logger)

    @staticmethod
    def unite(known, logger):  # type: (Any, Any) -> None
        """Make two loggers one, with the state of the first one and what the import has changed in the second one."""
        fresh = type(logger)(logger.name)
        for key in ("level", "propagate", "disabled"):
            if getattr(logger, key) != getattr(fresh, key):
                setattr(known, key, getattr(logger, key))
        known.handlers.extend(logger.handlers)
        known.filters.extend(logger.filters)
        logger.__dict__ = known.__dict__

    def restore(self):  # type: () -> None
        """Restore the first state."""
        manager = self.manager()
        if manager:
            manager.loggerDict.clear()
            manager.loggerDict.update(self.first)
        self.known = dict(self.first)
