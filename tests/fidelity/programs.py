"""The table of programs whose output and exit code must be those of plain `python ARGS`.

They print what there is, whatever the version; nothing that differs from run to run (addresses, times, random numbers).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

FOLDER = "/home"


@dataclass(frozen=True)
class Program:
    """A program.

    Attributes:
        name: What it shows.
        args: Arguments of the interpreter.
        files: Files below the home.
        stdin: What it may read.
        since: The first Python that it is for.
        until: The first Python that it is for no more.
        forked: Whether it is an exception only where evaluations are forked.
    """

    name: str
    args: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    stdin: bytes = b""
    since: tuple[int, int] = (3, 6)
    until: tuple[int, int] = (4, 0)
    forked: bool = False


def code(
    name: str,
    source: str,
    *args: str,
    stdin: bytes = b"",
    since: tuple[int, int] = (3, 6),
    until: tuple[int, int] = (4, 0),
) -> Program:
    """A program given by -c."""
    return Program(name, ("-c", source, *args), stdin=stdin, since=since, until=until)


def script(name: str, source: str, *args: str, stdin: bytes = b"", **files: str) -> Program:
    """A program in main.py, beside modules given by name."""
    modules = {f"{module}.py": text.encode() for module, text in files.items()}
    return Program(name, ("main.py", *args), {"main.py": source.encode(), **modules}, stdin)


def module(name: str, source: str, *args: str) -> Program:
    """A program in prog.py, run by -m."""
    return Program(name, ("-m", "prog", *args), {"prog.py": source.encode()})


STATE = """\
import sys
main = sys.modules["__main__"]
print(__name__, sys.argv, sys.path)
print([(key, type(value).__name__) for key, value in list(vars(main).items())])
print(main.__doc__, main.__package__, main.__spec__ and main.__spec__.name, type(main.__loader__).__name__)
print(getattr(main, "__file__", None), getattr(main, "__cached__", None), repr(main).split(" at ")[0])
print(list(sys.modules))
print(sorted(sys.path_importer_cache))
print(sys.flags, sys.executable, getattr(sys, "orig_argv", None))
print([hook for hook in ("excepthook", "displayhook", "last_type", "ps1", "tracebacklimit") if hasattr(sys, hook)])
print(sys.excepthook is sys.__excepthook__, sys.stdout is sys.__stdout__, sys.dont_write_bytecode, sys.getrecursionlimit())
"""

NESTED = """\
def inner(x):
    return 1 / x

def outer(x):
    return inner(x)

outer(0)
"""

CHAINED = """\
def work():
    try:
        {}["key"]
    except KeyError as error:
        raise ValueError("second") from error

try:
    work()
except ValueError:
    raise RuntimeError("third")
"""

GROUP = """\
try:
    ExceptionGroup
except NameError:
    raise ValueError("too old for groups")
try:
    raise TypeError("inner")
except TypeError as error:
    raise ExceptionGroup("group", [error, ValueError(2)])
"""

THREADS = """\
import threading, time
said = threading.Event()
def work(n):
    threads[n - 1].join() if n else said.wait()
    time.sleep(1 / 20)
    print("thread", n)
threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
[thread.start() for thread in threads]
print("main ends")
said.set()
"""

THREAD_ERROR = """\
import threading
def work():
    raise ValueError("in a thread")
thread = threading.Thread(target=work, name="worker")
thread.start()
thread.join()
print("after")
"""

GONE = "class Gone:\n  def __del__(self): print('gone')"
ATEXIT = """\
import atexit, sys
atexit.register(print, "first registered")
atexit.register(lambda: print("last registered", __name__, sys.exc_info()))
raise ValueError("on the way out")
"""

MULTIPROCESSING = """\
import multiprocessing, sys
def work(n):
    return n * n, __name__.strip("_")
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    with multiprocessing.Pool(2) as pool:
        print([square for square, _ in pool.map(work, range(4))])
"""

PICKLES = """\
import pickle, dataclasses, sys
class Point:
    def __init__(self): self.x = 1
print(pickle.dumps(Point(), 2))
print(type(pickle.loads(pickle.dumps(Point()))), Point.__module__, Point.__qualname__)
try:
    import dataclasses
except ImportError:
    sys.exit()
@dataclasses.dataclass
class Pair:
    a: int
    b: "list" = dataclasses.field(default_factory=list)
print(Pair(1), pickle.loads(pickle.dumps(Pair(2))))
"""

INSPECTION = """\
import inspect, sys
def function(a, *, b=2):
    "A function."
    return a
class Class:
    x = 1
for thing in (function, Class, sys.modules[__name__]):
    try:
        print(inspect.getsource(thing), inspect.getsourcefile(thing))
    except (OSError, TypeError) as error:
        print(type(error).__name__, error)
print(inspect.signature(function), inspect.getmodule(function))
"""

WARNINGS = """\
import warnings
warnings.warn("plain")
warnings.warn("deprecated", DeprecationWarning)
def old():
    warnings.warn("from a function", FutureWarning, stacklevel=2)
old()
"""

SIGNALS = """\
import os, signal
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGUSR1)
print([signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)][1:])
os.kill(os.getpid(), signal.SIGTERM)
print("process 1 survives that")
"""

ENVIRONMENT = """\
import os, sys, locale
print(sorted(os.environ.items()))
print(os.getcwd(), os.getpid(), sorted(os.listdir("/dev")), os.umask(0))
print(sys.stdin.encoding, sys.stdout.encoding, sys.stdout.errors, sys.getfilesystemencoding(), sys.stdout.isatty())
print(sys.stdout.line_buffering, sys.stderr.line_buffering, sys.stdin.fileno(), sys.stdout.fileno())
"""

DESCRIPTORS = """\
import os
for fd in range(20):
    try:
        os.fstat(fd)
    except OSError:
        continue
    print(fd, os.get_inheritable(fd))
"""

ASYNCIO = """\
import asyncio
async def work(n):
    await asyncio.sleep(n / 50)
    print(n)
async def main():
    await asyncio.gather(*map(work, (2, 1, 0)))
    raise LookupError("async")
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
"""

UNITTEST = """\
import unittest
class Case(unittest.TestCase):
    def test_good(self): pass
    @unittest.skip("later")
    def test_skipped(self): pass
if __name__ == "__main__":
    import sys
    program = unittest.main(exit=False, testRunner=unittest.TextTestRunner(stream=open("/dev/null", "w")))
    print(program.result)
    sys.exit(not program.result.wasSuccessful())
"""

SUBPROCESS = """\
import subprocess, sys
print(subprocess.check_output([sys.executable, "-c", "import sys; print(sys.argv, __name__)", "x"]))
print(subprocess.call([sys.executable, "-c", "1/0"], stderr=subprocess.DEVNULL))
"""

LOCALS = """\
import gc, sys
print(gc.isenabled(), gc.get_threshold(), sys.getswitchinterval(), sys.gettrace(), sys.getprofile())
print(type(__builtins__), globals() is locals(), globals() is vars(sys.modules["__main__"]))
print([type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, type(sys)) and thing.__name__ == "__main__"])
x: int = 1
print(globals().get("__annotations__"))
"""

LOCALES = """\
import locale, os, sys
print(sorted((name, value) for name, value in os.environ.items() if name.startswith(("LC_", "LANG"))))
print(sys.flags, sys.getfilesystemencoding(), sys.stdout.encoding, sys.stdin.errors)
print(locale.setlocale(locale.LC_CTYPE), locale.getpreferredencoding(False), open("/dev/null").encoding)
"""
LOCALE = (
    code("locale", LOCALES),
    script("locale of a script", LOCALES),
    code("locale of a child", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {LOCALES!r}])"),
    code("locale of indented code", "  " + LOCALES.replace("\n", "\n  ")),
    Program("locale with -I", ("-I", "-c", LOCALES)),
    Program("locale with -E", ("-E", "-c", LOCALES)),
    Program("locale with -X dev", ("-X", "dev", "-c", LOCALES)),
    Program("locale with -X utf8", ("-X", "utf8", "-c", LOCALES)),
    Program("locale with -X utf8=0", ("-X", "utf8=0", "-c", LOCALES)),
)
"""What the interpreter makes of its environment at its start (PEP 538, 540 and 686)."""

EAGER = """\
import sys, json
print("json" in sys.modules, type(globals()["json"]).__name__, sys.flags)
print(json.dumps(1), type(json).__name__)
"""
LAZY = """\
import sys
lazy import json
lazy from decimal import Decimal as D
print("json" in sys.modules, "decimal" in sys.modules, type(globals()["json"]).__name__)
print(json.dumps([1]), D("1.5"), "json" in sys.modules, "decimal" in sys.modules)
lazy import nonesuch
print(sys.get_lazy_imports(), sorted(sys.lazy_modules)[:5])
nonesuch
"""
ANNOTATIONS = """\
import annotationlib, sys
x: undefined = 1
class C:
    a: Later
    def f(self, y: gone) -> None: pass
class Later: pass
print(C.__annotations__, "__annotations__" in globals(), sorted(k for k in globals() if "annot" in k))
print(annotationlib.get_annotations(C.f, format=annotationlib.Format.STRING))
print(annotationlib.get_annotations(C.f, format=annotationlib.Format.FORWARDREF)["return"])
print(__annotate__(2) if "__annotate__" in globals() else None)
print(__annotations__)
"""
INTERPRETERS = """\
from concurrent import interpreters
queue = interpreters.create_queue()
other = interpreters.create()
other.prepare_main(queue=queue, number=5)
other.exec("import sys; queue.put((number + 1, __name__, sys.path[1:], sorted(sys.modules)[:3]))")
print(queue.get(), interpreters.get_main() == interpreters.get_current(), len(interpreters.list_all()))
try: other.exec("1/0")
except interpreters.ExecutionFailed as error: print(error.excinfo.formatted)
other.close()
from concurrent.futures import InterpreterPoolExecutor
with InterpreterPoolExecutor(1) as pool: print(list(pool.map(abs, [-1, 2])))
"""
REMOTE = """\
import os, sys
print(sys.is_remote_debug_enabled())
open("debug.py", "w").write("print('ran')")
for pid in os.getpid(), 1, 12345:
    try: print(sys.remote_exec(pid, "debug.py"))
    except (OSError, RuntimeError) as error: print(type(error).__name__)
for _ in range(1000): pass
"""
TEMPLATES = """\
from string.templatelib import Interpolation, Template
name = "x"
print(t"a{name!r:>5}b{1 + 1}", (t"{name}" + t"{2}").values, type(t"").__mro__)
print([part if isinstance(part, str) else (part.value, part.expression) for part in t"{name=} {name:{2}}"])
"""
NEW = (
    code("lazy imports", LAZY, since=(3, 15)),
    Program("lazy imports in a script", ("main.py",), {"main.py": LAZY.encode()}, since=(3, 15)),
    *(
        Program(f"-X lazy_imports={mode}", ("-X", f"lazy_imports={mode}", "-c", EAGER), since=(3, 15))
        for mode in ("all", "normal", "none", "nonsense")
    ),
    code("lazy imports by a filter", "import sys\nsys.set_lazy_imports('all')\n" + EAGER, since=(3, 15)),
    code("template strings", TEMPLATES, since=(3, 14)),
    code("deferred annotations", ANNOTATIONS, since=(3, 14)),
    Program("deferred annotations in a script", ("main.py",), {"main.py": ANNOTATIONS.encode()}, since=(3, 14)),
    code("subinterpreters", INTERPRETERS, since=(3, 14)),
    code("remote debugging", REMOTE, since=(3, 14)),
    Program("-X disable_remote_debug", ("-X", "disable_remote_debug", "-c", REMOTE), since=(3, 14)),
    code("UTF-8 by default", "open('f', 'w').write('\u00e9')\nprint(open('f', 'rb').read())", since=(3, 15)),
)
"""What came with Python 3.14 and 3.15."""

PROGRAMS = (
    code(
        "a finalizer of an object that the program froze",
        "import gc\nclass A:\n  def __del__(self): print('gone')\na = A(); gc.freeze()",
        since=(3, 7),
    ),
    script("source nested too deep to compile", "x = 0" + "+1" * 6000),
    Program(
        "source with too many operators to compile",
        ("main.py",),
        {"main.py": b"x = " + b"-" * 5000 + b"1"},
        since=(3, 9),
    ),
    script("source with too many attributes to compile", "x" + ".a" * 6000),
    script("a warning and then a mistake in the syntax", "x = 1\nprint(x is 1)\nreturn"),
    script("an escape that warns and then a mistake in the syntax", "print('\\d')\nx = = 1"),
    script("an escape that warns", "print('\\d')\nx = 1\nprint(x is 1)"),
    script(
        "what a buffer holds comes before the exception of a script",
        "import sys, io\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer)\nprint('out'); 1 / 0",
    ),
    script(
        "what a buffer holds comes before the message of a script that exits",
        "import sys, io\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer)\nprint('out'); sys.exit('bye')",
    ),
    code(
        "what a buffer holds comes after the exception of code",
        "import sys, io\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer)\nprint('out'); 1 / 0",
    ),
    code(
        "what a buffer holds comes after the message of code that exits",
        "import sys, io\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer)\nprint('out'); sys.exit('bye')",
    ),
    module(
        "what a buffer holds comes after the message of a module that exits",
        "import sys, io\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer)\nprint('out'); sys.exit('bye')",
    ),
    script(
        "a script has no __file__ at its end", "import atexit; atexit.register(lambda: print('__file__' in globals()))"
    ),
    script(
        "a script that fails has no __file__ at its end",
        "import atexit; atexit.register(lambda: print('__file__' in globals())); 1 / 0",
    ),
    script(
        "a script that exits keeps its __file__",
        "import atexit, sys; atexit.register(lambda: print('__file__' in globals())); sys.exit(3)",
    ),
    script(
        "a script that replaces __main__",
        "import atexit, sys, types\natexit.register(lambda: print('__file__' in globals()))\nsys.modules['__main__'] = types.ModuleType('other')",
    ),
    *LOCALE,
    *NEW,
    code("nothing", ""),
    code("print", "print(1)"),
    code("state of -c", STATE, "a", "", "-x", "é"),
    script("state of a script", STATE, "a", "", "-x", "é"),
    module("state of a module", STATE, "a", "", "-x", "é"),
    Program("state of a script by a path", ("d/../d/x.py", "a"), {"d/x.py": STATE.encode()}),
    Program("state of a script by its absolute path", ("/home/d/x.py",), {"d/x.py": STATE.encode()}),
    Program(
        "state of a package",
        ("-m", "pack"),
        {"pack/__init__.py": b"print(__name__)", "pack/__main__.py": STATE.encode()},
    ),
    Program(
        "state of a module in a package", ("-m", "pack.sub"), {"pack/__init__.py": b"", "pack/sub.py": STATE.encode()}
    ),
    Program("folder with __main__", ("d", "a"), {"d/__main__.py": STATE.encode()}),
    Program("script without ending", ("prog",), {"prog": STATE.encode()}),
    Program("docstring of a script", ("main.py",), {"main.py": b'"""Doc."""\nprint(__doc__)\n'}),
    code("locals", LOCALS),
    script("locals of a script", LOCALS),
    code("environment", ENVIRONMENT),
    script("environment of a script", ENVIRONMENT),
    code("descriptors", DESCRIPTORS),
    module("descriptors of a module", DESCRIPTORS),
    code("traceback, nested", NESTED),
    script("traceback, nested, of a script", NESTED),
    module("traceback, nested, of a module", NESTED),
    code("traceback, chained", CHAINED),
    script("traceback, chained, of a script", CHAINED),
    module("traceback, chained, of a module", CHAINED),
    code("traceback of a group", GROUP),
    script("traceback of a group in a script", GROUP),
    code("traceback with a long line", "x = [" + "1, " * 100 + "1 / 0]"),
    code("traceback with other letters", "def größe(): raise ValueError('日本語')\ngröße()", since=(3, 7)),
    script("traceback with other letters in a script", "def größe(): raise ValueError('日本語')\ngröße()"),
    script(
        "traceback in an imported module", "import mod\nmod.fail()\n", mod="def fail():\n    raise OSError(2, 'x')\n"
    ),
    code("traceback without text", "raise ValueError"),
    code("traceback with notes", "e = ValueError(1)\ngetattr(e, 'add_note', print)('note')\nraise e"),
    code("traceback of exec", "exec(compile('1/0', 'given.py', 'exec'))"),
    code("traceback of a failing __str__", "class E(Exception):\n  def __str__(self): 1/0\nraise E"),
    code(
        "traceback that the program prints",
        "import traceback\ntry: 1/0\nexcept ZeroDivisionError: traceback.print_exc()",
    ),
    code("suggestions", "import sys\nsys.exi()"),
    code("name error", "prin(1)"),
    code("syntax error", "x = = 1"),
    script("syntax error in a script", "def f(:\n    pass\n"),
    module("syntax error in a module", "def f(:\n    pass\n"),
    script("syntax error in an import", "import mod\n", mod="x = (\n"),
    code("indentation error", "if 1:\nprint(1)"),
    script("tabs and spaces", "if 1:\n\tx = 1\n        y = 2\n"),
    code("syntax warning", "x = 1 is 1\nprint('\\d')"),
    script("syntax warning in a script", "x = 1 is 1\nprint('\\d')"),
    code("future statement", "from __future__ import annotations\ndef f(x: nowhere): pass\nprint(f.__annotations__)"),
    code("exit 3", "import sys; sys.exit(3)"),
    code("exit with text", "import sys; sys.exit('text é')", since=(3, 7)),
    code("exit with None", "import sys; sys.exit(None)"),
    code("exit with a tuple", "import sys; sys.exit((1, 2))"),
    code("exit -1", "import sys; sys.exit(-1)"),
    code("exit 256", "import sys; sys.exit(256)"),
    script("exit of a script", "import sys; sys.exit(4)"),
    module("exit of a module", "import sys; sys.exit('from a module')"),
    code("raise SystemExit in a function", "def f(): raise SystemExit(5)\nf()"),
    code("exit()", "exit(6)"),
    code("os._exit", "import os, atexit; atexit.register(print, 1); print(2); os._exit(7)"),
    code("os.abort", "import os; os.abort()"),
    code("KeyboardInterrupt", "raise KeyboardInterrupt"),
    script("KeyboardInterrupt in a script", "raise KeyboardInterrupt('x')"),
    module("KeyboardInterrupt in a module", "raise KeyboardInterrupt"),
    code("KeyboardInterrupt, handled", "try: raise KeyboardInterrupt\nexcept KeyboardInterrupt: print(1)"),
    code("atexit", ATEXIT),
    script("atexit of a script", ATEXIT),
    module("atexit of a module", ATEXIT),
    code("exit in atexit", "import atexit, sys; atexit.register(sys.exit, 9); print(1)"),
    code("error in atexit", "import atexit; atexit.register(lambda: 1 / 0); print(1)"),
    code("excepthook", "import sys\nsys.excepthook = lambda *a: print(a[0], a[1])\n1/0"),
    module("excepthook of a module", "import sys\nsys.excepthook = lambda *a: print(a[0], a[1])\n1/0"),
    code("excepthook that exits", "import sys\nsys.excepthook = lambda *a: sys.exit(8)\nraise ValueError('x')"),
    code(
        "what excepthook sees",
        "import sys\ndef hook(*a): print(a, sys.exc_info(), sys.last_type)\nsys.excepthook = hook\n[][0]".replace(
            "print(a,", "print(a[:2], a[2].tb_frame.f_code.co_name,"
        ),
    ),
    code(
        "broken excepthook and no stderr",
        "import sys\nsys.stderr = None\nsys.excepthook = lambda *a: 1 / 0\nraise ValueError('x')",
    ),
    code("no excepthook", "import sys\ndel sys.excepthook\nraise ValueError('x')"),
    code(
        "last traceback at exit",
        "import atexit, sys, traceback\natexit.register(lambda: traceback.print_tb(sys.last_traceback))\n1/0",
    ),
    script(
        "last traceback at exit of a script",
        "import atexit, sys, traceback\natexit.register(lambda: traceback.print_tb(sys.last_traceback))\n1/0",
    ),
    code("traceback limit", "import sys\nsys.tracebacklimit = 1\ndef f(): 1/0\nf()"),
    code("error that is its own context", "try: 1/0\nexcept ZeroDivisionError as e:\n  e.__cause__ = e\n  raise"),
    code("error raised again", "try: 1/0\nexcept ZeroDivisionError as e: x = e\nraise x"),
    code(
        "generator that is left",
        "def g():\n  try: yield\n  finally: print('closed')\nx = g(); next(x)\nraise LookupError",
    ),
    code("subclass of KeyboardInterrupt", "class K(KeyboardInterrupt): pass\nraise K"),
    code("subclass of SystemExit", "class S(SystemExit): pass\nraise S(12)"),
    code("broken excepthook", "import sys\nsys.excepthook = lambda *a: 1 / 0\nraise ValueError('x')"),
    code("stdout closed", "import sys; sys.stdout.close()"),
    code("stdout that cannot be flushed", "import sys, os; os.close(1); print(1)"),
    code("error in __del__", "class C:\n  def __del__(self): raise ValueError(1)\nx = C()\ndel x\nprint(2)"),
    *(
        code(f"what ends with the interpreter: {name}", source, since=since)
        for name, since, source in (
            ("an object on builtins", (3, 6), f"import builtins\n{GONE}\nbuiltins.x = Gone()"),
            ("an object on sys", (3, 6), f"import sys\n{GONE}\nsys.x = Gone()"),
            ("an object on a module of the library", (3, 6), f"import os\n{GONE}\nos.x = Gone()"),
            ("a cycle", (3, 6), f"{GONE}\nx = Gone()\nx.x = x"),
            ("an object in a list in a function", (3, 6), f"{GONE}\ndef f(x=[Gone()]): pass"),
            ("a subclass of a type with an end", (3, 6), f"{GONE}\nclass D(Gone): __slots__ = ()\nx = D()"),
            ("an end given later", (3, 6), "class C: pass\nx = C()\nC.__del__ = lambda self: print('gone')"),
            ("a generator", (3, 6), "def g():\n  try: yield\n  finally: print('closed')\nx = g()\nnext(x)"),
            ("a coroutine", (3, 6), "async def f(): pass\nx = f()"),
            (
                "an asynchronous generator",
                (3, 6),
                "async def g():\n  yield\nx = g().asend(None)\ntry: x.send(None)\nexcept StopIteration: print(1)",
            ),
            (
                "a weak reference",
                (3, 6),
                "import weakref\nclass C: pass\nx = C()\nr = weakref.ref(x, lambda _: print('gone'))\ndel x\nprint(1)",
            ),
            (
                "a weak reference to what stays",
                (3, 6),
                "import weakref\nclass C: pass\nx = C()\nr = weakref.ref(x, lambda _: print('gone'))",
            ),
            ("a finalizer", (3, 6), "import weakref\nclass C: pass\nx = C()\nweakref.finalize(x, print, 'gone')"),
            (
                "a file that was not closed",
                (3, 6),
                "import os\nr, w = os.pipe()\nf = open(w, 'w')\nf.write('x' * 9)\nif os.fork() == 0: os._exit(0)\nprint(1)",
            ),
            ("a file over standard output", (3, 6), "f = open(1, 'w', closefd=False)\nf.write('late')"),
            (
                "another standard output",
                (3, 6),
                "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, write_through=False)\nprint('late')",
            ),
            (
                "a standard output that fails",
                (3, 6),
                "import sys\nclass S:\n  def write(self, t): return len(t)\n  def flush(self): 1 / 0\nsys.stdout = S()",
            ),
            ("a buffer of C", (3, 6), "import ctypes\nctypes.CDLL(None).printf(b'late')"),
            (
                "an exit handler of C",
                (3, 8),
                "import ctypes\nf = ctypes.CFUNCTYPE(None)(lambda: None)\nctypes.CDLL(None).puts(b'late')",
            ),
            (
                "a thread",
                (3, 6),
                "import threading, time\ndef f():\n  time.sleep(0.2)\n  print('late')\nthreading.Thread(target=f).start()\nprint('early')",
            ),
            (
                "an executor",
                (3, 6),
                "import concurrent.futures as c, time\np = c.ThreadPoolExecutor()\np.submit(lambda: (time.sleep(0.2), print('late')))\nprint('early')",
            ),
            (
                "a handler of logging",
                (3, 6),
                "import logging\nclass H(logging.Handler):\n  def flush(self): print('flushed')\nlogging.getLogger().addHandler(H())",
            ),
            (
                "a trace function",
                (3, 6),
                "import sys, threading\nsys.settrace(lambda f, e, a: print(e, f.f_code.co_name))",
            ),
            (
                "a profile function",
                (3, 6),
                "import sys\nsys.setprofile(lambda f, e, a: e == 'c_call' and f.f_code.co_name == '<module>' and print(a.__name__))",
            ),
            (
                "a callback of the collector",
                (3, 6),
                "import gc\ngc.callbacks.append(lambda phase, info: print(phase))\nx = []; x.append(x)",
            ),
            (
                "a hook for what cannot be raised",
                (3, 8),
                "import sys\nsys.unraisablehook = lambda a: print(a.exc_value)\nclass C:\n  def __del__(self): 1 / 0\nx = C()",
            ),
            (
                "a temporary folder",
                (3, 6),
                "import tempfile, os\nd = tempfile.TemporaryDirectory(dir='.')\nos.chmod('.', 0o755)\nprint(1)",
            ),
            (
                "a transaction",
                (3, 6),
                "import sqlite3\nc = sqlite3.connect('db')\nc.execute('create table t (x)')\nc.commit()\nc.execute('insert into t values (1)')",
            ),
            ("a context", (3, 6), "from contextlib import ExitStack\ns = ExitStack()\ns.callback(print, 'never')"),
            (
                "an exception that is kept",
                (3, 6),
                f"{GONE}\ntry:\n  x = Gone(); 1 / 0\nexcept ZeroDivisionError as e: kept = e",
            ),
        )
    ),
    code("finalisation of globals", "class C:\n  def __del__(self): print('gone', __name__)\nx = C()"),
    script("finalisation of a script's globals", "class C:\n  def __del__(self): print('gone', __name__)\nx = C()"),
    code("threads", THREADS),
    script("threads of a script", THREADS),
    code("error in a thread", THREAD_ERROR),
    script("error in a thread of a script", THREAD_ERROR),
    code(
        "daemon thread",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()\nprint(1)",
    ),
    code(
        "exit in a thread",
        "import threading, sys\nt = threading.Thread(target=sys.exit, args=(5,)); t.start(); t.join(); print(1)",
    ),
    code("main thread", "import threading; print(threading.current_thread().name, threading.active_count())"),
    script("multiprocessing, fork", MULTIPROCESSING, "fork"),
    script("multiprocessing, spawn", MULTIPROCESSING, "spawn"),
    code(
        "multiprocessing in -c",
        "import multiprocessing as m\nif __name__ == '__main__':\n  p = m.get_context('fork').Process(target=print, args=(1,)); p.start(); p.join()",
    ),
    code("subprocess", SUBPROCESS),
    code("pickle and dataclasses", PICKLES),
    script("pickle and dataclasses of a script", PICKLES),
    module("pickle and dataclasses of a module", PICKLES),
    code("inspection", INSPECTION),
    script("inspection of a script", INSPECTION),
    module("inspection of a module", INSPECTION),
    code("warnings", WARNINGS),
    script("warnings of a script", WARNINGS),
    module("warnings of a module", WARNINGS),
    code("signals", SIGNALS),
    code("asyncio", ASYNCIO),
    script("asyncio in a script", ASYNCIO),
    code("linecache", "import linecache; print(sorted(linecache.cache), repr(linecache.getline('<string>', 1)))"),
    code(
        "ctypes and socket import as ever",
        "import ctypes, socket; print(ctypes.sizeof(ctypes.c_long), socket.AF_UNIX, ctypes.c_int(5))",
    ),
    code("typing.get_type_hints", "import typing\nclass C: x: 'D'\nclass D: pass\nprint(typing.get_type_hints(C))"),
    code("reading stdin", "import sys; print(repr(sys.stdin.read()))", stdin="zwölf\nlines".encode()),
    code("input", "print([input('? '), input()])", stdin=b"a\nb\n"),
    code("input at the end", "input()"),
    script("input in a script", "print(input())", stdin=b"x\n"),
    code("coding cookie in -c", "# -*- coding: latin-1 -*-\nprint('é')", since=(3, 7)),
    Program("coding cookie in a script", ("main.py",), {"main.py": "# coding: latin-1\nprint('é')".encode("latin-1")}),
    Program("wrong encoding of a script", ("main.py",), {"main.py": b"print('\xe9')"}),
    Program("byte order mark", ("main.py",), {"main.py": b"\xef\xbb\xbfprint(1)"}),
    Program("carriage returns", ("main.py",), {"main.py": b"x = 1\r\nif x:\r\n    print(x)\r\n"}),
    Program("null byte in a script", ("main.py",), {"main.py": b"print(1)\0\n"}),
    Program("empty script", ("main.py",), {"main.py": b""}),
    Program("shebang", ("main.py",), {"main.py": b"#!/usr/bin/env python\nprint(1)"}),
    Program("missing script", ("missing.py",)),
    Program("script named like an option", ("./-x.py",), {"-x.py": b"print(__file__)"}),
    Program("folder without __main__", ("d",), {"d/x": b""}),
    Program("missing module", ("-m", "missing")),
    Program("package without __main__", ("-m", "pack"), {"pack/__init__.py": b"print(1)"}),
    Program("module whose import fails", ("-m", "pack.sub"), {"pack/__init__.py": b"1/0", "pack/sub.py": b""}),
    Program("-m with a path", ("-m", "prog.py"), {"prog.py": b"print(1)"}),
    Program("-m without a name", ("-m",)),
    Program("-c without code", ("-c",)),
    Program("-m timeit", ("-m", "timeit", "-n", "1", "-r", "1", "-s", "import os", "os._exit(3)")),
    Program("-m timeit, wrong", ("-m", "timeit", "1/0")),
    Program("-m unittest", ("-m", "unittest", "-h")),
    Program("-m unittest, wrong option", ("-m", "unittest", "--nonsense")),
    script("unittest.main", UNITTEST),
    Program("-m json.tool", ("-m", "json.tool"), stdin=b'{"a": [1]}'),
    Program("-m this", ("-m", "this")),
    Program("-m site", ("-m", "site")),
    Program("-m calendar", ("-m", "calendar", "2024", "2")),
    Program("-mMODULE in one", ("-mthis",)),
    Program("-cCODE in one", ("-cprint(1)",)),
    Program("-X dev", ("-X", "dev", "-c", "import sys; print(sys.flags)")),
    Program("-O", ("-O", "-c", "assert 0; print(__debug__)")),
    Program("-OO with a script", ("-OO", "main.py"), {"main.py": b'"""Doc."""\nprint(__doc__, __debug__)'}),
    Program("-W error", ("-W", "error", "-c", "import warnings; warnings.warn('x')")),
    Program("-I", ("-I", "-c", "import sys; print(sys.path, sys.flags)")),
    Program("-S", ("-S", "-c", "import sys; print(sorted(sys.modules))")),
    Program("-i", ("-i", "-c", "x = 1"), stdin=b"print(x)\n"),
    Program("-x", ("-x", "main.py"), {"main.py": b"not python\nprint(1)"}),
    Program("-V", ("-V",)),
    Program("--version", ("--version",)),
    Program("-h", ("-h",)),
    Program("unknown option", ("--nonsense",)),
    Program("-", ("-", "a"), stdin=b"import sys; print(sys.argv, __name__)\n"),
    Program("no arguments", (), stdin=b"print(1)\n1/0\n"),
    code("indented code", "  print(1)"),
    code("code that starts with an empty line", "\n\nprint(1)\n"),
    code("code with a trailing backslash", "print(1)\\"),
    code("code with a comment only", "# nothing"),
    code("form feed", "\fprint(1)"),
    code("lines ended by carriage returns", "print(1)\rprint(2)\r\nprint(3)"),
    code("a large program", "x = 1\n" * 20_000 + "print(x)"),
    code("deep expression", "x = " + "(" * 150 + "1" + ")" * 150 + "\nprint(x)"),
    code("import of the main module", "import __main__; x = 1; print(__main__.x, __main__.__name__)"),
    script("import of itself", "print(__name__)\nif __name__ == '__main__':\n  import main\n"),
    code("runpy", "import runpy; print(sorted(runpy.run_path('/dev/null'))[:3])"),
    code("site's builtins", "print(exit, quit, copyright is not None, type(help).__name__)"),
    code("faulthandler", "import faulthandler; print(faulthandler.is_enabled())"),
    code(
        "logging",
        "import logging; logging.warning('x'); logging.basicConfig(format='%(filename)s %(lineno)d %(funcName)s')\nlogging.error('y')",
    ),
    code("display hook", "import sys; sys.displayhook(5); print(_)"),
    code("namedtuple", "import collections; print(collections.namedtuple('T', 'a').__module__)"),
    code("enum", "import enum\nclass E(enum.Enum): A = 1\nprint(E.A, E.__module__)"),
    code(
        "doctest", "def f():\n  '''\n  >>> f()\n  1\n  '''\n  return 2\nimport doctest; print(doctest.testmod().failed)"
    ),
)

EXCEPTIONS = (
    Program("frames below __main__ are seen", ("-c", "import sys; print(sys._getframe().f_back)")),
    Program(
        "recursion ends a few calls earlier",
        ("-c", "def f(n):\n  try: return f(n + 1)\n  except RecursionError: return n\nprint(f(0))"),
    ),
    Program(
        "a warning on behalf of the caller of __main__ names the bootstrap",
        ("-c", "import warnings; warnings.warn('x', stacklevel=2)"),
    ),
    Program(
        "the parser of Python 3.8 and older prints twice that its stack overflows",
        ("main.py",),
        {"main.py": b"x = " + b"-" * 5000 + b"1"},
        until=(3, 9),
    ),
    code(
        "Python 3.6 accepts code that is not ASCII, which plain python cannot decode in the C locale",
        "print('é')",
        until=(3, 7),
    ),
    code(
        "a subinterpreter has the arguments and the folder of the bootstrap",
        "from concurrent import interpreters; interpreters.create().exec('import sys; print(sys.argv, sys.path[0])')",
        since=(3, 14),
    ),
    Program(
        "the garbage collector leaves alone what was there before the program",
        ("-c", "import gc; print(gc.get_freeze_count() > 0)"),
        since=(3, 7),
        forked=True,
    ),
    Program(
        "classes of modules that are set aside are among the subclasses of others",
        ("-c", "print([each for each in getattr(object, '__sub' 'classes__')() if each.__module__ == '_ctypes'])"),
        forked=True,
    ),
    Program(
        "the initialization of a C module that was set aside might not run a second time",
        ("-c", "import sys, re\ndel sys.modules['re']\nimport re, decimal\nprint('numbers' in sys.modules)"),
        until=(3, 13),
        forked=True,
    ),
)
