"""Third-party packages of a runtime: list them, and change them with uv in a jail.

They are in the runtime's user base on the host, read-only in its jails. No code of a package runs on the host. Start
with `changes`. `site` finds the packages, `requirements` and `inputs` bring the files that uv reads into the jail,
`jail` makes this jail, and `stage` copies the packages and then replaces them with the changed copy.
"""

from snekhouse.packages.changes import Changes
from snekhouse.packages.jail import find_site
from snekhouse.packages.site import Package, executable_on_host, installed, make_user_base, site_on_host

__all__ = ["Changes", "Package", "executable_on_host", "find_site", "installed", "make_user_base", "site_on_host"]
