"""Ask a runtime, inside its own jail, what it is."""

import base64
import json
from dataclasses import dataclass

from snekhouse.errors import JailError
from snekhouse.evaluation import File, Job, Status
from snekhouse.jail.prepared import PreparedRuntime
from snekhouse.jail.run import run
from snekhouse.jail.start import Start
from snekhouse.profile.rendering import BOOTSTRAP_INSIDE

_QUESTION = """\
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

_OUTPUT = 1 << 20
"""Bytes that the answer may have, whatever limit the registry sets for programs."""

_SHOWN = 100
"""Characters of an answer that is not understood which a message repeats."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a runtime says of itself.

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
    """Ask through the runtime's own profile; have the bootstrap compiled there as well, which saves 2 ms a start.

    Args:
        prepared: The runtime, with a profile that mounts the bootstrap's source.
        bootstrap: That source.
        start: How its guest starts.

    Returns:
        What the runtime says, and the bootstrap's bytecode for it.

    Raises:
        JailError: The runtime does not answer; the text says why.
    """
    job = Job(
        args=("-c", _QUESTION.format(inside=BOOTSTRAP_INSIDE)),
        files=(File("bootstrap.py", bootstrap.encode()),),
        limits=prepared.runtime.limits.model_copy(update={"output": _OUTPUT}),
        separate_stderr=True,  # PyPy warns there of what it cannot find in a jail
    )
    result = await run(prepared, job, start)
    if result.status is not Status.OK:
        said = (result.stderr or result.stdout).strip().splitlines()[-1:]
        raise JailError("; ".join(filter(None, [result.message or f"exit code {result.returncode}", *said])))
    last = result.stdout.rstrip().rpartition("\n")[2]  # a sitecustomize may print before
    try:
        answer = json.loads(last)
        return Probe(**answer["probe"]), base64.b64decode(answer["bootstrap"])
    except (ValueError, TypeError, KeyError) as error:
        raise JailError(f"the interpreter did not say what it is; it printed {last[:_SHOWN]!r}") from error
