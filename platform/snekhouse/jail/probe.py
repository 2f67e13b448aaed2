"""The probe: a program that runs in a runtime's jail and reports facts about its interpreter."""

import base64
import json
from dataclasses import dataclass

from snekhouse.errors import JailError
from snekhouse.evaluation import File, Job, Result, Status
from snekhouse.jail.diagnosis import MOUNT_LIBRARY
from snekhouse.jail.prepared import PreparedRuntime
from snekhouse.jail.run import run
from snekhouse.jail.start import Start
from snekhouse.profile.rendering import BOOTSTRAP_INSIDE

_PROGRAM = """\
import base64, json, platform, py_compile, site, sys, sysconfig
jit = getattr(sys, "_jit", None)  # from 3.14 on
built_with_jit = "-D_Py_JIT" in (sysconfig.get_config_var("CONFIGURE_CFLAGS_NODIST") or "")
py_compile.compile("bootstrap.py", "bootstrap.pyc", {inside!r}, True, 2)
with open("bootstrap.pyc", "rb") as bytecode:
    bootstrap = base64.b64encode(bytecode.read()).decode()
print(json.dumps({{
    "probe": {{
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "jit": bool(jit.is_available() if jit else built_with_jit or "pypyjit" in sys.builtin_module_names),
        "user_site": site.getusersitepackages(),
    }},
    "bootstrap": bootstrap,
}}))
"""

_OUTPUT_LIMIT = 1 << 20
"""Bytes that the probe may print, regardless of the runtime's own limit."""

_EXCERPT_SIZE = 100
"""Characters of an invalid answer that a message quotes."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Facts about the interpreter of a runtime.

    Attributes:
        implementation: ``CPython`` or ``PyPy``.
        version: In full, e.g. ``3.14.0rc1``.
        free_threaded: Whether it was built without the global interpreter lock.
        jit: Whether it was built with the just-in-time compiler.
        user_site: The folder in the jail from which it imports third-party packages.
    """

    implementation: str
    version: str
    free_threaded: bool
    jit: bool
    user_site: str


async def probe(prepared: PreparedRuntime, bootstrap: str, start: Start) -> tuple[Probe, bytes]:
    """Probe a runtime in its jail, and compile the bootstrap there. The bytecode saves 2 ms at each start.

    Args:
        prepared: The runtime, with a profile that mounts the bootstrap's source.
        bootstrap: The bootstrap's source.
        start: How its guest starts.

    Returns:
        The probe's answer, and the bootstrap's bytecode.

    Raises:
        JailError: The runtime does not answer; the text says why.
    """
    job = Job(
        args=("-c", _PROGRAM.format(inside=BOOTSTRAP_INSIDE)),
        files=(File("bootstrap.py", bootstrap.encode()),),
        limits=prepared.runtime.limits.model_copy(update={"output": _OUTPUT_LIMIT}),
        separate_stderr=True,  # PyPy warns there of what it cannot find in a jail
    )
    result = await run(prepared, job, start)
    if result.status is not Status.OK:
        raise JailError(_failure(result))
    last = result.stdout.rstrip().rpartition("\n")[2]  # a sitecustomize may print before
    try:
        answer = json.loads(last)
        return Probe(**answer["probe"]), base64.b64decode(answer["bootstrap"])
    except (ValueError, TypeError, KeyError) as error:
        raise JailError(f"the interpreter did not answer the probe; it printed {last[:_EXCERPT_SIZE]!r}") from error


def _failure(result: Result) -> str:
    """Explain a probe that did not end well: what ended it, its last line, and the remedy."""
    last = "".join((result.stderr or result.stdout).strip().splitlines()[-1:])
    if last.startswith("ModuleNotFoundError"):
        return f"mounts: the interpreter does not find its standard library ({last}); {MOUNT_LIBRARY}"
    told = "; ".join(filter(None, [result.message or f"exit code {result.returncode}", last]))
    is_own = result.status is not Status.OUTPUT_LIMIT  # this limit is not the runtime's
    return f"{told}; raise the limit" if is_own and "(limits." in result.message else told
