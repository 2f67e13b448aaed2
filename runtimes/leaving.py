"""How a forked run exits immediately after its program, without the normal end of the interpreter.

The fork server executes this file. It is written for CPython 3.6 and every later one.
"""

import sys
from posix import _exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Callable, Iterable, Iterator

    import aside as asides
    import bootstrap
    import libc
    from aside import Aside
else:
    import __main__ as bootstrap


class Leaving:
    """Ends a run, or lets the interpreter end it normally.

    The normal end takes as long as a whole small program. So it is skipped if it would change nothing that anybody
    sees. If that is uncertain, it is not skipped. docs/protocol.md, "The end of a forked evaluation", lists the
    conditions.
    """

    HARMLESS = frozenset(
        "__main__ _bisect _blake2 _bootlocale _collections _contextvars _csv _datetime _decimal _elementtree _functools"
        " _hashlib _heapq _json _locale _lsprof _md5 _opcode _operator _pickle _posixsubprocess _queue _random _sha1"
        " _sha2 _sha256 _sha3 _sha512 _socket _sre _ssl _statistics _string _struct _symtable _tokenize _typing _uuid"
        " _zoneinfo array binascii errno fcntl gc grp"
        " itertools marshal math cmath pwd pyexpat resource select time unicodedata zlib".split()
    )
    """Modules that do nothing at the end: no buffers to write, no handlers to call. Most are written in C."""

    CLEANERS = frozenset(("_destroy", "_localdummy_destroyed", "clear_locals"))
    """Names of functions written in C that only remove a weak reference from a collection."""

    FILES = (
        "TextIOWrapper BufferedRWPair BufferedRandom BufferedWriter BufferedReader BytesIO StringIO FileIO"
    ).split()
    """Types of files, each before the types of the files that it writes to."""

    MOST = 50000
    """Number of objects above which the search for finalizers costs more than it saves."""

    def __init__(self, aside, old):  # type: (Aside, Iterable[int]) -> None
        """Record the state before the program. `old` has the ids of the objects so far if gc cannot freeze them."""
        self.aside, self.old = aside, set(old)
        self.atexit, self.gc, self.thread = aside.atexit, bootstrap.borrow("gc"), bootstrap.borrow("_thread")
        self.known = set(sys.modules).union(aside.hidden)
        self.streams = sys.stdout, sys.stderr
        self.cleaners = cleaners(aside)
        self.warnings, io = sys.modules["_warnings"], sys.modules["_io"]  # type: Any, Any
        self.filters = list(self.warnings.filters)
        self.generator = type(iterate())  # type: Any
        self.files = [getattr(io, name) for name in self.FILES]
        weakref = bootstrap.borrow("_weakref")
        self.proxy, self.ref = weakref.ProxyType, weakref.ReferenceType
        # Modules in C of packages: their libraries may have registered something with atexit(3).
        modules = [*sys.modules.items(), *aside.hidden.items()]
        self.foreign = {name for name, module in modules if asides.is_foreign(module)}
        # What the interpreter itself reads, whatever the classes of a program define:
        self.bases, self.contents = type.__dict__["__mro__"].__get__, type.__dict__["__dict__"].__get__
        self.callback = self.ref.__dict__["__callback__"].__get__

    def leave(self, code):  # type: (int) -> None
        """Call what is registered for the end, and exit with this code; or let the interpreter do the rest."""
        try:
            if self.is_over():
                self.call_back()
                for stream in self.streams:
                    stream.flush()
                if self.without_collection(self.has_no_finalizers):
                    if not self.foreign.isdisjoint(sys.modules):
                        libc.call("exit", code)
                    _exit(code)
        except Exception:
            return

    def without_collection(self, look):  # type: (Callable[[], bool]) -> bool
        """Look at all objects, without a garbage collection: while they are held, it would change their order.

        The interpreter's own end calls finalizers in this order.
        """
        was_enabled = self.gc.isenabled()
        self.gc.disable()
        try:
            return look()
        finally:
            if was_enabled:
                self.gc.enable()

    def call_back(self):  # type: () -> None
        """Call what modules have registered, as the interpreter does at its end; it then finds nothing more to call."""
        if self.aside.thread_callbacks:
            sys.modules["threading"]._shutdown()
        try:
            self.atexit._run_exitfuncs()
        except BaseException:  # Python 3.9 and older raise again what they have printed
            return

    def is_over(self):  # type: () -> bool
        """Return whether the program left nothing that acts at the end: thread, callback, stream, tool or C module."""
        if self.thread._count() or not self.aside.knows_callbacks():
            return False
        if (
            sys.stdout is not self.streams[0]
            or sys.stderr is not self.streams[1]
            or any(each.closed for each in self.streams)
        ):
            return False
        if self.gc.callbacks or self.gc.garbage or self.gc.get_debug() or self.aside.is_watched():
            return False
        return all(name in self.known or self.is_harmless(name, module) for name, module in sys.modules.items())

    def is_harmless(self, name, module):  # type: (str, ModuleType) -> bool
        """Return whether a module does nothing at the end. For one in Python, its objects are checked separately."""
        file = module.__dict__.get("__file__") if type(module) is type(sys) else None
        return name in self.HARMLESS or (type(file) is str and file.endswith((".py", ".pyc")))

    def has_no_finalizers(self):  # type: () -> bool
        """Return whether freeing the objects created since the fork would do nothing that anybody sees.

        If only files have finalizers, close them, unless somebody could see that.
        """
        objects = self.gc.get_objects()  # without frozen ones
        if bootstrap.MAIN not in map(id, objects):
            return False  # the program has frozen its own objects
        if self.old:
            objects = [each for each in objects if id(each) not in self.old]
        if len(objects) > self.MOST:
            return False
        kinds = {type(each) for each in objects}
        if any(issubclass(kind, self.proxy) for kind in kinds):
            return False
        if not all(self.is_harmless_callback(each) for each in objects if issubclass(type(each), self.ref)):
            return False
        finalized = {kind for kind in kinds if any("__del__" in self.contents(base) for base in self.bases(kind))}
        return self.close([each for each in objects if type(each) in finalized])

    def is_harmless_callback(self, reference):  # type: (object) -> bool
        """Return whether a weak reference has no callback, or one that only removes the reference from a collection."""
        callback = self.callback(reference)  # type: Any
        if type(callback) is type(len):
            return callback.__name__ in self.CLEANERS
        return callback is None or (type(callback) is type(cleaners) and callback.__code__ in self.cleaners)

    def close(self, objects):  # type: (list[Any]) -> bool
        """Close files as their finalizers do; False if this can be seen, or if other objects have finalizers."""
        files = [each for each in objects if type(each) is not self.generator or each.gi_frame]
        if any(type(each) not in self.files for each in files):
            return False
        files = [each for each in files if not each.closed]
        descriptors = [each for each in files if type(each) is self.files[-1]]
        if len(descriptors) > 1 or (descriptors and self.warnings.filters != self.filters):
            return False  # the order of closing, or a ResourceWarning, can be seen
        files.sort(key=lambda file: self.files.index(type(file)))
        for each in files:
            each.flush()  # if this fails, the interpreter's own end fails too; from 3.13 on, it prints the reason
        for each in files:
            each.close()
        return True


def iterate():  # type: () -> Iterator[None]
    """Make a generator."""
    yield


def cleaners(aside):  # type: (Aside) -> set[object]
    """Return the code objects of callbacks that only remove a weak reference from a collection of the library."""
    found = set()  # type: set[object]
    for name, places in CLEANING.items():
        module = sys.modules.get(name) or aside.hidden.get(name)
        for place in places if module else ():
            function = module  # type: Any
            for part in place.split("."):
                function = getattr(function, part)
            code = function.__code__
            found.update(each for each in (code, *code.co_consts) if type(each) is type(code))
    return found


CLEANING = {
    "_weakrefset": ("WeakSet.__init__",),
    "logging": ("_removeHandlerRef",),
    "weakref": ("WeakKeyDictionary.__init__", "WeakValueDictionary.__init__"),
}
"""Functions by module. Each is a callback that only removes a weak reference, or its code contains such callbacks."""
