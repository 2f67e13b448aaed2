"""The AppArmor profile of a container: AppArmor's own parser compiles it, and it allows what a jail needs and no more."""

import re
import subprocess
from pathlib import Path

_PROFILE = Path(__file__).parents[2] / "deploy" / "apparmor" / "snekhouse"
_RULES = [line.strip() for line in _PROFILE.read_text().splitlines() if line.startswith("  ") and "#" not in line]


def test_the_parser_compiles_it() -> None:
    """It neither needs a kernel with AppArmor nor loads anything: --skip-kernel-load, --skip-cache."""
    command = ["apparmor_parser", "--skip-kernel-load", "--skip-cache", str(_PROFILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_its_name_is_the_one_that_the_documentation_and_messages_give() -> None:
    command = ["apparmor_parser", "--names", str(_PROFILE)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["snekhouse"]


def test_no_file_system_but_a_tmpfs_can_be_mounted() -> None:
    mounts = [rule for rule in _RULES if rule.startswith("mount")]
    assert "mount fstype=tmpfs," in mounts
    others = [rule for rule in mounts if rule != "mount fstype=tmpfs,"]
    kinds = {re.sub(r".*\(rw, (\w+)\).*", r"\1", rule) for rule in others}
    assert kinds == {"private", "rprivate", "bind", "rbind"}


def test_what_a_jail_needs_is_allowed_and_tracing_is_not() -> None:
    assert {"remount,", "umount,", "pivot_root,"} <= {*_RULES}
    assert "deny ptrace (trace, tracedby)," in _RULES
    assert not any(rule.startswith("ptrace") and "trace," in rule for rule in _RULES)


def test_only_cgroups_can_be_written_below_sys() -> None:
    denied = [re.compile(_as_regex(rule.split()[1])) for rule in _RULES if rule.startswith("deny /sys")]
    for path in (
        "/sys/kernel/mm/ksm/run",
        "/sys/fs/bpf/x",
        "/sys/fs/selinux/load",
        "/sys/module/x/y",
        "/sys/power/state",
    ):
        assert any(pattern.fullmatch(path) for pattern in denied), path
    assert not any(pattern.fullmatch("/sys/fs/cgroup/run/cgroup.procs") for pattern in denied)


def _as_regex(glob: str) -> str:
    """Translate AppArmor's globbing, as far as the rules for /sys use it."""
    return re.sub(r"\*\*|\*|\.", lambda found: {"**": ".*", "*": "[^/]*", ".": r"\."}[found[0]], glob)
