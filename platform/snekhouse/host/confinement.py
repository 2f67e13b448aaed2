"""What confines the server besides its user: a seccomp filter, an AppArmor profile, a missing capability."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_FILTER_MODE = "2"
"""SECCOMP_MODE_FILTER, as ``Seccomp:`` in proc_pid_status(5) shows it."""

_SYS_ADMIN = 1 << 21
"""CAP_SYS_ADMIN among the bits of ``CapEff:`` (linux/capability.h)."""

_PROFILE = re.compile(r"(?P<name>.+) \((?:enforce|kill|prompt)\)")
"""An enforced profile, as AppArmor writes it; a profile in mode ``complain`` refuses nothing."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """What confines a process.

    Attributes:
        filtered: Whether a seccomp filter checks its system calls.
        apparmor: The AppArmor profile that confines it; empty for none.
        privileged: Whether it has CAP_SYS_ADMIN in its user namespace.
    """

    filtered: bool
    apparmor: str
    privileged: bool

    @classmethod
    def of(cls, process: Path = Path("/proc/self")) -> Self:
        """Read what confines a process.

        Args:
            process: Its folder in procfs.
        """
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        return cls(
            filtered=status.get("Seccomp", "").strip() == _FILTER_MODE,
            apparmor=_apparmor_profile(process / "attr"),
            privileged=bool(int(status.get("CapEff", "0"), 16) & _SYS_ADMIN),
        )


def _apparmor_profile(attributes: Path) -> str:
    """Read the name of the profile: from AppArmor's own file, or from `current`, the first security module's."""
    for name in ("apparmor/current", "current"):
        try:
            label = (attributes / name).read_text()
        except OSError:  # EINVAL where no security module answers
            continue
        found = _PROFILE.fullmatch(label.strip(" \n\0"))
        return found["name"] if found else ""
    return ""
