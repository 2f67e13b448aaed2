"""The imports of modules that are set aside, recorded while the fork server imports them.

The fork server executes this file. It is written for CPython 3.6 and every later one. What an import does outside its
module is undone, and done again when the module becomes visible to a program (`Aside.show`).
"""

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Iterator

    import aside as asides
    import bootstrap
    import outside
    import process
    from aside import Aside
else:
    import __main__ as bootstrap

MODULES = """
    _colorize annotationlib argparse array ast asyncio asyncio.runners base64 binascii bisect bz2 calendar
    cmath collections collections.abc concurrent.futures concurrent.futures.thread contextlib contextvars copy
    copyreg csv dataclasses datetime decimal difflib dis enum errno fnmatch fractions functools glob graphlib
    gzip hashlib heapq hmac html importlib importlib.util inspect ipaddress itertools json keyword linecache
    locale logging lzma math numbers opcode operator pathlib pickle platform pprint queue random re reprlib
    runpy secrets select shlex shutil signal socket ssl statistics string string.templatelib struct subprocess
    tarfile tempfile textwrap threading time timeit token tokenize traceback types typing unicodedata unittest
    urllib.parse uuid warnings weakref zipfile zlib zoneinfo
""".split()
"""Modules that programs import most. `Record` and `RENEWED` cover every visible effect of importing these modules."""


class Record:
    """Sets modules aside, and records what their imports do."""

    def __init__(self, aside):  # type: (Aside) -> None
        self.aside = aside
        self.parts = {}  # type: dict[str, dict[str, None]]  # the modules that a module imports, in order
        self.effects = {}  # type: dict[str, list[Callable[[], object]]]  # what an import does outside sys.modules
        self.late = set()  # type: set[str]  # submodules that parents do not import; their import sets an attribute
        self.thread_callbacks = 0  # how many there were before `__enter__`
        self.failure = None  # type: Exception | None  # why the last module could not be imported
        self.extras = set()  # type: set[str]  # modules that other modules put into sys.modules, as typing does
        self.found = set()  # type: set[str]  # all modules that the current `take` has found
        self.outside = (
            outside.Globals(aside),
            outside.Filters(),
            outside.Environment(),
            outside.LazyModules(),
            outside.Loggers(),
        )  # type: tuple[Any, ...]
        self.changes = {}  # type: dict[str, list[Callable[[], object]]]  # those effects that concern `outside`
        self.loading = []  # type: list[str]
        self.base = set()  # type: set[str]  # modules that were in sys.modules before `__enter__`
        self.atexit = aside.atexit  # type: Any
        if "atexit" not in sys.modules:
            aside.hidden["atexit"], self.parts["atexit"] = self.atexit, {}
        self.register = self.atexit.register
        self.at_fork = getattr(posix, "register_at_fork", None)

    def fill(self, names=MODULES):  # type: (Iterable[str]) -> None
        """Import modules and set them aside, with all that they import; skip those that cannot be imported."""
        if not asides.Memory.is_usable():
            return
        aside, searched = self.aside, dict(sys.path_importer_cache)
        aside.importlib._find_and_load = self.find_and_load
        with self:
            for name in names:
                self.take(name)
        aside.importlib._find_and_load = aside.bring
        aside.finders.update(sys.path_importer_cache)
        sys.path_importer_cache.clear()
        sys.path_importer_cache.update(searched)
        close = {name: "".join(list(name)) for name in aside.hidden}  # copies that lie close together in memory
        for name, module in list(aside.hidden.items()):
            order = [tuple([close.get(each, each) for each in names]) for names in self.order(name)]
            aside.order[close[name]] = asides.Order(*order)
            aside.effects[close[name]] = self.effects_of(name)
            aside.names[close[name]] = asides.Memory(module)
            if self.folder(name, module):
                aside.folders[close[name]] = self.folder(name, module)
        foreign = {name for name, module in aside.hidden.items() if asides.is_foreign(module)}
        aside.once = {name for name, order in aside.order.items() if not foreign.isdisjoint(order.begins)}
        aside.hidden = bootstrap.ASIDE = {close[name]: module for name, module in aside.hidden.items()}
        aside.effects = {name: effects for name, effects in aside.effects.items() if effects}
        aside.library = {folder for name, folder in aside.folders.items() if "." not in name}
        aside.note_visible()

    def fill_with_packages(self, names, report):  # type: (list[str], Callable[[bytes, str], object]) -> None
        """Set modules of packages aside, and report for each module what became of it, and why."""

        def reported():  # type: () -> Iterator[str]
            for name in names:
                before = process.State()
                yield name
                if self.failure is not None:
                    report(process.MISSING, type(self.failure).__name__ + ": " + str(self.failure))
                else:
                    changed = before.changed()
                    report(process.UNFIT if changed else process.SET_ASIDE, changed)

        self.fill(reported())

    def __enter__(self):  # type: () -> None
        """Begin to record."""
        self.base = set(sys.modules)
        self.thread_callbacks = len(asides.thread_callbacks())
        self.aside.builtins.__import__ = self.import_
        self.atexit.register = self.register_later
        if self.at_fork:
            sys.modules["os"].register_at_fork = self.register_at_fork_later  # type: ignore[attr-defined]
        for kind in self.outside:
            kind.begin()

    def __exit__(self, *_):  # type: (object) -> None
        """Restore the functions that `__enter__` replaced."""
        self.aside.builtins.__import__ = self.aside.import_
        self.atexit.register = self.register
        if self.at_fork:
            sys.modules["os"].register_at_fork = self.at_fork  # type: ignore[attr-defined]

    def take(self, root):  # type: (str) -> None
        """Import a module, and hide every module that this added to sys.modules."""
        self.failure = None
        self.found.clear()
        try:
            __import__(root)
        except Exception as error:
            self.failure = error.with_traceback(None)  # for example, this version of Python does not have the module
            self.loading.clear()
        for kind in self.outside:
            kind.restore()
        new = [name for name in sys.modules if name not in self.base]
        for name in new:
            self.aside.hidden[name] = sys.modules.pop(name)
            self.parts.setdefault(name, {})
        for name in new:
            parent, _, child = name.rpartition(".")
            if parent and name not in self.extras and name not in self.order(parent)[0]:
                module = self.aside.hidden.get(parent) or sys.modules[parent]
                if module.__dict__.get(child) is self.aside.hidden[name]:
                    delattr(module, child)
                    self.late.add(name)

    def registering(self, threading, callback):  # type: (Any, object) -> Callable[[], object]
        """Return a function that registers a callback of threading."""

        def register():  # type: () -> None
            threading._threading_atexits.append(callback)
            self.aside.thread_callbacks.append(callback)

        return register

    def order(self, name):  # type: (str) -> tuple[list[str], list[str], list[str]]
        """Return all modules that the import of this one loads, in the three orders of `Order`."""
        begins, places, ends = {}, [], []  # type: dict[str, None], list[str], list[str]

        def follow(name, is_asked=False):  # type: (str, bool) -> None
            parent = name.rpartition(".")[0]
            if parent and name not in begins and (is_asked or name not in self.extras):
                follow(parent, is_asked)
            if name not in begins:
                begins[name], place = None, len(places)
                for part in self.parts.get(name, ()):
                    follow(part)
                places.insert(len(places) if self.moves_to_end(name) else place, name)
                ends.append(name)

        follow(name, True)
        return list(begins), places, ends

    def folder(self, name, module):  # type: (str, Any) -> str
        """Return the entry of the path in which the interpreter finds a module; empty if it does not search for it."""
        spec = getattr(module, "__spec__", None)
        if name in self.extras:
            return ""
        if spec and spec.name != name:  # it replaced itself, as collections.abc does
            return self.aside.hidden[name.rpartition(".")[0]].__path__[0]  # type: ignore[no-any-return]
        if not spec or not spec.has_location:
            return ""
        return spec.origin.rsplit("/", 2 if spec.submodule_search_locations else 1)[0]  # type: ignore[no-any-return]

    def moves_to_end(self, name):  # type: (str) -> bool
        """Return whether an import moves its module to the end of sys.modules; before 3.8, only C modules move."""
        loader = getattr(getattr(self.aside.hidden.get(name), "__spec__", None), "loader", None)
        return sys.version_info >= (3, 8) or type(loader) is self.aside.external.ExtensionFileLoader

    def effects_of(self, name):  # type: (str) -> list[Callable[[], object]]
        """Return the functions to call when a module becomes visible."""
        effects, module = list(self.effects.get(name, ())), self.aside.hidden[name]
        parent, _, child = name.rpartition(".")
        if name in RENEWED:
            effects.append(lambda: RENEWED[name](module))
        if name in self.late:
            effects.append(lambda: setattr(sys.modules[parent], child, module))
        if effects:
            effects.append(lambda: self.aside.note(name, parent))
        return effects

    def find_and_load(self, name, import_):  # type: (str, Any) -> Any
        """Import a module that is not in sys.modules; take it from the modules set aside if it is among them."""
        self.note_extras()
        if self.loading:
            self.note_changes(self.loading[-1])
        if self.loading and not self.loading[-1].startswith(name + "."):
            self.parts[self.loading[-1]][name] = None
        if name in self.aside.hidden:
            for each in self.order(name)[2]:
                self.found.add(each)
                if each not in sys.modules:
                    sys.modules[each] = self.aside.hidden.pop(each)
                    self.change_again(each)
                    parent, _, child = each.rpartition(".")
                    if each in self.late:
                        setattr(sys.modules[parent], child, sys.modules[each])
            return sys.modules[name]
        searched, self.parts[name] = set(sys.path_importer_cache), {}
        self.loading.append(name)
        try:
            module = self.aside.find_and_load(name, import_)
            self.note_extras()
            self.note_callbacks(name)
            self.note_changes(name)
        except BaseException:
            self.note_searched(searched)
            if len(self.loading) > 1:  # the parts of this module become parts of its importer
                found = self.parts[self.loading[-2]]
                found.pop(name, None)
                found.update(self.parts.pop(name))
            raise
        finally:
            self.loading.pop()
        return module

    def note_searched(self, before):  # type: (set[str]) -> None
        """Note the folders that a failed import has searched; their finders become visible with its importer."""
        new = [folder for folder in sys.path_importer_cache if folder not in before]
        if new and len(self.loading) > 1:
            self.effects.setdefault(self.loading[-2], []).append(lambda: [self.aside.finder(each) for each in new])

    def note_extras(self):  # type: () -> None
        """Note what the module that is being imported has put into sys.modules by itself, as typing does."""
        for extra in [name for name in sys.modules if name not in self.found and name not in self.base]:
            if extra != self.loading[-1]:
                self.parts[extra], self.parts[self.loading[-1]][extra] = {}, None
                self.extras.add(extra)
            self.found.add(extra)

    def note_callbacks(self, name):  # type: (str) -> None
        """Note the callbacks of threading that the import of a module has registered, and remove them."""
        threading = sys.modules.get("threading")  # type: Any
        for callback in asides.thread_callbacks()[self.thread_callbacks :]:
            threading._threading_atexits.remove(callback)
            self.effects.setdefault(name, []).append(self.registering(threading, callback))

    def note_changes(self, name):  # type: (str) -> None
        """Note what the import of a module has changed outside the module since the last call."""
        for kind in self.outside:
            effect = kind.changes()
            if effect:
                self.effects.setdefault(name, []).append(effect)
                self.changes.setdefault(name, []).append(effect)

    def change_again(self, name):  # type: (str) -> None
        """Repeat the changes that the import of a module set aside has made."""
        for effect in self.changes.get(name, ()):
            effect()
        for kind in self.outside:
            kind.changes()  # so that they count as this module's

    def import_(self, name, globals=None, locals=None, fromlist=(), level=0):  # type: ignore[no-untyped-def]  # noqa: A002
        """Replace `__import__`: import, and record what is imported, even if it is in sys.modules already."""
        self.note_extras()
        try:
            return self.aside.import_(name, globals, locals, fromlist, level)
        finally:
            if self.loading:
                importlib, found = self.aside.importlib, self.parts[self.loading[-1]]
                if level:
                    name = importlib._resolve_name(name, importlib._calc___package__(globals), level)
                words = name.split(".")
                names = [".".join(words[: count + 1]) for count in range(len(words))]
                for each in names + [name + "." + each for each in fromlist or ()]:
                    if each in sys.modules and each not in self.loading:
                        found[each] = None

    def register_later(self, function, *arguments, **named):  # type: (Any, Any, Any) -> Any
        """Replace atexit.register: register the callback only when the module becomes visible."""
        self.effects.setdefault(self.loading[-1], []).append(lambda: self.register(function, *arguments, **named))
        return function

    def register_at_fork_later(self, **hooks):  # type: (Callable[[], object]) -> None
        """Replace os.register_at_fork: register the hooks only when the module becomes visible.

        First call the hooks `before` and `after_in_child`, as the fork of this run would have done.
        """

        def effect():  # type: () -> None
            for hook in ("before", "after_in_child"):
                if hook in hooks:
                    hooks[hook]()
            self.at_fork(**hooks)  # type: ignore[misc]

        self.effects.setdefault(self.loading[-1], []).append(effect)


def renew_logging(module):  # type: (Any) -> None
    """Set the time of the import to now."""
    time = bootstrap.borrow("time")
    module._startTime = time.time_ns() if isinstance(module._startTime, int) else time.time()


def renew_random(module):  # type: (Any) -> None
    """Seed the module anew: each run has its own random numbers."""
    module.seed()


def renew_threading(module):  # type: (Any) -> None
    """Update the threads that the module knows to those of this process."""
    if sys.version_info < (3, 9):  # later versions register this with os.register_at_fork
        module._after_fork()
    if sys.version_info >= (3, 8):
        module._main_thread._set_native_id()


RENEWED = {
    "logging": renew_logging,
    "numpy.random": renew_random,
    "random": renew_random,
    "threading": renew_threading,
    "torch": renew_random,
}
"""Functions to call when a module becomes visible: its import depends on the time, the process or randomness."""
