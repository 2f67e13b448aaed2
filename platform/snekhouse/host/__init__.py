"""What this machine offers to jails: namespaces, cgroups, host ids, NsJail, a state folder, watchdogs.

Start with `survey`, which finds out which walls stand here. `cgroups` limits runs and counts what they use,
`memory_watch` takes its place where no cgroup limits memory, and `watchdog` ends jails when the server is gone.
"""
