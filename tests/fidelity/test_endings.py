"""Programs end as in plain Python, whatever the modules that are preloaded do at the end."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from fidelity.plain import Outcome, Plain
from serving import server_of
from snekhouse.registry.loading import load
from snekhouse.registry.models import Registry, Runtime

pytestmark = [pytest.mark.own_server]

_FILES = {
    "torch": """
import os
drawn = 0
def seed():
  global drawn
  drawn = os.urandom(8)
""",
    "noisy": """
import atexit, sys
def fails(): raise ValueError('in a callback')
def leaves(): sys.exit(9)
for each in 'first', 'second':
  atexit.register(print, 'called', each)
atexit.register(fails)
atexit.register(leaves)
atexit.register(lambda: print('last exception', getattr(sys, 'last_value', None), sys.exc_info()))
""",
    "finalized": """
import weakref
class Held: pass
held = Held()
weakref.finalize(held, print, 'finalized')
""",
}
"""Modules of the tests' own."""

_PRELOADS = {
    "ctypes": ("ctypes", "torch"),
    "logging": ("logging",),
    "pools": ("concurrent.futures.thread", "multiprocessing.util"),
    "noisy": ("noisy",),
    "finalized": ("finalized", "tempfile"),
    "many": ("asyncio", "unittest", "random", "ssl", "json", "decimal", "threading"),
}
"""What is preloaded, by the name of the runtime."""

_THREAD = "import threading\ndef f():\n  threading.main_thread().join(); print('thread')\n"

_ENDINGS = {
    "nothing": "pass",
    "output": "print('a'); import sys; print('b', file=sys.stderr)",
    "output without a newline": "import sys; sys.stdout.write('a'); sys.stderr.write('b')",
    "output of the C library": "import ctypes; ctypes.CDLL(None).printf(b'late')",
    "objects that are frozen": "import gc\nclass A:\n  def __del__(self): print('gone')\na = A(); getattr(gc, 'freeze', id)()",
    "exit": "import sys; sys.exit()",
    "exit 3": "import sys; sys.exit(3)",
    "exit 300": "import sys; sys.exit(300)",
    "exit -1": "import sys; sys.exit(-1)",
    "exit True": "import sys; sys.exit(True)",
    "exit with a text": "import sys; sys.exit('bye')",
    "exit with a tuple": "import sys; sys.exit((1, 2))",
    "exit with a large number": "import sys; sys.exit(10 ** 30)",
    "exit of site": "exit(4)",
    "SystemExit": "raise SystemExit(5)",
    "a kind of SystemExit": "class E(SystemExit): pass\nraise E(6)",
    "SystemExit without a code": "e = SystemExit(7); e.code = None; raise e",
    "os._exit": "import os; print('a', flush=True); os._exit(8)",
    "an exception": "1 / 0",
    "a chain": "try: 1 / 0\nexcept ZeroDivisionError as e: raise KeyError('x') from e",
    "an exception in a function": "def f(n):\n  if n: f(n - 1)\n  else: {}['missing']\nf(30)",
    "a kind of exception": "class E(Exception):\n  def __str__(self): return 'text'\nraise E",
    "an exception that cannot be printed": "class E(Exception):\n  def __str__(self): 1 / 0\nraise E",
    "an exception with notes": "e = ValueError(1)\ne.__notes__ = ['note']\nraise e",
    "a syntax error": "x = = 1",
    "a syntax error later": "compile('(', 'f', 'exec')",
    "an interrupt": "raise KeyboardInterrupt",
    "an abort": "import os; os.abort()",
    "an excepthook": "import sys\nsys.excepthook = lambda *a: print('hook', a[0].__name__)\n1 / 0",
    "no excepthook": "import sys\ndel sys.excepthook\n1 / 0",
    "no standard error": "import sys\nsys.stderr = None\n1 / 0",
    "another standard output": "import io, sys\nsys.stdout = io.StringIO()\nprint('lost')",
    "a closed standard output": "import sys\nprint('a', flush=True)\nsys.stdout.close()",
    "a callback": "import atexit; atexit.register(print, 'mine')",
    "a callback that fails": "import atexit; atexit.register(lambda: 1 / 0); atexit.register(print, 'mine')",
    "a callback that registers one": "import atexit; atexit.register(lambda: atexit.register(print, 'mine'))",
    "a callback, and a failure": "import atexit; atexit.register(print, 'mine'); raise ValueError",
    "callbacks that have run": "import atexit; atexit._run_exitfuncs(); print('done')",
    "a callback for another": "import atexit, logging\natexit.unregister(logging.shutdown)\natexit.register(print, 'mine')",
    "a thread": f"{_THREAD}threading.Thread(target=f).start()\nprint('early')",
    "a thread, and a failure": f"{_THREAD}threading.Thread(target=f).start()\n1 / 0",
    "a thread that is over": "import threading\nt = threading.Thread(target=print, args='a'); t.start(); t.join()",
    "a daemon": "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()\nprint('a')",
    "a pool": "from concurrent.futures import ThreadPoolExecutor\np = ThreadPoolExecutor(2)\np.submit(print, 'in a pool')",
    "a finalizer": "class C:\n  def __del__(self): print('gone')\nc = C()",
    "a finalizer, and a failure": "class C:\n  def __del__(self): print('gone')\nc = C()\n1 / 0",
    "a finalizer in a frame": "class C:\n  def __del__(self): print('gone')\ndef f():\n  c = C()\n  1 / 0\nf()",
    "a cycle": "class C:\n  def __del__(self): print('gone')\nc = C(); c.c = c",
    "weakref.finalize": "import weakref\nclass C: pass\nc = C()\nweakref.finalize(c, print, 'mine')",
    "a weak reference": "import weakref\nclass C: pass\nc = C()\nr = weakref.ref(c, lambda r: print('gone'))",
    "a weak set": "import weakref\nclass C: pass\nc = C()\ns = weakref.WeakSet([c]); d = weakref.WeakKeyDictionary({c: 1})",
    "a file": "f = open('f', 'w'); f.write('x' * 10000)\nimport atexit, os\natexit.register(lambda: print(os.stat('f').st_size))",
    "a file, seen by a child": "import os\nf = open('f', 'w'); f.write('x')\nif os.fork(): os.wait(); print(os.stat('f').st_size)",
    "a file on standard output": "f = open(1, 'w', closefd=False); f.write('from the file\\n'); print('a')",
    "a file that cannot be written": "f = open('/home/f', 'w'); f.write('x'); import os, resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)",
    "a closed standard error": "import sys\nprint('a', flush=True)\nsys.stderr.close()",
    "two files": "f = open(1, 'w', closefd=False); g = open(1, 'wb', closefd=False); f.write('f'); g.write(b'g')",
    "a kind of file": "import io\nclass F(io.StringIO):\n  def close(self): print('closed')\nf = F()",
    "a warning for a file": "import warnings\nwarnings.simplefilter('always')\nf = open('f', 'w')",
    "a generator": "def g():\n  try: yield 1\n  finally: print('closed')\nx = g(); next(x)",
    "a generator that is over": "def g(): yield 1\nx = g(); list(x)",
    "a coroutine": "async def f(): pass\nx = f()",
    "a child": "import os\nif os.fork(): os.wait()\nprint(os.getpid() == 1)",
    "multiprocessing": "import multiprocessing as m\np = m.get_context('fork').Process(target=print, args=('child',)); p.start(); p.join()",
    "a loop": "import asyncio\nl = asyncio.new_event_loop(); l.run_until_complete(asyncio.sleep(0))",
    "a loop, closed": "import asyncio\nasync def f(): print('a')\nl = asyncio.new_event_loop(); l.run_until_complete(f()); l.close()",
    "a task that is left": "import asyncio\nasync def f():\n  asyncio.ensure_future(asyncio.sleep(9))\nl = asyncio.new_event_loop(); l.run_until_complete(f()); l.close()",
    "logging": "import logging; logging.warning('a')",
    "a handler": "import logging\nclass H(logging.Handler):\n  def close(self): print('closed')\nh = H()",
    "a trace function": "import sys; sys.settrace(lambda f, e, a: print(e, f.f_code.co_name) if f.f_code.co_name == 'mine' else None)\ndef mine(): pass\nimport atexit; atexit.register(mine)",
    "a profile function": "import sys, atexit\ndef mine(): pass\natexit.register(mine)\nsys.setprofile(lambda f, e, a: print(e) if f.f_code.co_name == 'mine' else None)",
}  # fmt: skip


@dataclass(frozen=True)
class Preloading:
    """A server whose runtimes preload modules, and plain NsJail for Pythons that import them at their start."""

    client: httpx.Client
    plain: Plain


def _written(runtime: Runtime, preload: tuple[str, ...], path: Path, at_start: Path) -> str:
    mounts = [f'{{ source = "{each.source}", target = "{each.target}" }}' for each in runtime.mounts]
    mounts += [f'{{ source = "{folder}", target = "{folder}" }}' for folder in (path, at_start)]
    return (
        f'executable = "{runtime.executable}"\nmounts = [{", ".join(mounts)}]\npreload = {list(preload)}\n'
        f'env = {{ PYTHONPATH = "{path}:{at_start}" }}\n' + (f'root = "{runtime.root}"\n' if runtime.root else "")
    )


@pytest.fixture(scope="module")
def preloading(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preloading]:
    known = [runtime for name, runtime in registry.runtimes.items() if name[0] == "3"]
    runtimes = {preload: known[index * len(known) // len(_PRELOADS)] for index, preload in enumerate(_PRELOADS)}
    with tempfile.TemporaryDirectory(prefix="snekhouse-tests-") as folder:
        path = Path(folder)
        begin = f'default = "{next(iter(_PRELOADS))}"\n[server]\nallow_degraded = true\n'
        texts = {"": begin, "plain": begin}
        for name, content in _FILES.items():
            (path / f"{name}.py").write_text(content)
        for preload, modules in _PRELOADS.items():
            at_start = path / preload
            at_start.mkdir()
            (at_start / "sitecustomize.py").write_text(f"import {', '.join(modules)}\n")
            title, runtime = f'[runtimes."{preload}"]\n', runtimes[preload]
            texts[""] += title + _written(runtime, modules, path, path)
            texts["plain"] += title + _written(runtime, (), path, at_start)
        for each in (path, *path.rglob("*")):
            each.chmod(0o755)
        registries = tmp_path_factory.mktemp("preloading")
        (registries / "plain.toml").write_text(texts["plain"])
        plain = Plain(load(registries / "plain.toml"), path)
        with server_of(texts[""], registries, "fork") as server:
            yield Preloading(server.client, plain)


@pytest.mark.parametrize("program", _ENDINGS.values(), ids=_ENDINGS.keys())
def test_the_end_is_that_of_plain_python(preloading: Preloading, program: str) -> None:
    assert preloading.client.get("/runtimes").json()["runtimes"][0]["start"] == "fork"
    differing = {}
    for name in _PRELOADS:
        answer = preloading.client.post(f"/eval/{name}", json={"args": ["-c", program]}).json()
        ours = Outcome(answer["stdout"].encode(), answer["returncode"])
        plain = preloading.plain.run(name, ["-c", program], {}, b"")
        if ours.steady != plain.steady:
            differing[name] = (ours.steady, plain.steady)
    assert differing == {}


def test_numbers_of_a_preloaded_torch_differ(preloading: Preloading) -> None:
    program = {"args": ["-c", "import torch; print(torch.drawn)"]}
    drawn = [preloading.client.post("/eval/ctypes", json=program).json()["stdout"] for _ in range(3)]
    assert len({*drawn, "0\n"}) == 4


@pytest.mark.parametrize(
    "ending", ["nothing", "exit 3", "an exception", "a file on standard output", "a weak set", "a thread that is over"]
)
def test_a_run_leaves_without_the_end_of_the_interpreter(preloading: Preloading, ending: str) -> None:
    """The interpreter's own end writes to most pages of what was preloaded, and so copies them."""
    programs = {
        "ours": _ENDINGS[ending],
        "the interpreter's": f"import gc; gc.callbacks.append(id)\n{_ENDINGS[ending]}",
    }
    answers = {
        name: preloading.client.post("/eval/many", json={"args": ["-c", program]}).json()
        for name, program in programs.items()
    }
    memory = {name: answer["usage"]["memory"] for name, answer in answers.items()}
    assert memory["ours"] * 2 < memory["the interpreter's"]
