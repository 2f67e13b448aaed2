"""What this machine offers to jails: namespaces, cgroups, host ids, NsJail, a state folder, watchdogs.

Start with `survey`, which checks every wall. `cgroups` limits runs and counts what they use, `memory_watch` limits
memory if no cgroup does, and `watchdog` kills jails when the server is gone.
"""
