"""What confines the server, read from folders like those of procfs."""

import subprocess
from pathlib import Path

import pytest

from snekhouse.host.confinement import Confinement

STATUS = "Name:\tpython3\nCapEff:\t{capabilities}\nSeccomp:\t{seccomp}\nSeccomp_filters:\t1\n"
CAPABILITIES = {"of deploy/README.md": "00000000000000c2", "of docker --privileged": "000001ffffffffff"}


def process(folder: Path, *, seccomp: int = 0, capabilities: str = "0" * 16, **attributes: str) -> Path:
    """Lay out what procfs has of a process; attributes are named as in ``attr/``, with ``_`` for ``/``."""
    (folder / "status").write_text(STATUS.format(seccomp=seccomp, capabilities=capabilities))
    for name, label in attributes.items():
        path = folder / "attr" / name.replace("_", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(label)
    return folder


@pytest.mark.parametrize(("mode", "filtered"), [(0, False), (1, False), (2, True)])
def test_a_filter_is_seen(tmp_path: Path, mode: int, filtered: bool) -> None:
    assert Confinement.of(process(tmp_path, seccomp=mode)).filtered is filtered


@pytest.mark.parametrize(
    ("label", "profile"),
    [
        ("docker-default (enforce)\n", "docker-default"),
        ("cri-containerd.apparmor.d (enforce)\n", "cri-containerd.apparmor.d"),
        ("snekhouse (complain)\n", ""),
        ("snekhouse (kill)\n", "snekhouse"),
        ("unconfined\n", ""),
        ("system_u:system_r:container_t:s0:c1,c2\0", ""),  # SELinux
    ],
)
def test_the_profile_of_apparmor_is_named_where_it_refuses(tmp_path: Path, label: str, profile: str) -> None:
    assert Confinement.of(process(tmp_path, current=label)).apparmor == profile


def test_apparmor_is_asked_where_another_module_comes_first(tmp_path: Path) -> None:
    folder = process(
        tmp_path, current="system_u:system_r:container_t:s0\0", apparmor_current="docker-default (enforce)\n"
    )
    assert Confinement.of(folder).apparmor == "docker-default"


def test_no_security_module_confines_nothing(tmp_path: Path) -> None:
    assert Confinement.of(process(tmp_path)).apparmor == ""


@pytest.mark.parametrize(("name", "privileged"), [("of deploy/README.md", False), ("of docker --privileged", True)])
def test_the_capability_to_administer_is_seen(tmp_path: Path, name: str, privileged: bool) -> None:
    assert Confinement.of(process(tmp_path, capabilities=CAPABILITIES[name])).privileged is privileged


def test_procfs_itself_is_read_as_the_folders_here_are() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as other:
        assert Confinement.of(Path(f"/proc/{other.pid}")) == Confinement.of()
