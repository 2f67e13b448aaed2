"""What is in deploy/: it fits the schemas of Kubernetes, and says the same as its README."""

import json
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from snekhouse.registry.loading import load
from snekhouse.registry.models import Server

_ROOT = Path(__file__).parents[2]
_DEPLOY = _ROOT / "deploy"
_KUBERNETES = _DEPLOY / "kubernetes"
_README = (_DEPLOY / "README.md").read_text()
_MANIFESTS = {
    path.name: yaml.safe_load(path.read_text())
    for path in sorted(_KUBERNETES.glob("*.yaml"))
    if path.name != "kustomization.yaml"
}
_SECCOMP = json.loads((_DEPLOY / "seccomp.json").read_text())


@pytest.mark.parametrize("version", ["1.29", "latest"])
@pytest.mark.parametrize("name", _MANIFESTS)
def test_a_manifest_fits_the_schema_of_its_kind(name: str, version: str) -> None:
    wanted = kubernetes_validate.latest_version() if version == "latest" else version
    kubernetes_validate.validate(_MANIFESTS[name], wanted, strict=True)


def test_all_manifests_are_applied_together() -> None:
    kustomization = yaml.safe_load((_KUBERNETES / "kustomization.yaml").read_text())
    assert sorted(kustomization["resources"]) == sorted(_MANIFESTS)
    (generated,) = kustomization["configMapGenerator"]
    volumes = pod()["volumes"]
    assert {"name": "registry", "configMap": {"name": generated["name"]}} in volumes
    assert all((_KUBERNETES / name).exists() for name in generated["files"])


def pod() -> dict[str, Any]:
    found: dict[str, Any] = _MANIFESTS["deployment.yaml"]["spec"]["template"]["spec"]
    return found


def test_everything_selects_the_pods_of_the_deployment() -> None:
    labels = _MANIFESTS["deployment.yaml"]["spec"]["template"]["metadata"]["labels"]
    wanted = "app.kubernetes.io/name"
    text = json.dumps(list(_MANIFESTS.values()))
    assert set(re.findall(rf'"{wanted}": "([^"]+)"', text)) == {labels[wanted]}
    assert _MANIFESTS["service.yaml"]["spec"]["selector"] == labels
    assert _MANIFESTS["autoscaler.yaml"]["spec"]["scaleTargetRef"]["name"] == "snekhouse"


def test_nothing_may_leave_the_pods() -> None:
    spec = _MANIFESTS["network.yaml"]["spec"]
    assert "Egress" in spec["policyTypes"]
    assert spec["egress"] == []


def test_the_pod_has_no_privilege() -> None:
    (container,) = pod()["containers"]
    security = container["securityContext"]
    assert security == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert pod()["automountServiceAccountToken"] is False
    assert container["resources"].keys() == {"requests", "limits"}


def test_a_pod_has_time_to_drain() -> None:
    drain = load(_KUBERNETES / "runtimes.toml").server.drain
    before = 5  # preStop, see below
    assert ["sleep", str(before)] == pod()["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert pod()["terminationGracePeriodSeconds"] > drain + before + 2 * 5  # answers have to be read as well


def test_the_registry_of_the_pods_is_the_images_but_for_walls() -> None:
    ours, theirs = load(_ROOT / "runtimes.toml"), load(_KUBERNETES / "runtimes.toml")
    assert theirs.runtimes == ours.runtimes
    assert theirs.server == Server(allow_degraded=True)


def added() -> set[str]:
    """Name what the profile allows beside Docker's."""
    (group,) = (each for each in _SECCOMP["syscalls"] if "What builds jails" in each.get("comment", ""))
    return set(group["names"])


def test_the_readme_tells_why_each_call_is_allowed() -> None:
    table = _README.partition("| call | who needs it |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", re.sub(r"(?m)^(\|[^|]*\|).*$", r"\1", table))) == added()


def test_the_profile_allows_nothing_that_reaches_beyond_a_namespace() -> None:
    allowed = {name for each in _SECCOMP["syscalls"] if each["action"] == "SCMP_ACT_ALLOW" for name in each["names"]}
    assert _SECCOMP["defaultAction"] == "SCMP_ACT_ERRNO"
    beyond = (
        "acct bpf chroot delete_module finit_module fsopen fsmount init_module ioperm iopl io_uring_setup kexec_load "
        "keyctl add_key request_key mount_setattr move_mount open_by_handle_at open_tree perf_event_open ptrace "
        "process_vm_readv process_vm_writev quotactl reboot settimeofday swapon swapoff syslog userfaultfd vhangup"
    )
    assert not allowed & set(beyond.split())
    assert added() <= allowed


def flags(command: str) -> dict[str, list[str]]:
    """Read the options of the README's `docker run` that names something."""
    shown = next(each for each in re.findall(r"(?s)    docker run .*?\n\n", _README) if command in each)
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"(?<= )--?([a-z-]+)(?:[ =]([^\s\\-]\S*))?", shown):
        found.setdefault(name, []).append(value)
    return found


def test_compose_has_the_flags_of_the_readme() -> None:
    service = yaml.safe_load((_ROOT / "docker-compose.yml").read_text())["services"]["snekhouse"]
    shown = flags("--cgroup-parent")
    assert service["user"] == shown["user"][0]
    assert service["cap_drop"] == shown["cap-drop"]
    assert service["cap_add"] == shown["cap-add"]
    assert service["security_opt"] == [shown["security-opt"][0]]
    assert service["cgroup_parent"] == shown["cgroup-parent"][0]
    assert (service["read_only"], service["tmpfs"]) == (True, shown["tmpfs"])
    assert [each.replace("snekhouse-", "", 1) for each in shown["v"]] == service["volumes"]
