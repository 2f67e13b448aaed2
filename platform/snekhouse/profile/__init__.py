"""From a runtime to the rules of its jail: the configuration of NsJail and the seccomp policy.

Start with `rendering`, which fills the template in `templates/nsjail/`. `seccomp_policy` lists the system calls that
programs may make; `kafel` writes it as text for NsJail, and `bpf` compiles it for runs that a fork server forks.
"""
