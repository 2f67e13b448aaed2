"""What an interpreter on this host is asked: run by each with its own interpreter, so it speaks Python 3.6.

Prints one JSON object: who it is, where its parts lie, and which shared objects it needs.
"""

import importlib
import json
import os
import platform
import sys
import sysconfig


def shared_objects() -> "list[str]":
    """Load every extension module that can be loaded, and list the shared objects mapped by then."""
    for folder in sys.path:
        if folder.endswith("lib-dynload") and os.path.isdir(folder):
            for name in sorted(os.listdir(folder)):
                try:
                    importlib.import_module(name.split(".")[0])
                except Exception:  # whatever a module of any version does: it is not needed then
                    continue
    with open("/proc/self/maps") as maps:
        paths = {line.split(None, 5)[5].strip() for line in maps if len(line.split(None, 5)) == 6}
    return sorted(path for path in paths if path.startswith("/") and ".so" in os.path.basename(path))


def answer() -> "dict[str, object]":
    """Collect the answers."""
    paths = sysconfig.get_paths()
    return {
        "implementation": platform.python_implementation().lower(),
        "version": platform.python_version(),
        "version_info": list(sys.version_info[:3]),
        "final": sys.version_info[3] == "final",
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "prefixes": sorted({os.path.realpath(sys.base_prefix), os.path.realpath(sys.base_exec_prefix)}),
        "libraries": sorted({paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")} | set(sys.path[1:])),
        "shared_objects": shared_objects(),
    }


if __name__ == "__main__":
    print(json.dumps(answer()))
