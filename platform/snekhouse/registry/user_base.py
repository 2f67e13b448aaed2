"""The third-party packages of a runtime: each runtime has its own user base (PEP 370), read-only in jails."""

import os
from pathlib import Path

from snekhouse.registry.jail_paths import own_place
from snekhouse.registry.models import Mount, Runtime
from snekhouse.registry.root import root_mounts

_PLACEHOLDER = "{runtime}"
_VARIABLE = "PYTHONUSERBASE"


def user_base(runtime: Runtime) -> Mount | None:
    """Return the mount that shows a runtime its packages.

    Returns:
        The mount, whose source need not exist yet; None if the runtime's environment names no user base, or if that
        is one of the jail's own paths or the target of another mount.
    """
    target = os.path.normpath(runtime.env.get(_VARIABLE, ""))
    if not target.startswith("/") or own_place(target) or target in runtime.targets:
        return None
    source = (runtime.packages or _default_folder()).replace(_PLACEHOLDER, runtime.name)
    return Mount(source=source, target=target, mandatory=False)


def seen(runtime: Runtime) -> tuple[Mount, ...]:
    """List what programs see of the host, in the order of mounting: the runtime's root, its mounts, its packages."""
    root, packages = root_mounts(runtime.root) if runtime.root else (), user_base(runtime)
    return (*root, *runtime.mounts, *((packages,) if packages else ()))


def _default_folder() -> str:
    """Return this user's default folder for packages (XDG Base Directory Specification; for root, hier(7))."""
    if os.geteuid() == 0:
        data = Path("/var/lib")
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    return str(data / "snekhouse" / "packages" / _PLACEHOLDER)
