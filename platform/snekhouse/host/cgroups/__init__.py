"""Control groups, which limit a whole run and count what it uses.

The server makes a group for each run and moves the jail's first process into it before the program starts. NsJail
could make groups as well, but it removes them with their counters when the program ends: on v1 only the group itself
counts its OOM kills. And on v2 NsJail ignores the parent group that it is given.

Sources: cgroups(7); the kernel's admin-guide/cgroup-v1 and admin-guide/cgroup-v2.
"""

from snekhouse.host.cgroups.detection import Detection, detect
from snekhouse.host.cgroups.groups import Cgroups, GroupUsage, RunGroup

__all__ = ["Cgroups", "Detection", "GroupUsage", "RunGroup", "detect"]
