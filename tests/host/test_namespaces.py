"""Whether the server may make namespaces; asked in namespaces, and under filters, where it may not."""

import subprocess
import sys
from pathlib import Path

import pytest

from filtered import run_under
from snekhouse.host.confinement import Confinement
from snekhouse.host.namespaces import explain_refusal, refusal
from snekhouse.profile.seccomp_rules import Argument, Comparison, Rule, always

ASK = "from snekhouse.host.namespaces import refusal; print(refusal())"


NAMESPACES = Argument("clone_flags", 0, 0x7E020000)


def refusal_under(rule: Rule) -> str:
    """Ask in a process under a real seccomp filter."""
    done = run_under([rule], [sys.executable, "-c", ASK])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_this_host_lets_the_server_make_namespaces() -> None:
    assert refusal() == ""


def test_a_kernel_that_refuses_is_told_with_the_remedy() -> None:
    script = f"echo 0 > /proc/sys/user/max_user_namespaces && exec {sys.executable} -c '{ASK}'"
    asked = ["unshare", "--user", "--map-root-user", "sh", "-c", script]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert said.startswith("the kernel refuses namespaces (")
    assert said.endswith("sysctl user.max_user_namespaces=15000\n")


@pytest.mark.parametrize(
    ("rule", "refused"),
    [
        (always(1, "unshare mount umount2 setns"), "unshare, mount, umount2, setns"),  # as Docker's profile
        (always(38, "unshare"), "unshare"),
        (Rule(1, ("clone",), ((Comparison(NAMESPACES, 0, is_equal=False),),)), "clone"),
        (always(1, "pivot_root"), "pivot_root"),
    ],
)
def test_a_filter_that_refuses_is_told_by_name_and_call(rule: Rule, refused: str) -> None:
    said = refusal_under(rule)
    assert f"the seccomp filter of this process refuses {refused}: " in said
    assert "AppArmor" not in said


def test_a_filter_that_refuses_nothing_of_this_is_not_blamed() -> None:
    assert refusal_under(always(1, "ptrace setns")) == ""


def test_apparmor_is_told_where_a_filter_lets_the_call_pass(tmp_path: Path) -> None:
    said = explain_refusal("mount Permission denied", Confinement(True, "docker-default", privileged=False), tmp_path)
    assert "the AppArmor profile docker-default of this process refuses them" in said
    assert "seccomp" not in said


def test_a_filter_is_told_first_and_apparmor_as_what_may_come_next(tmp_path: Path) -> None:
    said = explain_refusal("seccomp unshare", Confinement(True, "docker-default", privileged=False), tmp_path)
    assert "the seccomp filter of this process refuses unshare" in said
    assert "the AppArmor profile docker-default confines this process as well" in said


@pytest.mark.parametrize("privileged", [True, False])
def test_a_setting_for_the_unprivileged_is_told_to_root_of_a_container_as_well(
    tmp_path: Path, privileged: bool
) -> None:
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel" / "apparmor_restrict_unprivileged_userns").write_text("1\n")
    said = explain_refusal("mount Permission denied", Confinement(False, "", privileged), tmp_path)
    assert ("apparmor_restrict_unprivileged_userns=0" in said) is not privileged


def test_the_setting_for_processes_without_a_profile_is_not_blamed_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel" / "apparmor_restrict_unprivileged_userns").write_text("1\n")
    said = explain_refusal("unshare Permission denied", Confinement(True, "docker-default", privileged=False), tmp_path)
    assert "the AppArmor profile docker-default of this process refuses them" in said
    assert "sysctl" not in said


def test_no_filter_is_blamed_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel" / "unprivileged_userns_clone").write_text("0\n")
    said = explain_refusal("seccomp unshare", Confinement(False, "", privileged=False), tmp_path)
    assert said.startswith("the kernel refuses namespaces (unshare): sysctl kernel.unprivileged_userns_clone=1")


def test_a_setting_is_told_before_a_filter_that_may_refuse_nothing(tmp_path: Path) -> None:
    """As in the unit of deploy/systemd, whose filter allows namespaces."""
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "max_user_namespaces").write_text("0\n")
    said = explain_refusal("seccomp unshare", Confinement(True, "", privileged=True), tmp_path)
    assert said.startswith("the kernel refuses namespaces (unshare): sysctl user.max_user_namespaces=15000")


def test_where_neither_confines_both_are_ruled_out(tmp_path: Path) -> None:
    said = explain_refusal("unshare Operation not permitted", Confinement(False, "", privileged=True), tmp_path)
    assert "the cause is neither seccomp nor AppArmor" in said
