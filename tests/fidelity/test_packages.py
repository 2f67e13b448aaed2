"""Packages that programs import often are set aside, and no program may tell."""

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from command import snekhouse
from fidelity.packages import PACKAGES
from fidelity.plain import Plain
from fidelity.programs import Program
from fidelity.test_fidelity import by_id, differing, ours
from leftovers import descendants
from serving import PATIENCE, await_fork_servers, only, running_server
from snekhouse.registry.loading import load
from snekhouse.registry.models import Registry, Runtime
from wheels import download_wheels, make_wheel

pytestmark = pytest.mark.own_server

_TOKEN = "the-token-of-these-tests-q7V"
_REAL = ("numpy", "pandas", "pyyaml", "requests")
_ODD = {
    "threaded": (
        "it starts threads",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    ),
    "printing": ("it prints", "print('imported')"),
    "warning": ("it prints", "import warnings\nwarnings.warn('imported', UserWarning)"),
    "opening": ("it leaves files or sockets open", "held = open('/dev/null')"),
    "handling": ("it handles signals", "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)"),
    "hooking": ("it replaces a hook of sys", "import sys\nsys.excepthook = print"),
    "finding": ("it changes how modules are found", "import sys\nsys.meta_path.append(object())"),
    "moving": ("it changes the working folder", "import os\nos.chdir('/')"),
    "ending": ("its import ends the interpreter", "import os\nos._exit(0)"),
    "leaving": ("its import ends the interpreter", "raise SystemExit(3)"),
    "failing": ("ZeroDivisionError: division by zero", "1 / 0"),
    "large": ("preload_memory is 160 MiB", "held = b'x' * (170 << 20)"),
}
"""Packages that are left out: the reason that is told, and what their module does when it is imported."""
_FINE = {
    "registering": "import atexit\natexit.register(print, 'bye')",
    "filtering": "import warnings\nwarnings.simplefilter('ignore')\nwarnings.simplefilter('default', UserWarning, append=True)",
    "setting": "import os\nos.environ['SET_BY_PACKAGE'] = '1'\nos.environ.pop('LANG', None)",
    "logs": "import logging\nlogger = logging.getLogger('logs.child')\nlogging.getLogger('logs').propagate = False",
    "changing": "version = 1",
    "patching": "import os\nos.patched = 1",
    "hooked": "import os\nos.register_at_fork(after_in_parent=lambda: print('forked', flush=True))",
}  # fmt: skip
"""Packages that are set aside, and whose imports have effects outside the module."""


@dataclass(frozen=True)
class Kitchen:
    """A server with one runtime that has packages.

    Attributes:
        client: A client of it.
        pid: Its process id.
        plain: Plain NsJail for the same runtime.
    """

    client: httpx.Client
    pid: int
    plain: Plain

    def evaluate(self, code: str) -> dict[str, Any]:
        body: dict[str, Any] = self.client.post("/eval", json={"input": code}).json()
        return body

    def set_aside(self) -> dict[str, Any] | None:
        """Return what the admin API tells of the modules."""
        answer = self.client.get("/admin/runtimes/only", headers={"Authorization": f"Bearer {_TOKEN}"}).json()
        told: dict[str, Any] | None = answer["set_aside"]
        return told

    def await_modules(self, *names: str) -> None:
        """Import modules until they are set aside."""
        deadline = time.monotonic() + PATIENCE
        while not set(names) <= set((self.set_aside() or {"modules": ()})["modules"]):
            assert time.monotonic() < deadline, self.set_aside()
            for name in names:
                self.evaluate(f"import {name}")
            time.sleep(0.5)


def install(registry: Path, wheels: Path, *names: str) -> None:
    env = {"UV_OFFLINE": "1", "UV_FIND_LINKS": str(wheels)}
    done = snekhouse("packages", "install", "--registry", registry, "only", *names, env=env)
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Place:
    """A registry of one runtime with a folder of its own for packages, and wheels for this runtime."""

    registry: Path
    wheels: Path


@pytest.fixture(scope="module")
def place(registry: Registry, packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The newest runtime of this machine for which the real packages have wheels."""
    folder = tmp_path_factory.mktemp("kitchen")
    for runtime in sorted(registry.runtimes.values(), key=_version, reverse=True):
        wheels = folder / runtime.name
        wheels.mkdir()  # unlike its parent, anybody may read it
        with suppress(subprocess.CalledProcessError):
            download_wheels(wheels, ".".join(map(str, _version(runtime))), _REAL)
            break
    for name, source in {**{name: source for name, (_, source) in _ODD.items()}, **_FINE}.items():
        make_wheel(wheels, name, "1.0", files={f"{name}.py": source})
    path = folder / "runtimes.toml"
    path.write_text(f'{only(runtime, packages / "kitchen")}preload_memory = "160MiB"\n')
    yield Place(path, wheels)
    shutil.rmtree(packages / "kitchen")


def _version(runtime: Runtime) -> tuple[int, ...]:
    """Read the version in the name of an executable; that of a free-threaded build counts as none."""
    found = re.search(r"python(\d+)\.(\d+)$", runtime.executable)
    return tuple(map(int, found.groups())) if found else (0, 0)


@pytest.fixture(scope="module")
def kitchen(place: Place) -> Iterator[Kitchen]:
    path, env = place.registry, {"SNEKHOUSE_ADMIN_TOKEN": _TOKEN}
    with running_server(path, path.parent / "log", env) as server, tempfile.TemporaryDirectory() as folder:
        install(path, place.wheels, *_REAL, *_ODD, *_FINE)
        await_fork_servers(server.client)
        Path(folder).chmod(0o755)
        yield Kitchen(server.client, server.process.pid, Plain(load(path), Path(folder)))


@pytest.fixture(scope="module")
def warm(kitchen: Kitchen) -> Kitchen:
    """The server once it has set packages aside."""
    kitchen.await_modules("numpy", "pandas", "yaml", "requests")
    return kitchen


@pytest.mark.parametrize("program", PACKAGES, ids=by_id)
def test_nothing_tells_that_packages_were_set_aside(warm: Kitchen, program: Program) -> None:
    assert differing(program, warm.client, warm.plain, ["only"]) == {}


@pytest.mark.parametrize("name", ["numpy", "pandas", "yaml", "requests"])
def test_imports_take_the_packages_that_were_set_aside(warm: Kitchen, name: str) -> None:
    """A module that was imported before the fork is frozen, and the garbage collector does not list it."""
    program = f"import gc, {name}; print(any(each is {name} for each in gc.get_objects()))"
    assert warm.evaluate(program)["stdout"] == "False\n"


def test_no_two_runs_draw_the_same_numbers(warm: Kitchen) -> None:
    program = "import numpy; print(numpy.random.rand(), numpy.random.default_rng().random())"
    drawn = [warm.evaluate(program)["stdout"].split() for _ in range(5)]
    assert len({first for first, _ in drawn}) == len({second for _, second in drawn}) == 5


def test_variables_of_a_request_are_read_by_the_import(place: Place, warm: Kitchen) -> None:
    """Packages may read them when they are imported: such a program imports for itself."""
    text = place.registry.read_text()
    place.registry.write_text(text.replace("preload_memory", 'request_env = ["NPY_PROMOTION_STATE"]\npreload_memory'))
    deadline = time.monotonic() + PATIENCE
    body = {"input": "import gc, numpy; print(any(each is numpy for each in gc.get_objects()))"}
    body = {**body, "env": {"NPY_PROMOTION_STATE": "weak"}}  # type: ignore[dict-item]
    while (answer := warm.client.post("/eval", json=body)).status_code != 200:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
    assert answer.json()["stdout"] == "True\n"


@pytest.mark.parametrize(("name", "reason"), [(name, reason) for name, (reason, _) in _ODD.items()], ids=list(_ODD))
def test_a_package_that_cannot_be_set_aside_is_left_out_and_the_reason_is_told(
    warm: Kitchen, name: str, reason: str
) -> None:
    deadline = time.monotonic() + PATIENCE
    while name not in (left_out := (warm.set_aside() or {})["left_out"]):
        assert time.monotonic() < deadline, warm.set_aside()
        warm.evaluate(f"import {name}")
        time.sleep(0.2)
    assert reason in left_out[name]
    warm.await_modules("numpy", "pandas", "yaml", "requests")


_SEEN = """
import sys, os, warnings, atexit, logging
print('SET_BY_PACKAGE' in os.environ, sorted(os.environ), len(warnings.filters), warnings.filters, hasattr(os, 'patched'))
print(sorted(logging.root.manager.loggerDict), [logging.getLogger(name).parent for name in ('logs', 'logs.child')])
print(logging.getLogger('logs').propagate, atexit._ncallbacks())
"""


@pytest.mark.parametrize("name", list(_FINE))
def test_what_an_import_does_outside_its_module_happens_when_the_program_imports_it(warm: Kitchen, name: str) -> None:
    warm.await_modules(name)
    uses = f"{_SEEN}\nimport {name}\n{_SEEN}\nos.fork() or os._exit(0)\nos.wait()"
    early = f"import logging\nlogging.getLogger('logs').setLevel(5)\nimport {name}\nprint(logging.getLogger('logs'))"
    for code in (uses, early, f"import warnings\nwarnings.simplefilter('error')\nimport {name}\n{_SEEN}"):
        program = Program("x", ("-c", code))
        found, expected = ours(warm.client, "only", program), warm.plain.run("only", program.args, {}, b"")
        assert found.steady[0].decode().splitlines() == expected.steady[0].decode().splitlines()


def test_other_packages_replace_those_that_were_set_aside(place: Place, warm: Kitchen, tmp_path: Path) -> None:
    wheels = tmp_path / "open"
    wheels.mkdir()
    make_wheel(wheels, "changing", "2.0", files={"changing.py": "version = 2"})
    warm.await_modules("changing")
    install(place.registry, wheels, "changing==2.0")
    assert warm.evaluate("import changing; print(changing.version)")["stdout"] == "2\n"
    warm.await_modules("changing")
    assert warm.evaluate("import changing; print(changing.version)")["stdout"] == "2\n"


def test_a_list_in_the_registry_turns_it_off(place: Place, warm: Kitchen) -> None:
    text = place.registry.read_text()
    place.registry.write_text(text.replace("preload_memory", "preload = []\npreload_memory"))
    deadline = time.monotonic() + PATIENCE
    while warm.set_aside() is not None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for _ in range(3):
        assert warm.evaluate("import numpy; print(1)")["stdout"] == "1\n"
    place.registry.write_text(text)


def test_generations_that_were_replaced_have_ended(warm: Kitchen) -> None:
    """What is left: NsJail, the first process of the jail, three generations, and a spare fork of each."""
    warm.await_modules("numpy", "pandas")
    deadline = time.monotonic() + PATIENCE
    while len(left := descendants(warm.pid)) != 8 + _WATCHDOGS:
        assert time.monotonic() < deadline, left
        warm.evaluate("import numpy")
        time.sleep(0.1)


_WATCHDOGS = 2
