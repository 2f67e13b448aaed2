"""Control groups: what a run as a whole may use, and what it used.

The server makes a group for each run and moves the jail's first process into it before the program starts. NsJail
could make groups as well, but removes them when the program ends, and with them the counters: on v1 the count of
OOM kills stands in that very group and nowhere above it, and on v2 NsJail ignores the parent it is given.

Sources: cgroups(7); the kernel's admin-guide/cgroup-v1 and admin-guide/cgroup-v2.
"""

from snekhouse.host.cgroups.detection import Detection, detect
from snekhouse.host.cgroups.groups import Cgroups, GroupUsage, RunGroup

__all__ = ["Cgroups", "Detection", "GroupUsage", "RunGroup", "detect"]
