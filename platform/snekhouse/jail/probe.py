"""Ask a runtime, inside its own jail, what it is."""

import json
from dataclasses import dataclass

from snekhouse.errors import JailError
from snekhouse.jail.cgroups import Cgroups
from snekhouse.jail.evaluation import Job, Status
from snekhouse.jail.run import Jail, run

_QUESTION = """\
import json, platform, sys, sysconfig
jit = getattr(sys, "_jit", None)
print(json.dumps({
    "implementation": platform.python_implementation(),
    "version": platform.python_version(),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "jit": bool(jit and jit.is_available()),
}))
"""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a runtime says of itself.

    Attributes:
        implementation: ``CPython`` or ``PyPy``.
        version: In full, e.g. ``3.14.0rc1``.
        free_threaded: Whether it was built without the global interpreter lock.
        jit: Whether it was built with the just-in-time compiler.
    """

    implementation: str
    version: str
    free_threaded: bool
    jit: bool


async def probe(jail: Jail, cgroups: Cgroups | None) -> Probe:
    """Run the question through the runtime's own profile.

    Raises:
        JailError: The runtime does not answer; the text says why.
    """
    result = await run(jail, Job(args=("-c", _QUESTION), limits=jail.runtime.limits), cgroups)
    if result.status is not Status.OK:
        said = result.stdout.strip().splitlines()[-1:]
        raise JailError("; ".join(filter(None, [result.message or f"exit code {result.returncode}", *said])))
    try:
        return Probe(**json.loads(result.stdout))
    except (ValueError, TypeError) as error:
        raise JailError(f"the answer to the probe makes no sense: {result.stdout!r}") from error
