"""Whether this host lets the server make namespaces (namespaces(7)), tried in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

_TRIAL = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def done(result):
    if result:
        print(os.strerror(ctypes.get_errno()))
        sys.exit()
done(libc.unshare(0x7E020000))  # user, mount, pid, network, IPC, UTS and cgroup
done(libc.mount(None, b"/", None, 1 << 14 | 1 << 18, None))  # MS_REC | MS_PRIVATE: with the capabilities they give
"""

_SYSCTLS = (
    ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=15000"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1, or start the server as root"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile that lets nsjail have userns",
    ),
)
"""What refuses user namespaces, by its file in /proc/sys; the value that does; and the remedy."""

_IN_CONTAINER = (
    "the container's seccomp or AppArmor profile refuses it: allow unshare, clone, mount, pivot_root and setns there"
)


def refusal(sysctl: Path = Path("/proc/sys")) -> str:
    """Tell why namespaces cannot be made, and the remedy; empty where they can.

    Args:
        sysctl: Where the kernel's settings are.
    """
    trial = [sys.executable, "-I", "-S", "-c", _TRIAL]
    said = subprocess.run(trial, cwd="/", env={}, capture_output=True, text=True, check=False).stdout.strip()
    if not said:
        return ""
    remedies = [remedy for name, value, remedy in _SYSCTLS if _value(sysctl / name) == value]
    if os.geteuid() == 0:  # root needs but the first
        remedies = remedies[:1] if _value(sysctl / _SYSCTLS[0][0]) == _SYSCTLS[0][1] else []
    return f"the kernel refuses namespaces ({said}): {'; '.join(remedies) or _IN_CONTAINER}"


def _value(setting: Path) -> str:
    return setting.read_text().strip() if setting.exists() else ""
