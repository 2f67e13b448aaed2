"""Third-party packages of a runtime: what is installed, and changes to it, which uv makes in a jail.

They lie in the runtime's user base on the host, whose jails may only read it. Nothing of a package runs on the host:
start reading at `changes`. `site` says where packages are, `requirements` and `inputs` bring what uv reads into the
jail, `jail` is that jail, and `stage` is the copy that changes until it takes the place of the packages.
"""

from snekhouse.packages.changes import Changes
from snekhouse.packages.jail import find_site
from snekhouse.packages.site import Package, executable_on_host, installed, make_room, site_on_host

__all__ = ["Changes", "Package", "executable_on_host", "find_site", "installed", "make_room", "site_on_host"]
