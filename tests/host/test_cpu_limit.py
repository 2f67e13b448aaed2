"""How many CPUs the server may use, read from folders like those of procfs and of cgroups."""

import os
from pathlib import Path

import pytest

from snekhouse.host.cgroups.capacity import cpu_limit

CPUS = len(os.sched_getaffinity(0))


def container(folder: Path, kind: str, **files: str) -> Path:
    """Lay out a process in the group ``/pod/run`` of a hierarchy, with files of the group ``/pod``."""
    group = folder / "hierarchy" / "pod" / "run"
    group.mkdir(parents=True)
    for name, content in files.items():
        (group.parent / name.replace("_", ".", 1)).write_text(content + "\n")
    options = "rw,cpu,cpuacct" if kind == "cgroup" else "rw"
    (folder / "mountinfo").write_text(f"30 23 0:26 / {folder}/hierarchy rw - {kind} {kind} {options}\n")
    (folder / "cgroup").write_text("3:cpu,cpuacct:/pod/run\n" if kind == "cgroup" else "0::/pod/run\n")
    return folder


@pytest.mark.parametrize(("quota", "cpus"), [("50000 100000", 0.5), ("max 100000", CPUS), ("99900000 100000", CPUS)])
def test_a_quota_of_v2_counts_for_all_below(tmp_path: Path, quota: str, cpus: float) -> None:
    assert cpu_limit(container(tmp_path, "cgroup2", cpu_max=quota)) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("25000", 0.25), ("-1", CPUS)])
def test_a_quota_of_v1_counts_for_all_below(tmp_path: Path, quota: str, cpus: float) -> None:
    folder = container(tmp_path, "cgroup", cpu_cfs_quota_us=quota, cpu_cfs_period_us="100000")
    assert cpu_limit(folder) == cpus


def test_affinity_counts_as_well() -> None:
    own = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(own)})
        assert cpu_limit() <= 1
    finally:
        os.sched_setaffinity(0, own)
