"""The table of programs that import packages: those that are set aside, and no program may tell."""

from fidelity.imports import SPECS
from fidelity.programs import Program, code

_STATE = """
import sys, atexit
names = [name for name in sys.modules if not name.startswith(('_cython_', '_sysconfigdata', '__main__'))]
print(names, list(sys.path_importer_cache), sys.meta_path, sys.path_hooks, sys.path)
print([(name, sorted(vars(sys.modules[name]))) for name in names if name != 'sys'])
print(atexit._ncallbacks(), getattr(sys.modules.get('threading'), '_threading_atexits', []) != [])
"""
"""What an import leaves, without the order of variables, which a set decides in numpy.

Modules that Cython puts into sys.modules are shared by all that were made with it, and so is what sysconfig read.
"""

_OUTSIDE = """
import os, signal, sys, warnings
print(warnings.filters, sorted(os.environ.items()), os.listdir('.'))
print([signal.getsignal(each) for each in (2, 13, 15)], sys.getrecursionlimit(), sys.excepthook)
"""
"""What an import may change outside its module."""

_USES = {
    "numpy": "import numpy as np\nprint((np.ones((300, 300)) @ np.ones((300, 300))).sum(), np.linalg.inv([[2.0]]))",
    "numpy.random seeded": "import numpy as np\nnp.random.seed(1); print(np.random.rand(3), np.random.default_rng(1).random())",
    "numpy errors": "import numpy as np\nprint(np.geterr()); print(np.array([1.0]) / 0)",
    "numpy pickles": "import numpy as np, pickle\nprint(pickle.loads(pickle.dumps((np.arange(3), np.add, np.float32(1)))))",
    "numpy save": "import numpy as np, io\nb = io.BytesIO(); np.save(b, np.arange(3)); print(len(b.getvalue()))",
    "numpy in threads": (
        "import numpy as np\nfrom concurrent.futures import ThreadPoolExecutor as T\n"
        "with T(3) as pool: print(list(pool.map(lambda n: float(np.ones((n, n)).dot(np.ones(n)).sum()), (10, 200, 300))))"
    ),
    "numpy after fork": (
        "import numpy as np, os\nprint(np.ones((400, 400)).dot(np.ones((400, 400))).sum(), flush=True)\n"
        "pid = os.fork()\nif pid: os.waitpid(pid, 0)\nprint(np.ones((400, 400)).dot(np.ones((400, 400))).sum(), flush=True)"
    ),
    "pandas": (
        "import pandas as pd\nframe = pd.DataFrame({'a': [1, 2, 2], 'b': list('xyz')})\n"
        "print(frame.groupby('a').b.sum(), frame.to_csv(), frame.describe())"
    ),
    "pandas times": "import pandas as pd\nprint(pd.date_range('2024-01-01', periods=3, tz='Europe/Berlin'))",
    "pandas warns": "import pandas as pd\nprint(pd.to_datetime(['1', '2-1-2020'], errors='coerce'))",
    "pandas from csv": "import pandas as pd, io\nprint(pd.read_csv(io.StringIO('a,b\\n1,2'), parse_dates=['b']))",
    "pyyaml": "import yaml\nprint(yaml.safe_load('a: [1, 2]'), yaml.__with_libyaml__, yaml.dump({'b': (1,)}))",
    "requests": "import requests\nprint(requests.Request('GET', 'http://a/b', params={'c': 1}).prepare().url)",
    "requests without a network": (
        "import requests\ntry: requests.get('http://192.0.2.1', timeout=1)\nexcept Exception as e: print(type(e))"
    ),
    "both": "import numpy, pandas, yaml\nprint(numpy.__name__, pandas.__name__, yaml.__name__)",
    "other order": "import yaml, pandas, numpy\nprint(numpy.__name__, pandas.__name__, yaml.__name__)",
    "a submodule": "import numpy.linalg as l\nfrom numpy import fft\nprint(l.det([[3.0]]), fft.fft([1, 2]))",
    "from import": "from pandas import Series, DataFrame as D\nprint(Series([1, 2]).sum(), D({'a': [1]}).shape)",
    "star": "from numpy import *\nprint(arange(3), len(dir()))",
    "in a function": "def f():\n  import numpy\n  return numpy.sum([1, 2])\nprint(f())",
    "by a name": "import importlib\nprint(importlib.import_module('numpy').sum([1, 2]))  # import numpy",
    "in a thread": (
        "import threading\ndef f():\n  import numpy\n  print(numpy.sum([1, 2]))\n"
        "t = threading.Thread(target=f); t.start(); t.join()"
    ),
    "again": "import numpy, sys\nold = numpy\nimport numpy\nprint(old is numpy, sys.modules['numpy'] is old)",
    "an attribute that is missing": "import numpy\nnumpy.nothing",
    "a failing program": "import pandas\npandas.DataFrame({'a': [1]})['b']",
    "an error in C": "import numpy as np\nnp.ones((2, 3)) @ np.ones((2, 3))",
    "a missing package": "import numpy\nimport no_such_package",
    "a missing submodule": "import numpy\nimport numpy.nothing",
    "exit": "import pandas, sys\nprint('x', end='')\nsys.exit(7)",
    "atexit": "import pandas, atexit\natexit.register(print, 'bye')",
    "a file left open": "import numpy\nf = open('x', 'w'); f.write('y'); print(numpy.sum(1))",
    "memory-mapped": (
        "import numpy as np\nm = np.memmap('x', dtype='u1', mode='w+', shape=4); m[:] = 65; m.flush()\n"
        "print(open('x', 'rb').read())"
    ),
    "monkeypatched before": "import json\njson.dumps = len\nimport pandas\nprint(json.dumps([1]), pandas.Series([1]).to_json())",
    "monkeypatched after": "import numpy\nnumpy.sum = max\nimport pandas\nprint(numpy.sum([1, 5]), pandas.Series([1, 5]).sum())",
    "random differs": "import numpy as np\nprint(np.random.rand() != np.random.rand())",
    "resources": "import numpy, importlib.resources as r\nprint((r.files('numpy') / '__init__.py').is_file())",
    "metadata": "import importlib.metadata as m, numpy\nprint(m.version('numpy') == numpy.__version__)",
    "pkgutil": "import pkgutil, yaml\nprint(sorted(each.name for each in pkgutil.iter_modules(yaml.__path__)))",
    "inspect": "import inspect, yaml\nprint(len(inspect.getsource(yaml.dump)) > 100, yaml.__file__)",
    "subclass": "import numpy as np\nclass A(np.ndarray): pass\nprint(np.arange(3).view(A))",
    "subprocess": (
        "import numpy, subprocess, sys\n"
        "print(subprocess.run([sys.executable, '-c', 'import numpy; print(numpy.sum([1, 2]))'], capture_output=True).stdout)"
    ),
    "multiprocessing": (
        "import numpy as np, multiprocessing as m\n"
        "def f(n): return float(np.ones(n).sum())\n"
        "if __name__ == '__main__':\n  m.set_start_method('fork')\n  with m.Pool(2) as p: print(p.map(f, [1, 2, 3]))"
    ),
    "warnings made errors": "import warnings\nwarnings.simplefilter('error')\nimport numpy, pandas, yaml\nprint(len(warnings.filters))",
    "filters reset": "import warnings\nwarnings.resetwarnings()\nimport numpy\nprint(warnings.filters)",
    "loggers": "import logging, requests\nprint(sorted(logging.root.manager.loggerDict)[:9])",
    "a variable set before": "import os\nos.environ['OMP_NUM_THREADS'] = '1'\nimport numpy\nprint(sorted(os.environ.items()))",
    "own folder of that name": "import os, sys\nos.mkdir('numpy'); open('numpy/__init__.py', 'w').write('mine = 1')\nsys.path_importer_cache.clear()\nimport numpy\nprint(numpy.mine)",
    "deleted": "import sys, yaml\ndel sys.modules['yaml']\nimport yaml\nprint(yaml.safe_load('1'))",
    "reloaded": "import importlib, yaml\nprint(importlib.reload(yaml) is yaml)",
}  # fmt: skip

PACKAGES = (
    *(code(name, source) for name, source in _USES.items()),
    *(code(f"state after {name}", f"import {name}{_STATE}") for name in ("numpy", "pandas", "yaml", "requests")),
    *(code(f"specs after {name}", f"import {name}{SPECS}") for name in ("numpy", "pandas", "yaml", "requests")),
    *(code(f"outside after {name}", f"import {name}{_OUTSIDE}") for name in ("numpy", "pandas", "yaml", "requests")),
    code("outside before", f"{_OUTSIDE}\nimport numpy, pandas, yaml, requests"),
    code("state before", f"{_STATE}\nimport numpy, pandas, yaml, requests"),
    Program(
        "own module of the name of one in the library",
        ("main.py",),
        {"main.py": b"import numpy, secrets\nprint(secrets.mine)", "secrets.py": b"mine = 1\nrandbits = len"},
    ),
    Program("own package", ("main.py",), {"main.py": b"import yaml\nprint(yaml.mine)", "yaml.py": b"mine = 1"}),
)
