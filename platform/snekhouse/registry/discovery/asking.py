"""Ask an interpreter what it is and what it is made of, by running it."""

import subprocess
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

_TIMEOUT = 20.0
"""Seconds that an interpreter may take to answer, on a loaded host with a cold disk."""

# In isolation and without site: what other people's .pth files would run or add is none of the interpreter's.
# It leaves no bytecode behind.
_OPTIONS = ("-I", "-S", "-B", "-W", "ignore", "-c")

# It runs on Python 3.6 and later. Only what is loaded shows which shared objects an extension module needs, hence the
# imports, of all but CPython's tests of itself and _tkinter, since no jail has a display. libgcc_s is loaded by glibc
# when a thread exits early (pthread_exit(3)): no import would show it.
_QUESTION = r"""
import importlib, json, os, site, sys, sysconfig

for folder in filter(os.path.isdir, list(sys.path)):
    for name in sorted(os.listdir(folder)):
        module = name.split(".")[0]
        if name.endswith(".so") and not module.startswith(("_test", "_xxtest", "xx", "_tkinter")):
            try:
                importlib.import_module(module)
            except Exception:
                pass
try:
    import ctypes
    ctypes.CDLL("libgcc_s.so.1")
except Exception:
    pass

with open("/proc/self/maps", "rb") as maps:  # proc_pid_maps(5): the sixth field is the path
    fields = [os.fsdecode(line).rstrip("\n").split(None, 5) for line in maps]
mapped = {field[5] for field in fields if len(field) == 6}
level = {"alpha": "a", "beta": "b", "candidate": "rc"}.get(sys.version_info.releaselevel)
answer = {
    "implementation": sys.implementation.name,
    "version": "%d.%d.%d" % sys.version_info[:3] + ("%s%d" % (level, sys.version_info.serial) if level else ""),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "prefix": sys.base_prefix,
    "folders": [path for path in sys.path + site.getsitepackages() if os.path.exists(path)],
    "libraries": sorted(path for path in mapped if ".so" in os.path.basename(path) and os.path.isfile(path)),
}
sys.stdout.flush()
sys.stdout.buffer.write(b"\n" + os.fsencode(json.dumps(answer, ensure_ascii=False)))
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an interpreter says of itself.

    Attributes:
        implementation: `sys.implementation.name`.
        version: E.g. ``3.12.1``, ``3.15.0a1``.
        free_threaded: Whether it was built without the global interpreter lock.
        prefix: `sys.base_prefix`.
        folders: Where it imports from (one may be a zip file), its own packages included; those that exist.
        libraries: The shared objects it loads with all its extension modules, those modules included.
    """

    implementation: str
    version: str
    free_threaded: bool
    prefix: Path
    folders: tuple[Path, ...]
    libraries: tuple[Path, ...]


_FACTS = TypeAdapter(Facts)


def ask_interpreter(executable: Path) -> Facts | None:
    """Run an interpreter and have it describe itself.

    Args:
        executable: A program that may be an interpreter.

    Returns:
        Its answer; None when it is broken, or no Python 3.
    """
    try:
        # With an empty environment, as in a jail: what works only by LD_LIBRARY_PATH would not work there.
        answer = subprocess.run(
            [executable, *_OPTIONS, _QUESTION],
            capture_output=True,
            check=True,
            cwd="/",
            env={},
            stdin=subprocess.DEVNULL,
            timeout=_TIMEOUT,
        )
        return _FACTS.validate_json(answer.stdout.rpartition(b"\n")[2])
    except (OSError, subprocess.SubprocessError, ValidationError):
        return None
