"""The tmpfs mounts that a run may write to."""

from dataclasses import dataclass

from snekhouse.registry.models import HOME, SHM, Runtime

_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
"""Flags of mount(2) (linux/mount.h)."""

_INODE_SHARE = 4096
"""Bytes of a tmpfs for each inode: the tmpfs can have as many files as pages."""


@dataclass(frozen=True, slots=True)
class TmpfsMount:
    """A tmpfs of one run (tmpfs(5)).

    Attributes:
        target: Its path in the jail.
        options: Its mount options.
        noexec: Whether files in it cannot be executed. Set-uid files and devices never have an effect.
    """

    target: str
    options: str
    noexec: bool = False

    @property
    def flags(self) -> int:
        """Its flags for mount(2)."""
        return _MS_NOSUID | _MS_NODEV | (_MS_NOEXEC if self.noexec else 0)


def writable(runtime: Runtime) -> tuple[TmpfsMount, ...]:
    """List the folders that a run may write to: /home, /dev/shm, and the tmpfs that the registry names."""
    limits = runtime.limits
    return (
        TmpfsMount(HOME, _options(limits.home, "0755")),
        TmpfsMount(SHM, _options(limits.shm, "1777")),
        *(TmpfsMount(place.target, _options(place.size, "1777"), noexec=True) for place in runtime.tmpfs),
    )


def _options(size: int, mode: str) -> str:
    """Write the mount options of a tmpfs (tmpfs(5)), with two inodes at least: its root's and a file's."""
    return f"size={int(size)},nr_inodes={max(size // _INODE_SHARE, 2)},mode={mode}"
