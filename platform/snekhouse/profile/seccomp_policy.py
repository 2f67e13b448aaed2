"""The system calls that a program may make (seccomp(2)). `kafel` writes them for NsJail, `bpf` for the kernel.

A call that no rule names fails with ENOSYS, as on an older kernel, and libraries can work without this call. All calls
through the x32 entry fail in this way. A call through the i386 entry kills the program.
"""

import errno
from enum import IntEnum

from snekhouse.profile.seccomp_rules import ALLOW, Argument, Comparison, Group, Rule, always, among, outside

UNLISTED = errno.ENOSYS
"""The error of calls that no rule decides."""


class Fcntl(IntEnum):
    """Commands of fcntl(2) that act on a program's own descriptors and locks."""

    F_DUPFD_CLOEXEC = 1030
    F_GETFD = 1
    F_SETFD = 2
    F_GETFL = 3
    F_SETFL = 4
    F_DUPFD = 0
    F_GETLK = 5
    F_SETLK = 6
    F_SETLKW = 7
    F_SETOWN = 8
    F_GETOWN = 9
    F_SETSIG = 10
    F_GETSIG = 11
    F_SETOWN_EX = 15
    F_GETOWN_EX = 16
    F_OFD_GETLK = 36
    F_OFD_SETLK = 37
    F_OFD_SETLKW = 38
    F_DUPFD_QUERY = 1027
    F_SETPIPE_SZ = 1031
    F_GETPIPE_SZ = 1032
    F_ADD_SEALS = 1033
    F_GET_SEALS = 1034


class Ioctl(IntEnum):
    """Requests of ioctl(2) that need no device, such as those of sockets and pipes."""

    TCGETS = 0x5401
    TCGETS2 = 0x802C542A
    TIOCGPGRP = 0x540F
    TIOCOUTQ = 0x5411
    TIOCGWINSZ = 0x5413
    FIONREAD = 0x541B
    FIONBIO = 0x5421
    FIONCLEX = 0x5450
    FIOCLEX = 0x5451
    FIOASYNC = 0x5452
    SIOCATMARK = 0x8905
    SIOCGIFNAME = 0x8910
    SIOCGIFCONF = 0x8912
    SIOCGIFFLAGS = 0x8913
    SIOCGIFADDR = 0x8915
    SIOCGIFINDEX = 0x8933


class Family(IntEnum):
    """Families of sockets that programs may make (address_families(7))."""

    AF_UNIX = 1
    AF_INET = 2
    AF_INET6 = 10


class SocketProtocol(IntEnum):
    """Protocols of sockets that programs may make; 0 is the default of the family."""

    DEFAULT = 0
    ICMP = 1
    TCP = 6
    UDP = 17
    ICMPV6 = 58


class Prctl(IntEnum):
    """Options of prctl(2) that are refused; PR_SET_PDEATHSIG only with a signal other than SIGKILL."""

    PR_SET_PDEATHSIG = 1
    PR_SET_SECCOMP = 22
    PR_SET_MM = 35
    PR_SCHED_CORE = 62


_SIGKILL = 9
_MAP_HUGETLB, _MFD_HUGETLB = 0x40000, 4
_CLONE_NEW = 0x7E020000
"""All flags of clone(2) that make namespaces."""

_PERSONALITY_QUERY = 0xFFFFFFFF
_COMMAND = Argument("cmd", 1)
_FLAGS_OF_MMAP, _FLAGS_OF_MEMFD = Argument("flags", 3, _MAP_HUGETLB), Argument("flags", 1, _MFD_HUGETLB)
_FLAGS_OF_CLONE, _PERSONALITY = Argument("clone_flags", 0, _CLONE_NEW), Argument("personality", 0)
_OPTION, _SECOND = Argument("option", 0), Argument("arg2", 1)
_FAMILY, _PROTOCOL = Argument("family", 0), Argument("protocol", 2)

_SIOCSIFFLAGS = 0x8914
"""The request of ioctl(2) that brings an interface up (netdevice(7))."""


def _sealing(*, loopback: bool) -> Group:
    bring_up = (Rule(ALLOW, ("ioctl",), ((Comparison(_COMMAND, _SIOCSIFFLAGS),),)),) if loopback else ()
    return Group(
        "sealing",
        "What a fork server needs to set up a run. The run then installs the policy without this group.",
        (always(ALLOW, "prctl unshare setns mount capset"), *bring_up),
    )


_FILES = Group(
    "files",
    "Leases and dnotify (F_SETLEASE, F_NOTIFY) and write hints (F_SET_RW_HINT) would act on files that jails share "
    "with the host. Calls that sync or read ahead the host's disks succeed without an effect: a program can write only "
    "to memory.",
    (
        Rule(ALLOW, ("fcntl",), among(_COMMAND, Fcntl)),
        always(
            ALLOW,
            "read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek open openat openat2 creat "
            "close close_range truncate ftruncate fallocate copy_file_range sendfile splice tee vmsplice stat lstat "
            "fstat newfstatat statx statfs fstatfs access faccessat faccessat2 getdents getdents64 getcwd chdir fchdir "
            "mkdir mkdirat mknod mknodat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat "
            "readlink readlinkat utime utimes utimensat futimesat umask chmod fchmod fchmodat fchmodat2 chown lchown "
            "fchown fchownat flock dup dup2 dup3 pipe pipe2 getxattr lgetxattr fgetxattr listxattr llistxattr "
            "flistxattr setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr",
        ),
        always(errno.EINVAL, "fcntl"),
        always(0, "sync syncfs fsync fdatasync sync_file_range fadvise64 readahead"),
    ),
)

_PROCESSES = Group(
    "processes",
    "No new namespaces. A filter cannot see the flags of clone3; libraries use clone instead. A jail dies with its "
    "NsJail, and no program can change that (PR_SET_PDEATHSIG).",
    (
        Rule(errno.EPERM, ("clone",), outside(_FLAGS_OF_CLONE, 0)),
        Rule(
            errno.EPERM,
            ("prctl",),
            ((Comparison(_OPTION, Prctl.PR_SET_PDEATHSIG), Comparison(_SECOND, _SIGKILL, is_equal=False)),),
        ),
        Rule(
            errno.EPERM,
            ("prctl",),
            tuple((Comparison(_OPTION, each),) for each in Prctl if each != Prctl.PR_SET_PDEATHSIG),
        ),
        Rule(errno.EPERM, ("personality",), outside(_PERSONALITY, 0, _PERSONALITY_QUERY)),
        always(errno.ENOSYS, "clone3"),
        always(
            ALLOW,
            "clone prctl personality fork vfork execve execveat exit exit_group wait4 waitid rseq arch_prctl "
            "set_tid_address set_robust_list get_robust_list futex futex_waitv getpid getppid gettid getpgid setpgid "
            "getpgrp getsid setsid pidfd_open getcpu getuid geteuid getresuid getgid getegid getresgid getgroups "
            "capget setuid setreuid setresuid setfsuid setgid setregid setresgid setfsgid setgroups getrlimit "
            "setrlimit prlimit64 getrusage times getpriority setpriority ioprio_get ioprio_set sched_yield "
            "sched_getaffinity sched_setaffinity sched_getparam sched_setparam sched_getscheduler sched_setscheduler "
            "sched_getattr sched_setattr sched_get_priority_max sched_get_priority_min sched_rr_get_interval uname "
            "sysinfo getrandom",
        ),
    ),
)

_SIGNALS = Group(
    "signals",
    "Signals reach only the processes of the run.",
    (
        always(
            ALLOW,
            "kill tkill tgkill pidfd_send_signal rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend "
            "rt_sigtimedwait rt_sigqueueinfo rt_tgsigqueueinfo rt_sigreturn sigaltstack signalfd signalfd4 pause "
            "restart_syscall",
        ),
    ),
)

_WAITING_AND_TIME = Group(
    "waiting_and_time",
    "Programs can read the clocks but not set them.",
    (
        always(
            ALLOW,
            "poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 "
            "eventfd eventfd2 nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time alarm getitimer "
            "setitimer timer_create timer_settime timer_gettime timer_getoverrun timer_delete timerfd_create "
            "timerfd_settime timerfd_gettime",
        ),
    ),
)

_SOCKETS = Group(
    "sockets",
    "Sockets connect processes of the run; there is no network. The other families (netlink, packets, vsock, the "
    "kernel's cryptography, ...) expose much code of the kernel for little use.",
    (
        Rule(errno.EAFNOSUPPORT, ("socket",), outside(_FAMILY, *Family)),
        Rule(errno.EAFNOSUPPORT, ("socketpair",), outside(_FAMILY, Family.AF_UNIX)),
        Rule(errno.EPROTONOSUPPORT, ("socket",), outside(_PROTOCOL, *SocketProtocol)),
        always(
            ALLOW,
            "socket socketpair bind listen accept accept4 connect shutdown getsockname getpeername getsockopt "
            "setsockopt sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg",
        ),
    ),
)

_DEVICES = Group(
    "devices",
    "Requests that need no device; there is no terminal. All others fail with ENOTTY: they would describe the host's "
    "disks (FIEMAP, FS_IOC_GETFSUUID), reach namespaces (PIDFD_GET_NET_NAMESPACE), or type into a terminal (TIOCSTI).",
    (Rule(ALLOW, ("ioctl",), among(_COMMAND, Ioctl)), always(errno.ENOTTY, "ioctl")),
)

_REFUSED = Group(
    "refused",
    "Refused with EPERM, as the kernel refuses a process without privileges: namespaces and mounts, by the old "
    "interface and the new; memory and descriptors of other processes; BPF programs, performance counters and "
    "userfaultfd; keys, which runs could share; the machine's clock, kernel, names, disks and I/O ports.",
    (
        always(
            errno.EPERM,
            "unshare setns mount umount2 pivot_root chroot open_tree open_tree_attr move_mount mount_setattr fsopen "
            "fsconfig fsmount fspick statmount listmount name_to_handle_at open_by_handle_at",
        ),
        always(
            errno.EPERM, "ptrace process_vm_readv process_vm_writev process_madvise process_mrelease pidfd_getfd kcmp"
        ),
        always(errno.EPERM, "bpf seccomp perf_event_open userfaultfd"),
        always(errno.EPERM, "add_key request_key keyctl"),
        always(
            errno.EPERM,
            "settimeofday clock_settime adjtimex clock_adjtime kexec_load kexec_file_load init_module finit_module "
            "delete_module reboot swapon swapoff syslog acct sethostname setdomainname quotactl quotactl_fd vhangup "
            "fanotify_init fanotify_mark lookup_dcookie ioperm iopl modify_ldt capset",
        ),
    ),
)


def _memory(*, limited: bool) -> Group:
    refused = Rule(errno.EINVAL, ("memfd_create",), outside(_FLAGS_OF_MEMFD, 0))
    in_memory = (refused, always(ALLOW, "memfd_create")) if limited else ()
    return Group(
        "memory",
        "No cgroup of a run counts the huge pages that the host has reserved (hugetlbfs). Only a cgroup counts files "
        "of memfd_create.",
        (
            Rule(errno.ENOMEM, ("mmap",), outside(_FLAGS_OF_MMAP, 0)),
            always(
                ALLOW,
                "mmap brk munmap mremap mprotect madvise mincore msync mlock mlock2 munlock mlockall munlockall "
                "membarrier pkey_mprotect pkey_alloc pkey_free",
            ),
            *in_memory,
        ),
    )


def policy(*, memory_limited: bool, fork_server: bool = False, loopback: bool = False) -> tuple[Group, ...]:
    """List the groups of rules.

    Args:
        memory_limited: Whether a cgroup limits memory; if not, memory that only a cgroup counts is refused.
        fork_server: Whether the policy is for a fork server, which sets up the runs that it forks.
        loopback: Whether the fork server brings up loopback interfaces.
    """
    groups = (
        _FILES, _memory(limited=memory_limited), _PROCESSES, _SIGNALS, _WAITING_AND_TIME, _SOCKETS, _DEVICES, _REFUSED,
    )  # fmt: skip
    return (_sealing(loopback=loopback), *groups) if fork_server else groups
