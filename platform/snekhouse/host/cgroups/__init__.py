"""Control groups, which limit a whole run and count what it uses.

The server makes a group for each run, and the guest is in it before the program starts. NsJail can make groups as well,
but it removes a group, and with it the counters, as soon as the program ends. On v1 no other group counts the OOM
kills. On v2 NsJail ignores the parent group in its configuration.

Sources: cgroups(7); the kernel's admin-guide/cgroup-v1 and admin-guide/cgroup-v2.
"""

from snekhouse.host.cgroups.detection import Detection, detect
from snekhouse.host.cgroups.groups import Cgroups, GroupUsage, RunGroup

__all__ = ["Cgroups", "Detection", "GroupUsage", "RunGroup", "detect"]
