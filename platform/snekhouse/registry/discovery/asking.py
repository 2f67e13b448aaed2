"""Run an interpreter to learn its version and the files that it needs."""

import subprocess
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

_INTERPRETER_TIMEOUT_S = 20.0
"""Seconds for an interpreter to answer; enough for a loaded host with a cold disk."""

# Isolated and without site: .pth files would add paths and run code that do not belong to the interpreter.
# -B: without it, the interpreter would write bytecode.
_OPTIONS = ("-I", "-S", "-B", "-W", "ignore", "-c")

# Runs on Python 3.6 and later. It imports every extension module, because the shared objects that a module needs are
# visible only after it is loaded.
# It skips CPython's own tests, and _tkinter, because no jail has a display. It loads libgcc_s,
# which glibc loads only when a thread exits early (pthread_exit(3)).
_SCRIPT = r"""
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
    """What an interpreter reports about itself.

    Attributes:
        implementation: `sys.implementation.name`.
        version: E.g. ``3.12.1``, ``3.15.0a1``.
        free_threaded: Whether it was built without the global interpreter lock.
        prefix: `sys.base_prefix`.
        folders: The existing folders and zip files that it imports from, including its site-packages.
        libraries: Its extension modules, and the shared objects that they and the interpreter load.
    """

    implementation: str
    version: str
    free_threaded: bool
    prefix: Path
    folders: tuple[Path, ...]
    libraries: tuple[Path, ...]


_FACTS = TypeAdapter(Facts)


def ask_interpreter(executable: Path) -> Facts | None:
    """Run an interpreter and return what it reports about itself.

    Args:
        executable: A program that may be an interpreter.

    Returns:
        Its answer; None if it fails, or is not Python 3.
    """
    try:
        # With an empty environment, as in a jail: an interpreter that needs LD_LIBRARY_PATH would not work there.
        answer = subprocess.run(
            [executable, *_OPTIONS, _SCRIPT],
            capture_output=True,
            check=True,
            cwd="/",
            env={},
            stdin=subprocess.DEVNULL,
            timeout=_INTERPRETER_TIMEOUT_S,
        )
        return _FACTS.validate_json(answer.stdout.rpartition(b"\n")[2])
    except (OSError, subprocess.SubprocessError, ValidationError):
        return None
