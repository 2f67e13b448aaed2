"""Modules set aside: a fork server has imported and hidden them; a program that imports one gets it immediately.

The fork server executes this file, and `record.py` fills `Aside`. It is written for CPython 3.6 and every later one. A
program must not see that a module was there already: everything that can be seen of an import happens when the program
imports the module. If this is uncertain, the interpreter's own import takes over: in the main thread for the rest of
the run, in another thread only for this import. Modules that cannot be imported twice are an exception (`Aside.once`).
docs/protocol.md, "Modules set aside", lists the conditions.

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

UNWATCHED = {"sys", "__main__"}
"""Modules whose global variables change all the time."""


class Aside:
    """The modules set aside, and how they become visible."""

    def __init__(self):  # type: () -> None
        """Set nothing aside yet."""
        self.importlib = sys.modules["_frozen_importlib"]  # type: Any
        self.external = sys.modules["_frozen_importlib_external"]  # type: Any
        self.builtins = sys.modules["builtins"]  # type: Any
        self.atexit = bootstrap.borrow("atexit")  # type: Any
        self.thread = sys.modules["_thread"]  # type: Any
        self.main_thread = self.thread.get_ident()
        self.import_, self.find_and_load = self.builtins.__import__, self.importlib._find_and_load
        self.hidden = {}  # type: dict[str, Any]  # the modules set aside, by name
        self.once = set()  # type: set[str]  # those that cannot be imported twice in a process, such as numpy
        self.is_off = False  # whether the interpreter's own import has taken over
        self.lock = self.thread.RLock()
        self.set_lazy_attributes = getattr(sys.modules["_imp"], "_set_lazy_attributes", None)  # type: Any  # from 3.15 on
        self.shown = set()  # type: set[str]  # those that have become visible; each does so only once
        self.order = {}  # type: dict[str, Order]
        self.folders = {}  # type: dict[str, str]  # the entry of the path that has a module, unless it is built in
        self.effects = {}  # type: dict[str, list[Callable[[], object]]]  # what else an import does, in order
        self.visible = {}  # type: dict[str, int]  # the ids of the modules that programs have from the start
        self.names = {}  # type: dict[str, Memory]  # the global variables of each module
        self.finders = {}  # type: dict[str, Any]  # as in sys.path_importer_cache
        self.library = set()  # type: set[str]  # the entries of the path in which these modules lie
        self.meta_path, self.path_hooks = [], []  # type: list[Any], list[Any]
        # What preloaded modules, and modules that became visible, have registered for the end: how many callbacks in
        # atexit, and which ones in threading.
        self.callbacks, self.thread_callbacks = 0, []  # type: int, list[object]

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
        if name in self.hidden:
            with self.lock:
                plan = self.plan(name) if self.may_show() else None
                if not plan and name in self.once:
                    plan = self.rest(name)
                if plan:
                    self.show(plan, self.order[name])
                    return sys.modules[name]
                if self.thread.get_ident() == self.main_thread:
                    self.is_off = True
        return self.find_and_load(name, import_)

    def may_show(self):  # type: () -> bool
        """Return whether showing a module now has the same result as importing it."""
        return not self.is_off and self.thread.get_ident() == self.main_thread and self.imports_are_original()

    def rest(self, name):  # type: (str) -> set[str]
        """Return the modules of an import that are not visible yet.

        Return an empty set if the import would find another module of this name, or if the module has been visible
        before. This is for a module that cannot be imported a second time: it becomes visible even if the program has
        changed modules that it imports.
        """
        top = name.partition(".")[0]
        if name in self.shown or top not in self.folders:
            return set()
        if sys.modules.get(top, self.hidden[top]) is not self.hidden[top]:
            return set()
        if top not in sys.modules and not self.finds({top}, "", self.folders[top]):
            return set()
        return {each for each in self.order[name].begins if each not in sys.modules and each in self.hidden}

    def imports_are_original(self):  # type: () -> bool
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
            if self.set_lazy_attributes and name in plan:
                self.set_lazy_attributes(self.hidden[name], name)
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


def is_foreign(module):  # type: (Any) -> bool
    """Return whether a module is written in C and does not lie in the folder of the standard library."""
    file = getattr(module, "__file__", None)
    if type(file) is not str or not file.endswith(".so"):
        return False
    library = sys.modules["os"].__file__.rpartition("/")[0]  # type: ignore[union-attr]
    return not file.startswith(library + "/lib-dynload/")


def thread_callbacks():  # type: () -> list[object]
    """Return the callbacks that threading calls at the end, from Python 3.9 on."""
    return list(getattr(sys.modules.get("threading"), "_threading_atexits", ()))
