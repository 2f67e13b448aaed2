"""Paths in a root file system: links are followed inside it, and none leads to the host."""

from collections.abc import Callable
from pathlib import Path

import pytest

from snekhouse.registry.models import Mount, Registry
from snekhouse.registry.root import beneath, root_mounts, wrong_with_root
from snekhouse.registry.user_base import seen

Load = Callable[[str], Registry]

_HOST = """
[defaults]
mounts = [
    { source = "/usr/lib/x86_64-linux-gnu" },
    { source = "/usr/lib64", target = "/lib64" },
    { source = "/etc/ld.so.cache" },
    { source = "/usr/share/zoneinfo" },
    { source = "/srv/data" },
]
[runtimes."3.15"]
executable = "/usr/bin/python3"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a merged /usr, whose links are absolute."""
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/lib").mkdir()
    (root / "usr/bin/python3.15").touch()
    (root / "usr/bin/python3").symlink_to("/usr/bin/python3.15")
    (root / "lib").symlink_to("/usr/lib")
    (root / "etc").mkdir()
    return root


def _with_root(root: Path) -> str:
    return f'{_HOST}root = "{root}"\n'


@pytest.mark.parametrize(
    ("link", "to", "leads_to"),
    [
        ("out", "/etc", "etc"),
        ("up", "../../../../../../etc", "etc"),
        ("usr/lib/up", "../../../../../../etc/passwd", "etc/passwd"),
        ("relative", "usr/lib", "usr/lib"),
        ("twice", "/lib", "usr/lib"),
        ("gone", "/no/such", "no/such"),
    ],
)
def test_no_link_leads_out_of_a_root(root: Path, link: str, to: str, leads_to: str) -> None:
    (root / link).symlink_to(to)
    assert beneath(str(root), f"/{link}") == root / leads_to
    assert beneath(str(root), f"/{link}/x") == root / leads_to / "x"


def test_a_loop_of_links_is_an_error(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("/a")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        beneath(str(root), "/a")


def test_a_chain_of_links_too_long_for_the_kernel_shows_nothing_of_the_host(root: Path) -> None:
    for number in range(60):
        (root / f"link{number}").symlink_to(f"link{number + 1}")
    (root / "link60").symlink_to("/etc")
    (root / "lib64").symlink_to("link0")
    assert "/lib64" not in {mount.target for mount in root_mounts(str(root))}


def test_usr_and_the_folders_of_the_loader_are_mounted_and_nothing_else(root: Path) -> None:
    (root / "lib64").symlink_to("/etc")
    (root / "sbin").mkdir()
    assert list(root_mounts(str(root))) == [
        Mount(source=str(root / "usr"), target="/usr"),
        Mount(source=str(root / "usr/lib"), target="/lib"),
        Mount(source=str(root / "etc"), target="/lib64"),
    ]


def test_a_runtime_with_a_root_sees_it_before_all_else(root: Path, load_text: Load) -> None:
    runtime = load_text(_with_root(root) + 'mounts = [{ source = "/srv/mine" }]').runtimes["3.15"]
    targets = [mount.target for mount in seen(runtime)]
    assert targets[:3] == ["/usr", "/lib", "/srv/data"]
    assert "/srv/mine" in targets


def test_a_runtime_with_a_root_takes_no_mount_of_the_hosts_system_from_the_defaults(
    root: Path, load_text: Load
) -> None:
    assert load_text(_with_root(root)).runtimes["3.15"].mounts == (Mount(source="/srv/data"),)
    assert len(load_text(_HOST).runtimes["3.15"].mounts) == 5


def test_a_root_may_come_from_the_defaults_with_mounts_below_its_own(root: Path, load_text: Load) -> None:
    text = _HOST.replace('{ source = "/usr/lib64", target = "/lib64" },', "")
    runtime = load_text(text.replace("[defaults]", f'[defaults]\nroot = "{root}"')).runtimes["3.15"]
    assert runtime.root == str(root)
    assert Mount(source="/usr/share/zoneinfo") in runtime.mounts


def test_an_executable_in_a_root_is_also_named_by_where_its_link_leads_inside(root: Path, load_text: Load) -> None:
    registry = load_text(_with_root(root))
    assert registry.by_executable("/usr/bin/python3.15") is registry.runtimes["3.15"]


def test_a_root_has_one_spelling(root: Path, load_text: Load) -> None:
    assert load_text(_with_root(root).replace(f'"{root}"', f'"{root}//."')).runtimes["3.15"].root == str(root)


def test_a_root_that_is_not_there_or_has_no_usr_is_told_with_a_remedy(tmp_path: Path, root: Path) -> None:
    assert wrong_with_root(str(root)) == ""
    assert wrong_with_root(str(tmp_path / "no")).startswith(
        f"the root {tmp_path}/no is not a folder on this host; make"
    )
    assert wrong_with_root(str(root / "etc")).startswith(f"the root {root}/etc has no usr folder; make")
