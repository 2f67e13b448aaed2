"""Check whether this host lets the server make namespaces (namespaces(7)), by a trial in a separate process.

If the host refuses, the trial finds the cause. A seccomp filter decides before the kernel reads the arguments. So the
trial makes each call with invalid arguments, for which the kernel returns a known error before it asks AppArmor or
checks capabilities. If the error is another one, it comes from a filter.
"""

import os
import subprocess
import sys
from pathlib import Path

from snekhouse.host.confinement import Confinement
from snekhouse.host.system_calls import numbers

_TRIAL = """
import ctypes, errno, os, sys

libc = ctypes.CDLL(None, use_errno=True)
namespaces = 0x7E020000  # user, mount, pid, network, IPC, UTS and cgroup
unknown, share_folder = 0x1, 0x200  # a flag that unshare does not have; CLONE_FS, which excludes a mount namespace
nowhere = ctypes.c_void_p(1)

def error(call, *arguments):
    return ctypes.get_errno() if call(*arguments) == -1 else 0

answers = (
    ("clone", errno.EINVAL, error(libc.syscall, int(sys.argv[1]), namespaces | share_folder, 0, 0, 0, 0)),
    ("unshare", errno.EINVAL, error(libc.unshare, namespaces | unknown)),
    ("mount", errno.EFAULT, error(libc.mount, nowhere, nowhere, nowhere, 0, None)),
    ("umount2", errno.EINVAL, error(libc.umount2, nowhere, -1)),
    ("setns", errno.EBADF, error(libc.setns, -1, 0)),
)
filtered = [name for name, expected, answer in answers if answer != expected]
if filtered and filtered != ["setns"]:  # only a fork server needs setns
    print("seccomp", *filtered)
    sys.exit()

def succeed(name, call, *arguments):
    if number := error(call, *arguments):
        print(name, os.strerror(number))
        sys.exit()

succeed("unshare", libc.unshare, namespaces)
if error(libc.syscall, int(sys.argv[2]), nowhere, nowhere) != errno.EFAULT:
    print("seccomp pivot_root")
    sys.exit()
succeed("mount", libc.mount, None, b"/", None, 1 << 14 | 1 << 18, None)  # MS_REC | MS_PRIVATE
"""

_SYSCTLS = (
    ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=15000"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1, or start the server as root"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or the AppArmor profile deploy/apparmor/snekhouse",
    ),
)
"""Settings that can refuse user namespaces: the file in /proc/sys, the value that refuses, and the remedy."""

_UNKNOWN = "the cause is neither seccomp nor AppArmor; look for a chroot, SELinux, or a kernel that is not Linux"

_APPARMOR = (
    "the AppArmor profile {} of this process refuses them: load deploy/apparmor/snekhouse, and start the container "
    "with --security-opt apparmor=snekhouse"
)


def refusal(sysctl: Path = Path("/proc/sys"), process: Path = Path("/proc/self")) -> str:
    """Return why the server cannot make namespaces, and the remedy; empty if it can.

    Args:
        sysctl: Where the kernel's settings are.
        process: The server's folder in procfs.
    """
    calls = [str(number) for _, number in numbers(("clone", "pivot_root"), os.uname().machine)]
    trial = [sys.executable, "-I", "-S", "-c", _TRIAL, *calls]
    printed = subprocess.run(trial, cwd="/", env={}, capture_output=True, text=True, check=False).stdout.strip()
    return explain_refusal(printed, Confinement.of(process), sysctl) if printed else ""


def explain_refusal(printed: str, confinement: Confinement, sysctl: Path) -> str:
    """Return what refuses namespaces, and the remedy.

    Args:
        printed: The trial's output: `seccomp` and the calls that a filter refuses, or one call and the kernel's error.
        confinement: What confines the server.
        sysctl: Where the kernel's settings are.
    """
    call, _, rest = printed.partition(" ")
    calls = rest.split()
    remedies = _settings(sysctl, confinement)
    if call == "seccomp" and confinement.filtered and not remedies:
        return _by_seccomp(calls, confinement)
    # "seccomp" can also mean that a setting refused the calls before the kernel checked their arguments.
    what = ", ".join(calls) if call == "seccomp" else f"{call}: {rest}"
    if not remedies and confinement.apparmor:
        remedies = [_APPARMOR.format(confinement.apparmor)]
    return f"the kernel refuses namespaces ({what}): {'; '.join(remedies) or _UNKNOWN}"


def _by_seccomp(calls: list[str], confinement: Confinement) -> str:
    also = (
        f"; the AppArmor profile {confinement.apparmor} confines this process as well, and may refuse to mount"
        if confinement.apparmor
        else ""
    )
    return (
        f"the kernel refuses namespaces: the seccomp filter of this process refuses {', '.join(calls)}: start the "
        f"container with --security-opt seccomp=deploy/seccomp.json, which allows them{also}"
    )


def _settings(sysctl: Path, confinement: Confinement) -> list[str]:
    """List the remedies for settings of the kernel that refuse.

    With CAP_SYS_ADMIN only the first setting applies. Where AppArmor confines the process, the last does not apply.
    """
    count = 1 if confinement.privileged else len(_SYSCTLS) - bool(confinement.apparmor)
    return [remedy for name, value, remedy in _SYSCTLS[:count] if _value(sysctl / name) == value]


def _value(setting: Path) -> str:
    return setting.read_text().strip() if setting.exists() else ""
