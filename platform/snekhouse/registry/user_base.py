"""Where a runtime has its third-party packages: a user base of its own (PEP 370), which its jails may only read."""

import os
from pathlib import Path

from snekhouse.registry.jail_paths import own_place
from snekhouse.registry.models import Mount, Runtime
from snekhouse.registry.root import root_mounts

_PLACEHOLDER = "{runtime}"
_VARIABLE = "PYTHONUSERBASE"


def user_base(runtime: Runtime) -> Mount | None:
    """Tell where the packages of a runtime are on the host, and where its programs see them.

    Returns:
        The mount, whose source need not exist yet; None for a runtime whose environment names no user base, or one in
        a place of the jail's own, or that has a mount of its own there.
    """
    target = os.path.normpath(runtime.env.get(_VARIABLE, ""))
    if not target.startswith("/") or own_place(target) or target in runtime.targets:
        return None
    source = (runtime.packages or _usual_folder()).replace(_PLACEHOLDER, runtime.name)
    return Mount(source=source, target=target, mandatory=False)


def seen(runtime: Runtime) -> tuple[Mount, ...]:
    """List all that programs see of the host: the runtime's root, its mounts and its packages."""
    packages = user_base(runtime)
    return (*mounts_of(runtime), packages) if packages else mounts_of(runtime)


def mounts_of(runtime: Runtime) -> tuple[Mount, ...]:
    """List what programs see of the host besides packages; the root comes first, so that others go over it."""
    return (*root_mounts(runtime.root), *runtime.mounts) if runtime.root else runtime.mounts


def _usual_folder() -> str:
    """Name the usual place of this user (XDG Base Directory Specification; for root, hier(7))."""
    if os.geteuid() == 0:
        data = Path("/var/lib")
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    return str(data / "snekhouse" / "packages" / _PLACEHOLDER)
