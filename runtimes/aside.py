"""Modules set aside: a fork server imports and hides them; a program that imports one gets it immediately.

The fork server executes this file. It is written for CPython 3.6 and every later one. A program must not see that a
module was there already: everything that can be seen of an import happens when the program imports the module. If this
is uncertain, the interpreter's own import takes over: in the main thread for the rest of the run, in another thread
only for this import. docs/protocol.md, "Modules set aside", lists the conditions.

A fork shares each page of memory until something writes to it, and each new reference to an object is a write. So when
a program imports a module, this code touches few objects, and compares the global variables of modules as bytes in
memory.
"""

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Sequence

    import bootstrap
    import libc
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

UNWATCHED = {"sys", "__main__"}
"""Modules whose global variables change all the time."""


class Aside:
    """The modules set aside, and how they become visible."""

    def __init__(self):  # type: () -> None
        """Set nothing aside yet, except atexit, which the fork server itself has imported."""
        self.importlib = sys.modules["_frozen_importlib"]  # type: Any
        self.external = sys.modules["_frozen_importlib_external"]  # type: Any
        self.builtins = sys.modules["builtins"]  # type: Any
        self.atexit = bootstrap.borrow("atexit")  # type: Any
        self.thread = sys.modules["_thread"]  # type: Any
        self.main_thread = self.thread.get_ident()
        self.import_, self.find_and_load = self.builtins.__import__, self.importlib._find_and_load
        self.hidden = {}  # type: dict[str, Any]  # the modules set aside, by name
        self.shown = set()  # type: set[str]  # those that have become visible; each does so only once
        self.order = {}  # type: dict[str, Order]
        self.folders = {}  # type: dict[str, str]  # the entry of the path that has a module, unless it is built in
        self.effects = {}  # type: dict[str, list[Callable[[], object]]]  # what else an import does, in order
        self.visible = {}  # type: dict[str, int]  # the ids of the modules that programs have from the start
        self.names = {}  # type: dict[str, Memory]  # the global variables of each module
        self.finders = {}  # type: dict[str, Any]  # as in sys.path_importer_cache
        self.record = Record(self)
        self.library = set()  # type: set[str]  # the entries of the path in which these modules lie
        self.meta_path, self.path_hooks = [], []  # type: list[Any], list[Any]
        # What preloaded modules, and modules that became visible, have registered for the end: how many callbacks in
        # atexit, and which ones in threading.
        self.callbacks, self.thread_callbacks = 0, []  # type: int, list[object]

    def fill(self, names=MODULES):  # type: (Iterable[str]) -> None
        """Import modules and set them aside, with all that they import; skip those that cannot be imported."""
        if not Memory.is_usable():
            return
        searched, record = dict(sys.path_importer_cache), self.record
        self.importlib._find_and_load = record.find_and_load
        with record:
            for name in names:
                record.take(name)
        self.importlib._find_and_load = self.bring
        self.finders.update(sys.path_importer_cache)
        sys.path_importer_cache.clear()
        sys.path_importer_cache.update(searched)
        close = {name: "".join(list(name)) for name in self.hidden}  # copies that lie close together in memory
        for name, module in list(self.hidden.items()):
            order = record.order(name)
            self.order[close[name]] = Order(*[tuple([close.get(each, each) for each in names]) for names in order])
            self.effects[close[name]] = record.effects_of(name)
            self.names[close[name]] = Memory(module)
            if record.folder(name, module):
                self.folders[close[name]] = record.folder(name, module)
        self.hidden = bootstrap.ASIDE = {close[name]: module for name, module in self.hidden.items()}
        self.effects = {name: effects for name, effects in self.effects.items() if effects}
        self.library = {folder for name, folder in self.folders.items() if "." not in name}
        self.note_visible()

    def note_visible(self):  # type: () -> None
        """Note the state that a program starts with: finders, path hooks, visible modules and callbacks."""
        self.meta_path, self.path_hooks = sys.meta_path[:], sys.path_hooks[:]
        self.visible = {name: id(module) for name, module in sys.modules.items() if name not in self.hidden}
        self.note(*sys.modules)
        self.callbacks, self.thread_callbacks = self.atexit._ncallbacks(), thread_callbacks()

    def note_fork(self):  # type: () -> None
        """Note again the state of the modules that a fork has changed (os.register_at_fork)."""
        self.note("threading", "random", "logging", "concurrent.futures.thread")

    def note(self, *names):  # type: (str) -> None
        """Note the global variables of modules; skip those that are not visible."""
        for name in names:
            if name in sys.modules and name not in UNWATCHED:
                self.names[name] = Memory(sys.modules[name])

    def bring(self, name, import_):  # type: (str, Any) -> Any
        """Import a module that is not in sys.modules: make it visible if it is set aside, otherwise import it."""
        if name in self.hidden and self.thread.get_ident() == self.main_thread:
            plan = self.plan(name) if self.is_undisturbed() else None
            if plan:
                self.show(plan, self.order[name])
                return sys.modules[name]
            self.hidden.clear()
            self.importlib._find_and_load = self.find_and_load
        return self.find_and_load(name, import_)

    def is_undisturbed(self):  # type: () -> bool
        """Return whether the program has not changed how imports work, and nothing traces or profiles them."""
        return (
            self.builtins.__import__ is self.import_
            and sys.meta_path == self.meta_path
            and sys.path_hooks == self.path_hooks
            and not self.is_watched()
            and self.names["builtins"].is_same()
        )

    @staticmethod
    def is_watched():  # type: () -> bool
        """Return whether the program traces, profiles or monitors calls."""
        if sys.gettrace() or sys.getprofile():
            return True
        return hasattr(sys, "monitoring") and any(map(sys.monitoring.get_tool, range(6)))

    def plan(self, name):  # type: (str) -> set[str] | None
        """Return the modules that an import loads; None if they may differ from those that are set aside."""
        plan, folders = set(), {}  # type: set[str], dict[tuple[str, str], set[str]]
        for each in self.order[name].begins:
            if each in sys.modules:
                known = id(self.hidden[each]) if each in self.shown else self.visible.get(each)
                if id(sys.modules[each]) != known or (each in self.names and not self.names[each].is_same()):
                    return None
            elif each in self.shown or each not in self.hidden:
                return None  # the program has removed it
            else:
                plan.add(each)
                if each in self.folders:
                    folders.setdefault((each.rpartition(".")[0], self.folders[each]), set()).add(each)
        return plan if all(self.finds(names, *place) for place, names in folders.items()) else None

    def finds(self, names, parent, folder):  # type: (set[str], str, str) -> bool
        """Search the path for modules as the interpreter does; return whether it finds all of them in this folder."""
        path = sys.path  # type: Iterable[str]
        if parent:
            path = sys.modules[parent].__path__ if parent in sys.modules else [folder]
        for entry in path:
            if not isinstance(entry, str):
                return False
            finder = self.finder(entry)
            if entry == folder:
                return True
            if finder and entry not in self.library and self.has_any(finder, names):
                return False
        return False

    def has_any(self, finder, names):  # type: (Any, set[str]) -> bool
        """Return whether a finder finds one of these modules."""
        if type(finder) is self.external.FileFinder:
            try:
                files = {file.partition(".")[0] for file in posix.listdir(finder.path)}
            except OSError:
                return False
            names = {name for name in names if name.rpartition(".")[2] in files}
        return any(finder.find_spec(name) for name in names)

    def finder(self, entry):  # type: (str) -> Any
        """Return the finder of an entry of the path, and leave it in sys.path_importer_cache as an import does."""
        if entry in self.finders and entry not in sys.path_importer_cache:
            sys.path_importer_cache[entry] = self.finders[entry]
        return self.external.PathFinder._path_importer_cache(entry)

    def show(self, plan, order):  # type: (set[str], Order) -> None
        """Make modules visible, as their imports would."""
        for name in order.places:
            if name in plan:
                sys.modules[name] = self.hidden[name]
        self.shown.update(plan)
        for name in order.ends:
            if name in plan and name in self.effects:
                before = self.atexit._ncallbacks()
                for effect in self.effects[name]:
                    effect()
                self.callbacks += self.atexit._ncallbacks() - before

    def knows_callbacks(self):  # type: () -> bool
        """Return whether all callbacks for the end are of preloaded modules, or of modules that became visible."""
        return self.atexit._ncallbacks() == self.callbacks and thread_callbacks() == self.thread_callbacks


class Order:
    """All modules that an import loads, in three orders: as imports begin, as sys.modules has them, as imports end."""

    def __init__(self, begins, places, ends):  # type: (Sequence[str], Sequence[str], Sequence[str]) -> None
        self.begins, self.places, self.ends = begins, places, ends


class Memory:
    """The global variables of a module at one time, as the bytes of their dictionary (Objects/dictobject.c).

    The third field of a dictionary is the pointer to its table of keys and values. The table begins with three words
    that are not compared: they may change when no variable does.
    """

    POINTER = object.__basicsize__ + 16
    START = 24

    def __init__(self, module):  # type: (Any) -> None
        """Copy the bytes; none if this is not a plain module."""
        self.copy = b""
        if type(module) is type(sys):
            names = module.__dict__
            self.pointer = libc.Pointer.from_address(id(names) + self.POINTER)
            self.table = self.pointer.value  # type: int
            self.copy = bytes(names.__sizeof__() - dict.__basicsize__ - self.START)
            libc.copy(self.copy, self.table + self.START)

    def is_same(self):  # type: () -> bool
        """Return whether each variable still refers to the same object; True for what is not a plain module."""
        if not self.copy:
            return True
        return bool(self.pointer.value == self.table) and libc.equals(self.copy, self.table + self.START)

    @classmethod
    def is_usable(cls):  # type: () -> bool
        """Return whether this class detects changes: later versions of Python may store dictionaries differently."""
        module = type(sys)("module")  # type: Any
        module.name = first = object()
        memory = cls(module)
        was_same = memory.is_same()
        module.name = object()
        is_same, module.name = memory.is_same(), first
        return was_same and not is_same and memory.is_same()


class Record:
    """What the imports of the modules do, recorded while the fork server imports them."""

    def __init__(self, aside):  # type: (Aside) -> None
        self.aside = aside
        self.parts = {}  # type: dict[str, dict[str, None]]  # the modules that a module imports, in order
        self.effects = {}  # type: dict[str, list[Callable[[], object]]]  # what an import does outside sys.modules
        self.late = set()  # type: set[str]  # submodules that parents do not import; their import sets an attribute
        self.thread_callbacks = 0  # how many there were before `__enter__`
        self.extras = set()  # type: set[str]  # modules that other modules put into sys.modules, as typing does
        self.loading = []  # type: list[str]
        self.base = set()  # type: set[str]  # modules that were in sys.modules before `__enter__`
        self.names = {}  # type: dict[str, tuple[Memory, dict[str, Any]]]  # the global variables of modules in `base`
        self.atexit = aside.atexit  # type: Any
        if "atexit" not in sys.modules:
            aside.hidden["atexit"], self.parts["atexit"] = self.atexit, {}
        self.register = self.atexit.register
        self.at_fork = getattr(posix, "register_at_fork", None)

    def __enter__(self):  # type: () -> None
        """Begin to record."""
        self.base = set(sys.modules)
        self.thread_callbacks = len(thread_callbacks())
        self.aside.builtins.__import__ = self.import_
        self.atexit.register = self.register_later
        if self.at_fork:
            sys.modules["os"].register_at_fork = self.register_at_fork_later  # type: ignore[attr-defined]
        for name in self.base - UNWATCHED:
            self.names[name] = Memory(sys.modules[name]), dict(sys.modules[name].__dict__)

    def __exit__(self, *_):  # type: (object) -> None
        """Restore the functions that `__enter__` replaced."""
        self.aside.builtins.__import__ = self.aside.import_
        self.atexit.register = self.register
        if self.at_fork:
            sys.modules["os"].register_at_fork = self.at_fork  # type: ignore[attr-defined]

    def take(self, root):  # type: (str) -> None
        """Import a module, and hide every module that this added to sys.modules."""
        try:
            __import__(root)
        except Exception:
            self.loading.clear()  # this version of Python has no such module
        new = [name for name in sys.modules if name not in self.base]
        for name in new:
            self.aside.hidden[name] = sys.modules.pop(name)
            self.parts.setdefault(name, {})
        for name in new:
            parent, _, child = name.rpartition(".")
            if parent and name not in self.order(parent)[0]:
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

        def follow(name):  # type: (str) -> None
            parent = name.rpartition(".")[0]
            if parent and name not in begins:
                follow(parent)
            if name not in begins:
                begins[name], place = None, len(places)
                for part in self.parts.get(name, ()):
                    follow(part)
                places.insert(len(places) if self.moves_to_end(name) else place, name)
                ends.append(name)

        follow(name)
        return list(begins), places, ends

    def folder(self, name, module):  # type: (str, Any) -> str
        """Return the entry of the path in which the interpreter finds a module; empty if it does not search for it."""
        spec = getattr(module, "__spec__", None)
        if name not in self.extras and spec and spec.name != name:  # it replaced itself, as collections.abc does
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
        if self.loading and not self.loading[-1].startswith(name + "."):
            self.parts[self.loading[-1]][name] = None
        if name in self.aside.hidden:
            for each in self.order(name)[2]:
                if each not in sys.modules:
                    sys.modules[each] = self.aside.hidden.pop(each)
                    parent, _, child = each.rpartition(".")
                    if each in self.late:
                        setattr(sys.modules[parent], child, sys.modules[each])
            return sys.modules[name]
        self.parts[name] = {}
        self.loading.append(name)
        try:
            module = self.aside.find_and_load(name, import_)
            self.note_extras()
            self.undo(name)
        except BaseException:  # the parts of this module become parts of its importer
            if len(self.loading) > 1:
                found = self.parts[self.loading[-2]]
                found.pop(name, None)
                found.update(self.parts.pop(name))
            raise
        finally:
            self.loading.pop()
        return module

    def note_extras(self):  # type: () -> None
        """Note what the module that is being imported has put into sys.modules by itself, as typing does."""
        for extra in [name for name in sys.modules if name not in self.parts and name not in self.base]:
            self.parts[extra], self.parts[self.loading[-1]][extra] = {}, None
            self.extras.add(extra)

    def undo(self, name):  # type: (str) -> None
        """Undo what the import of a module did to others; an effect does it again when the module becomes visible."""
        threading = sys.modules.get("threading")  # type: Any
        for callback in thread_callbacks()[self.thread_callbacks :]:
            threading._threading_atexits.remove(callback)
            self.effects.setdefault(name, []).append(self.registering(threading, callback))
        for base in [base for base, (memory, _) in self.names.items() if not memory.is_same()]:
            names, module = self.names[base][1], sys.modules[base]
            new = {key: value for key, value in module.__dict__.items() if names.get(key, self) is not value}
            self.effects.setdefault(name, []).append(self.redoing(base, new))
            for key in new:
                if key in names:
                    setattr(module, key, names[key])
                else:
                    delattr(module, key)
            self.names[base] = Memory(module), names

    def redoing(self, base, names):  # type: (str, dict[str, Any]) -> Callable[[], object]
        """Return a function that sets these variables of a module again."""

        def redo():  # type: () -> None
            module = sys.modules[base]
            module.__dict__.update(names)
            self.aside.note(base, module.__name__)  # importlib changes `__name__` of _frozen_importlib, for example

        return redo

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


def thread_callbacks():  # type: () -> list[object]
    """Return the callbacks that threading calls at the end, from Python 3.9 on."""
    return list(getattr(sys.modules.get("threading"), "_threading_atexits", ()))


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


RENEWED = {"logging": renew_logging, "random": renew_random, "threading": renew_threading}
"""Functions to call when a module becomes visible: its import depends on the time, the process or randomness."""
