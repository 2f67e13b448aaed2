"""The table of programs that import: modules are set aside for forked evaluations, and no program may tell."""

from collections.abc import Mapping

from fidelity.programs import Program, code, module


def _script(name: str, source: str, files: Mapping[str, str] | None = None) -> Program:
    """A program in main.py, beside files given by their names without .py."""
    own = {f"{path}.py": text.encode() for path, text in {**(files or {}), "main": source}.items()}
    return Program(name, ("main.py",), own)


_STATE = """
import sys
print(list(sys.modules))
print(list(sys.path_importer_cache), sys.meta_path, sys.path_hooks, sys.path)
print([(name, list(vars(each))) for name, each in list(sys.modules.items()) if name not in ('__main__', 'sys')])
import atexit
print(atexit._ncallbacks(), getattr(sys.modules.get('threading'), '_threading_atexits', []) != [])
"""
"""What an import leaves, in the order in which it came."""

SPECS = """
import sys
for name, module in list(sys.modules.items()):
  spec = getattr(module, '__spec__', None)
  print(name, spec and (spec.name, spec.origin, spec.cached, spec.has_location, type(spec.loader), spec._initializing),
        getattr(module, '__package__', 0), getattr(module, '__path__', 0), getattr(module, '__cached__', 0))
"""

_ALONE = [
    "abc",
    "argparse",
    "ast",
    "asyncio",
    "base64",
    "bisect",
    "calendar",
    "collections",
    "collections.abc",
    "concurrent.futures",
    "contextlib",
    "copy",
    "csv",
    "datetime",
    "decimal",
    "difflib",
    "dis",
    "enum",
    "fractions",
    "functools",
    "gzip",
    "hashlib",
    "heapq",
    "html",
    "importlib",
    "importlib.util",
    "inspect",
    "io",
    "itertools",
    "json",
    "json.decoder",
    "locale",
    "logging",
    "math",
    "operator",
    "os.path",
    "pathlib",
    "pickle",
    "platform",
    "pprint",
    "queue",
    "random",
    "re",
    "secrets",
    "select",
    "shutil",
    "signal",
    "socket",
    "ssl",
    "statistics",
    "string",
    "struct",
    "subprocess",
    "tarfile",
    "tempfile",
    "textwrap",
    "threading",
    "time",
    "timeit",
    "traceback",
    "types",
    "typing",
    "unittest",
    "unittest.case",
    "urllib.parse",
    "uuid",
    "warnings",
    "weakref",
    "zipfile",
]

_TOGETHER = {
    "many, in order": "json, re, typing, random, logging, datetime, asyncio, unittest, tarfile, csv, decimal",
    "many, backwards": "decimal, csv, tarfile, unittest, asyncio, datetime, logging, random, typing, re, json",
    "submodules": "json.tool, os.path, xml.dom.minidom, concurrent.futures.thread, importlib.machinery, email.message",
    "set aside and not": "json, http.client, ctypes, re, sqlite3, xml.etree.ElementTree, asyncio, doctest, random",
}

_SHADOWS = ("random", "code", "re", "json", "enum", "string", "types", "typing", "collections", "logging", "calendar")
"""Modules whose names files of a program may have, knowingly or not."""

_PATCH = "import {module}\nreal = {module}.{name}\ndef spy(*a, **k):\n  print('called')\n  return real(*a, **k)\n"

IMPORTS = (
    *(code(f"import {name}", f"import {name}\n{_STATE}") for name in _ALONE),
    *(code(f"imports: {name}", f"import {names}\n{_STATE}{SPECS}") for name, names in _TOGETHER.items()),
    code("from-imports", f"from json import decoder, loads\nfrom os import path\nfrom asyncio import *\n{_STATE}"),
    code("import of what is not there", f"try:\n  import json.missing\nexcept ImportError as e: print(repr(e))\n{_STATE}"),
    code("an import that fails", "def f():\n  import json.missing\nf()"),
    code("an import that fails, printed", "import traceback\ntry:\n  import nothing\nexcept ImportError: traceback.print_exc()"),
    code("from-import that fails", "from json import missing"),
    code("import_module", f"import importlib\nprint(importlib.import_module('.decoder', 'json'))\n{_STATE}"),
    code("__import__", f"print(__import__('json.decoder'), __import__('json', fromlist=['tool']))\n{_STATE}"),
    code("import in a function", f"def f():\n  import json, random as r\n  return json.dumps([r.__name__])\nprint(f())\n{_STATE}"),
    code("find_spec", f"import importlib.util\nprint(importlib.util.find_spec('json'), importlib.util.find_spec('x'))\n{_STATE}"),
    code("a module made by hand", f"import sys, types\nsys.modules['re'] = types.SimpleNamespace(compile=1)\nimport json\n{_STATE}"),
    code("None in sys.modules", "import sys\nsys.modules['re'] = None\nimport json"),
    code("removed and imported again", "import sys, json\nold = json\ndel sys.modules['json']\nimport json\nprint(json is old, json.JSONDecoder is old.JSONDecoder)"),
    code("a part removed before", f"import sys, re\nold = re\ndel sys.modules['re']\nimport json\nprint(sys.modules['re'] is old)\n{_STATE}"),
    code("a submodule removed", "import sys, json\nold = json.decoder\ndel sys.modules['json.decoder']\nimport json.decoder\nprint(json.decoder is old)"),
    code("reload", "import importlib, json, string\njson.x = 1\nold = json.JSONDecoder\nprint(importlib.reload(json) is json, json.x, json.JSONDecoder is old)"),
    code("reload before use", "import importlib, json\nimportlib.reload(importlib)\nimport textwrap\nprint(textwrap.dedent('  a'))"),
    *(
        _script(f"a file named {name}", f"import {name}\nprint({name}.__file__, {name}.mine)\n{_STATE}", {name: "mine = 1"})
        for name in ("random", "code", "string", "json", "calendar", "logging")
    ),
    *(
        _script(f"a file named {name} that a library imports", "import tempfile, asyncio, json, statistics, unittest", {name: "print('mine')\n1/0"})
        for name in ("random", "re", "enum", "types", "typing", "collections")
    ),
    _script("a folder named json", f"import json\nprint(json)\n{_STATE}", {"json/__init__": "print('mine')"}),
    _script("a folder without __init__ named json", f"import json\n{_STATE}", {"json/x": ""}),
    _script("a file of another kind", f"import json, random\n{_STATE}", {"json.txt": "", "random.d/x": ""}),
    _script("a folder first in the path", f"import sys\nsys.path.insert(0, 'lib')\nimport json, random\nprint(json)\n{_STATE}", {"lib/random": "print('mine')"}),
    _script("a file found by the path of a package", "import urllib\nurllib.__path__.insert(0, 'lib')\nimport urllib.parse\nprint(urllib.parse)", {"lib/parse": "print('mine')"}),
    _script("a file found by the path of a hidden package", "import json\njson.__path__.insert(0, 'lib')\nimport json.tool, json.decoder\nprint(json.tool)", {"lib/tool": "print('mine')"}),
    _script("a folder last in the path", f"import sys\nsys.path.append('/home/lib')\nimport json, random\n{_STATE}", {"lib/random": "print('mine')"}),
    code("a path without the library", "import sys\nsys.path[:] = ['/home']\nimport json"),
    code("a path in another order", f"import sys\nsys.path.reverse()\nimport json, random\n{_STATE}"),
    code("a path entry that is no text", f"import sys\nsys.path.insert(0, 5)\nimport json\n{_STATE}"),
    code("the home is not there", "import os, sys\nos.chdir('/')\nimport json, random\nprint(list(sys.path_importer_cache))"),
    code("a finder", f"import sys\nclass F:\n  @classmethod\n  def find_spec(cls, *a): print(a[0])\nsys.meta_path.insert(0, F)\nimport json, random\n{_STATE.replace('sys.meta_path', '0')}"),
    code("a path hook", "import sys\ndef hook(path):\n  print('hook', path)\n  raise ImportError\nsys.path_hooks.insert(0, hook)\nsys.path_importer_cache.clear()\nimport json, random"),
    code("no finders", "import sys\nsys.meta_path.clear()\nimport json"),
    code("an __import__", "import builtins\nreal = builtins.__import__\ndef spy(name, *a):\n  print(name)\n  return real(name, *a)\nbuiltins.__import__ = spy\nimport json, random"),
    code("a builtin replaced", "import builtins\nreal = builtins.__build_class__\ndef spy(f, name, *a, **k):\n  print(name)\n  return real(f, name, *a, **k)\nbuiltins.__build_class__ = spy\nimport json, random"),
    code("a trace function", "import sys\nseen = []\nsys.settrace(lambda f, e, a: seen.append(f.f_code.co_filename))\nimport json\nsys.settrace(None)\nprint(sorted({each for each in seen if 'json' in each}))"),
    code("a profile function", "import sys\nseen = []\nsys.setprofile(lambda f, e, a: seen.append(f.f_code.co_filename))\nimport json\nsys.setprofile(None)\nprint(sorted({each for each in seen if 'json' in each}))"),
    code("cProfile", "import cProfile, pstats\np = cProfile.Profile()\np.enable()\nimport json.tool\np.disable()\nprint(sorted(k[2] for k in pstats.Stats(p).stats if 'json' in k[0]))"),
    code("an audit hook", "import sys\nsys.addaudithook(lambda e, a: e == 'import' and print(a[0]))\nimport json", since=(3, 8)),
    code("subclasses", "class A(Exception): pass\nprint([each.__name__ for each in Exception.__subclasses__()])\nimport json, socket\nprint([each.__name__ for each in ValueError.__subclasses__()])"),
    *(
        code(f"{of}.{name} replaced, then {then}", _PATCH.format(module=of, name=name) + f"{of}.{name} = spy\nimport {then}\n{use}")
        for of, name, then, use in (
            ("re", "compile", "string, textwrap, json", "print(textwrap.dedent('  a'))"),
            ("functools", "lru_cache", "fnmatch, typing", "print(fnmatch.fnmatch('a', '*'))"),
            ("collections", "namedtuple", "inspect, dis, platform", "print(len(dis.__all__) > 3)"),
            ("time", "time", "random, logging, uuid", "print(type(random.random()))"),
            ("os", "fspath", "tempfile, pathlib, shutil", "print(pathlib.PurePath('a'))"),
            ("weakref", "ref", "copy, enum, logging", "print(copy.copy([1]))"),
            ("math", "log", "random, statistics", "print(random.LOG4)"),
        )
    ),
    code("a function replaced after", "import json, random, tempfile\nrandom.random = lambda: 4\njson.dumps = str\nprint(random.random(), json.dumps([1]), random.Random().random() != 4)"),
    code("time replaced after", "import time, logging, random\ntime.time = lambda: 0\nprint(logging.LogRecord('a', 1, 'f', 1, 'm', (), None).created == 0)"),
    code("a class changed", "import json\njson.JSONEncoder.default = lambda self, o: 'x'\nimport logging\nprint(json.dumps(object()))"),
    code("warnings at import", "import warnings\nwarnings.simplefilter('error')\nimport json, random, asyncio, unittest, typing, tarfile\nprint(1)"),
    code("atexit of a library", "import atexit\nprint(atexit._ncallbacks())\nimport logging\nprint(atexit._ncallbacks())\nimport asyncio, concurrent.futures\nprint(atexit._ncallbacks())"),
    code("logging at the end", "import logging\nclass H(logging.Handler):\n  def close(self): print('closed'); super().close()\nlogging.root.addHandler(H())"),
    code("threads of a pool at the end", "from concurrent.futures import ThreadPoolExecutor\np = ThreadPoolExecutor(2)\nf = p.submit(print, 1)\nf.result()"),
    code("random numbers", "import random\nrandom.seed(1)\nprint(random.random(), random.getstate()[0])\nimport secrets, uuid\nprint(len(uuid.uuid4().hex))"),
    code("random in a child", "import os, random\nrandom.seed(1)\npid = os.fork()\nif not pid:\n  random.seed(1); print(random.random(), flush=True); os._exit(0)\nos.wait()\nprint(random.random())"),
    code("threads", "import threading\nprint(threading.main_thread() is threading.current_thread(), threading.enumerate(), threading.main_thread().ident == threading.get_ident())".replace("threading.enumerate()", "len(threading.enumerate())")),
    code("the thread's number", "import threading, os\nprint(threading.main_thread().native_id == os.getpid())", since=(3, 8)),
    code("a lock in a child", "import logging, os\nlogging.warning('a')\npid = os.fork()\nif not pid:\n  logging.warning('b'); os._exit(0)\nos.wait()\nlogging.warning('c')"),
    code("the time of logging", "import time\ntime.sleep(0.01)\nnow = time.time()\nimport logging\nr = logging.LogRecord('a', 1, 'f', 1, 'm', (), None)\nprint(0 <= r.relativeCreated < 1000 * (time.time() - now) + 5)"),
    code("asyncio in two ways", "import asyncio\nasync def f():\n  await asyncio.sleep(0)\n  return await asyncio.gather(*[asyncio.sleep(0, n) for n in range(3)])\nl = asyncio.new_event_loop()\nprint(l.run_until_complete(f()))\nl.close()"),
    code("a subprocess's modules", "import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', 'import sys; print(list(sys.modules))'], stdout=-1).stdout.decode())"),
    code("-X importtime in a child", "import subprocess, sys, json\nr = subprocess.run([sys.executable, '-X', 'importtime', '-c', 'import json'], stderr=-1, stdout=-1)\nprint([each.split('|')[-1] for each in r.stderr.decode().splitlines()])", since=(3, 7)),
    code("a child of a fork", "import os, json\npid = os.fork()\nif not pid:\n  import random, asyncio; print(len(__import__('sys').modules), flush=True); os._exit(0)\nos.wait()\nimport random, asyncio; print(len(__import__('sys').modules))"),
    code("imports in threads", "import threading\ndef f(n): __import__(n)\nts = [threading.Thread(target=f, args=(n,)) for n in ('json', 'random', 'asyncio', 'json', 'csv', 'unittest', 'random') * 3]\n[(t.start(), t.join()) for t in ts]\nimport sys; print(sorted(sys.modules))"),
    code("pickles of library classes", "import pickle, decimal, fractions, datetime, collections, enum, re, pathlib, uuid\nprint(pickle.loads(pickle.dumps([decimal.Decimal('1.5'), fractions.Fraction(1, 3), datetime.date(2020, 1, 1), collections.OrderedDict(a=1), re.I, pathlib.PurePosixPath('a'), uuid.UUID(int=5), re.compile('a')])))"),
    code("copies", "import copy, re, collections, datetime\nprint(copy.deepcopy([re.compile('a'), collections.Counter('aab'), datetime.timedelta(1), collections.deque([1], 3)]))"),
    code("subclasses of library classes", "import json, collections, enum, typing, abc, threading, logging, argparse, random\nclass A(json.JSONEncoder): pass\nclass B(collections.UserDict): pass\nclass C(enum.IntFlag): X = 1\nclass D(typing.NamedTuple): a: int = 1\nclass E(random.Random):\n  def random(self): return 0.5\nprint(A().encode([B(a=1).data]), C.X | 2, D(), E().choice([1, 2, 3]), isinstance(B(), collections.abc.MutableMapping))"),
    code("abstract classes", "import collections.abc, numbers, io, os\nclass A:\n  def __len__(self): return 0\nprint(isinstance(A(), collections.abc.Sized), isinstance(1, numbers.Integral), isinstance(open('/dev/null'), io.TextIOBase))\nclass B: pass\ncollections.abc.Sequence.register(B)\nprint(issubclass(B, collections.abc.Sequence))"),
    code("singledispatch", "import functools, decimal\n@functools.singledispatch\ndef f(a): return 'any'\n@f.register(int)\ndef _(a): return 'int'\nimport fractions\nf.register(fractions.Fraction, lambda a: 'fraction')\nprint(f(1), f(fractions.Fraction(1)), f('a'))"),
    code("dataclasses and typing", "import dataclasses, typing\n@dataclasses.dataclass(order=True)\nclass A:\n  x: typing.List[int] = dataclasses.field(default_factory=list)\nprint(A([1]) < A([2]), typing.get_type_hints(A), dataclasses.asdict(A()))", since=(3, 7)),
    code("resources", "import importlib.resources, json\nprint(importlib.resources.is_resource('json', 'tool.py') if hasattr(importlib.resources, 'is_resource') else importlib.resources.files('json').joinpath('tool.py').is_file())", since=(3, 9)),
    code("pkgutil", "import pkgutil, json, asyncio\nprint([each.name for each in pkgutil.iter_modules(json.__path__)], pkgutil.get_data('json', '__init__.py')[:3])"),
    code("inspect", "import inspect, json, random\nprint(inspect.getsource(json.dumps)[:30], inspect.getfile(random), inspect.getmodule(random.choice))"),
    code("help", "import json, pydoc\nprint(pydoc.render_doc(json.dumps)[:200])"),
    code("codecs", "import codecs, sys\nprint('a'.encode('utf-16'), '\\xe4'.encode('idna'), codecs.lookup('rot13').name)\nprint([name for name in sys.modules if name.startswith('encodings')])"),
    code("hashes", "import hashlib, hmac\nprint(hashlib.sha256(b'a').hexdigest(), hmac.new(b'k', b'm', 'md5').hexdigest(), sorted(hashlib.algorithms_guaranteed)[:3])"),
    code("names", "import json, random, asyncio, logging\nprint([n for n in dir(json)], len(dir(asyncio)), json.__doc__[:20], random.__all__)"),
    code("recursion", "import sys\nsys.setrecursionlimit(150)\nimport json, random, string\nprint(json.dumps(1))"),
    code("the garbage collector", "import gc\ngc.disable()\nimport json, random\nprint(gc.isenabled(), json.dumps(1))"),
    module("imports of a module", f"import json, random, logging\n{_STATE}"),
    _script("imports of a script", f"import json, random, logging, asyncio\n{_STATE}{SPECS}"),
    _script("imports by two files", f"import a, b\n{_STATE}", {"a": "import json, typing", "b": "import typing, json, random"}),
    _script("relative imports", "import p.a\nprint(p.a.json)", {"p/__init__": "", "p/a": "from . import json\nimport random", "p/json": "x = 1"}),
    _script("a lazy import", "lazy import json\nprint('json' in __import__('sys').modules)\nprint(json.dumps(1))"),
)  # fmt: skip
