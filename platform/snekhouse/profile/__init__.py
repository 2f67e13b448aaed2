"""The rules of a jail, made from a runtime: the NsJail configuration and the seccomp policy.

Start with `rendering`, which fills the template in `templates/nsjail/`. `seccomp_policy` lists the system calls that
programs may make; `kafel` writes it as text for NsJail, and `bpf` compiles it for runs that a fork server forks.
"""
